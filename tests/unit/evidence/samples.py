"""Records for the tests of this room."""

from __future__ import annotations

from typing import Any

from executor.evidence.record import Hints, Record
from executor.facts import Fingerprint, HostFacts, Outcome, OutputFile
from executor.spec.canonical import Digest
from tests.fakes import ENGINE, NOON

HOST = HostFacts(
    hostname="here", kernel="6.1", os="Debian", architecture="x86_64", cpu_model="CPU", isa=("avx2",), cpus=(0, 1),
    memory=2**34, disk_free=2**40, time=NOON,
)  # fmt: skip


def file(path: str, content: str, role: str = "weights") -> OutputFile:
    data = content.encode()
    return OutputFile(path=path, digest=Digest.of(data), size=len(data), role=role)


IDENTITY: dict[str, Any] = {
    "version": 1, "image": f"sha256:{'e' * 64}", "code": None, "data": {}, "command": ["true"], "params": {}, "seed": 1,
    "gpu": None, "cpu": {"threads": 1, "isa": "avx2"}, "env": {}, "network": "none", "workdir": "/code",
    "determinism": "strict", "tier": "native", "outputs": {}, "metrics": {},
}  # fmt: skip
"""A spec's identity; what a sample names of its own stands in the place of these."""


def record(*outputs: OutputFile, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "executor": "0",
        "spec_hash": Digest("a" * 64),
        "experiment_key": Digest("b" * 64),
        "attempt": "20260101T120000Z-00000000",
        "status": "succeeded",
        "spec": {"seed": 1},
        "hints": Hints(name="x", image="localhost/x"),
        "outcome": Outcome(exit_code=0, started=NOON, finished=NOON),
        "fingerprint": Fingerprint(host=HOST, engine=ENGINE),
        "findings": (),
        "outputs": outputs,
        "created": NOON,
    }
    values |= changes
    return Record(**values | {"spec": IDENTITY | values["spec"]})
