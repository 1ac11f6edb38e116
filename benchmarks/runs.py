"""Runs as a team would have them, made up: records for some thousands, columns for millions.

A program of several families, each with parameters and metrics of its own beside the shared ones; sweeps over seeds;
reruns, most of them identical; failures; a few numbers that are NaN or infinite. Everything follows from one seed.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from executor.evidence.record import Comparison, Hints, Record
from executor.facts import ContainerFacts, EngineFacts, Fingerprint, HostFacts, ImageFacts, Outcome, OutputFile
from executor.spec.canonical import Digest, spec_hash
from executor.store.view import Batch

START = datetime(2026, 1, 1, tzinfo=UTC)
OPTIMIZERS, GPUS = ("adam", "sgd", "adamw", "lamb"), ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB")
EPOCH_US = 1_767_225_600_000_000
"""The same moment as rows hold it."""
FAMILIES = 200
"""Kinds of programs; each has its own names."""


def records(many: int, seed: int = 1) -> Iterator[Record]:
    """So many records, in the order in which they were written."""
    dice = random.Random(seed)
    past: list[Record] = []
    for number in range(many):
        if past and dice.random() < 0.1:
            found = _again(dice.choice(past), number, dice)
        else:
            found = _fresh(number, dice)
            past = [*past[-50:], found] if found.status == "succeeded" else past
        yield found


def attempt(number: int) -> str:
    """Id of the attempt that is made as that one."""
    return f"{START + timedelta(seconds=31 * number):%Y%m%dT%H%M%SZ}-{number:08x}"


def _fresh(number: int, dice: random.Random) -> Record:
    family = dice.randrange(FAMILIES)
    gpu = {"type": dice.choice(GPUS), "count": dice.choice((1, 8))} if dice.random() < 0.8 else None
    identity: dict[str, Any] = {
        "version": 1, "image": f"sha256:{dice.randrange(20):064x}", "code": f"{dice.randrange(500):040x}",
        "data": {"train": f"sha256:{dice.randrange(40):064x}"}, "command": ["python", "train.py"],
        "seed": dice.randrange(8), "gpu": gpu, "cpu": {"threads": 4, "isa": "avx2"}, "env": {}, "outputs": {},
        "params": {
            "optimizer": dice.choice(OPTIMIZERS), "lr": 10 ** -dice.uniform(1, 5), "layers": dice.randrange(1, 96),
            "hidden": [128, dice.choice((64, 128))], "amp": dice.random() < 0.5, "nested": {"rate": dice.random()},
            **{f"family{family}_{name}": dice.random() for name in range(5)},
        },
    }  # fmt: skip
    created = START + timedelta(seconds=31 * number)
    fine = dice.random() < 0.92
    loss = math.nan if dice.random() < 0.01 else math.inf if dice.random() < 0.01 else dice.expovariate(2)
    metrics = {"accuracy": min(1.0, max(0.0, dice.gauss(0.85, 0.06))), "loss": loss}
    metrics |= {f"family{family}/metric{name}": dice.random() for name in range(5)}
    weights = OutputFile(path="model.pt", digest=Digest.of(f"weights {number}".encode()), size=1000, role="weights")
    return Record(
        executor="0.1.0", spec_hash=spec_hash(identity),
        experiment_key=spec_hash({key: value for key, value in identity.items() if key != "gpu"}),
        attempt=attempt(number), status="succeeded" if fine else "failed", spec=identity,
        hints=Hints(name=f"family-{family}", image="localhost/torch", labels={"team": dice.choice(("vision", "nlp"))}),
        outcome=Outcome(exit_code=0 if fine else 1, started=created - timedelta(seconds=dice.randrange(1, 7200)),
                        finished=created),
        fingerprint=_fingerprint(created, dice), findings=(), outputs=(weights,) if fine else (),
        metrics=metrics if fine else {}, created=created,
    )  # fmt: skip


def _fingerprint(created: datetime, dice: random.Random) -> Fingerprint:
    distributions = {f"package-{number}": "1.2.3" for number in range(60)}
    return Fingerprint(
        host=HostFacts(hostname=f"node{dice.randrange(50):02}", kernel="6.1", os="Debian", architecture="x86_64",
                       cpu_model="AMD EPYC 9554", isa=("avx2", "avx512"), cpus=tuple(range(64)), memory=2**38,
                       disk_free=2**40, time=created),
        engine=EngineFacts(name="docker", version="28.2.2", api_version="1.50", address="unix:///var/run/docker.sock",
                           architecture="x86_64", kernel="6.1", cpus=64, memory=2**38, storage_driver="overlay2",
                           cgroup_version="2", security=(), gpu_requests=()),
        image=ImageFacts(digest=Digest("0" * 64), id="x", size=2**30, architecture="amd64", environment={}),
        container=ContainerFacts(checked=True, python="3.11", torch="2.13.0", distributions=distributions),
    )  # fmt: skip


def _again(before: Record, number: int, dice: random.Random) -> Record:
    same = dice.random() < 0.9
    created = START + timedelta(seconds=31 * number)
    verdict = Comparison(reference=before.attempt, verdict="identical" if same else "different", reason="")
    changed = {} if same else {"metrics": before.metrics | {"accuracy": dice.random()}, "outputs": (
        OutputFile(path="model.pt", digest=Digest.of(f"other {number}".encode()), size=1000, role="weights"),
    )}  # fmt: skip
    return before.model_copy(update={
        "attempt": attempt(number), "created": created, "rerun": True, "comparison": verdict, **changed,
    })  # fmt: skip


def batches(many: int, size: int, seed: int = 1) -> Iterator[Batch]:
    """So many runs as columns, a hundred names each: 28 fields, 32 parameters, 40 metrics; `size` at a time."""
    dice = random.Random(seed)
    for start in range(0, many, size):
        yield _batch(start, min(size, many - start), dice)


def _batch(start: int, n: int, dice: random.Random) -> Batch:
    def texts(*words: str | None, weights: tuple[int, ...] | None = None) -> pa.Array:
        return pa.array(dice.choices(words, weights, k=n), pa.string())

    def hashes(different: int) -> pa.Array:
        return texts(*(f"{dice.getrandbits(256):064x}" for _ in range(different)))

    def floats() -> pa.Array:
        return pa.array([dice.random() for _ in range(n)])

    def whole(most: int) -> pa.Array:
        return pa.array([dice.randrange(1, most) for _ in range(n)], pa.int64())

    flags = [json.dumps(value) for value in (True, False)]
    found: dict[tuple[str, str], pa.Array] = {
        ("spec", "text"): pa.array([f"{dice.getrandbits(256):064x}" for _ in range(n)]),
        ("attempt", "text"): pa.array([attempt(number) for number in range(start, start + n)]),
        ("created", "int"): pa.array([EPOCH_US + 31_000_000 * number for number in range(start, start + n)]),
        ("name", "text"): texts(*(f"run-{number}" for number in range(2000))),
        ("experiment", "text"): hashes(5000), ("config", "text"): hashes(5000), ("image", "text"): hashes(50),
        ("commit", "text"): hashes(3000), ("data.train", "text"): hashes(100), ("data.test", "text"): hashes(100),
        ("status", "text"): texts("succeeded", "failed", "interrupted", weights=(90, 8, 2)),
        ("verdict", "text"): texts(None, "identical", "different", "close", weights=(80, 17, 2, 1)),
        ("proof", "text"): texts("proven", "unproven"),
        ("runtime_s", "float"): floats(), ("exit_code", "int"): whole(3),
        ("seed", "int"): whole(2**31), ("host", "text"): texts(*(f"node{number}" for number in range(200))),
        ("cpu", "text"): texts("AMD EPYC 9554", "Intel Xeon 8480"), ("gpu", "text"): texts(*GPUS, None),
        ("gpus", "int"): whole(8), ("image_name", "text"): texts("localhost/torch"), ("rerun", "json"): texts(*flags),
        ("varied", "text"): texts(None, "threads=4", weights=(99, 1)), ("outputs", "int"): whole(20),
        ("executor", "text"): texts("0.1.0", "0.2.0"), ("submitter", "text"): texts("ada", "bob", "eve"),
        ("labels.team", "text"): texts("vision", "nlp", "speech"), ("labels.owner", "text"): texts("ada", "bob"),
        ("params.optimizer", "text"): texts(*OPTIMIZERS, weights=(3, 4, 2, 1)),
        ("params.lr", "float"): pa.array([10 ** -dice.uniform(1, 5) for _ in range(n)]),
        ("metrics.accuracy", "float"): pa.array([min(1.0, max(0.0, dice.gauss(0.85, 0.06))) for _ in range(n)]),
        ("metrics.loss", "float"): pa.array([dice.choice((math.nan, 1.0)) if dice.random() < 0.001 else dice.random()
                                             for _ in range(n)]),
    }  # fmt: skip
    found |= {(f"params.rate{number}", "float"): floats() for number in range(10)}
    found |= {(f"params.size{number}", "int"): whole(512) for number in range(10)}
    found |= {(f"params.kind{number}", "text"): texts("a", "bb", "ccc", "dddd") for number in range(10)}
    found |= {(f"metrics.number{number}", "float"): floats() for number in range(38)}
    return Batch(found, [[dice.randbytes(16)] for _ in range(n)])
