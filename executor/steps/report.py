"""What the inside room said, and what follows from it.

The folder was writable for the run: what lies there is read without following links, bounded, and believed only as
far as its shape goes.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from executor.environment import verify
from executor.errors import EnvironmentMismatch
from executor.evidence.proof import Proof, prove
from executor.evidence.record import Record
from executor.facts import ContainerFacts, Finding, Fingerprint, refused
from executor.spec.model import Spec
from executor.steps.prepare import Environment

LIMIT = 4 << 20
"""Bytes of the largest report that is read."""
MOST = 10_000
"""Reports of processes that are read."""
TOGETHER = 64 << 20
"""Bytes of all of one kind that are read."""
BARE = "the image has no python3, so the command ran without a look from inside"
SILENT = "the launcher in the container left no report"
GARBLED = "the report from inside the container is not what the launcher writes"


@dataclass(frozen=True)
class Heard:
    """What the inside room said of a run."""

    fingerprint: Fingerprint
    findings: tuple[Finding, ...]
    proof: Proof


def heard(
    spec: Spec, here: Environment, report: Path, *, inside: bool, reference: Record | None, allow: frozenset[str],
    varied: bool = False,
) -> Heard:  # fmt: skip
    """Add what the container saw of itself to the fingerprint and the findings; a rerun's `reference` is compared too.

    Raises `EnvironmentMismatch` when the inside room refused to start the program.
    """
    if bad := refused(_findings(read(report / "refusal.json"))):  # a child may have been the one refused
        raise EnvironmentMismatch(
            "refused from inside the container:\n"
            + "\n".join(f"{f.field}: expected {f.expected}, found {f.observed}" for f in bad),
            findings=[*here.findings, *bad],
            advice=next((f.advice for f in bad if f.advice), ""),
        )
    container = _container(report) if inside else ContainerFacts(checked=False, reason=BARE)
    seen = here.fingerprint.model_copy(update={"container": container})
    said = [f for name in ("launch.json", "torch.json") for f in _findings(read(report / name))]
    late = verify.in_container(spec, container, seen.host, allow)
    late = said + [f for f in late if f.field not in {one.field for one in said}]
    if reference is not None:
        again = verify.against_reference(spec, reference.fingerprint, seen, allow)
        late += [f for f in again if f not in here.findings and f.field != "reference"]
    # the program has run: what is found now can warn, no longer refuse
    warned = [f.model_copy(update={"severity": "warn"}) if f.severity == "refuse" else f for f in late]
    began, ended = list(_every(report, "began")), list(_every(report, "process"))
    proof = prove(spec, began, ended, inside=inside, varied=varied)
    return Heard(seen, (*here.findings, *warned), proof)


@dataclass
class Allowance:
    """Bytes that may still be read of a folder that the run could fill."""

    left: int

    def bytes(self, path: Path, limit: int) -> bytes | None:
        """A file of at most `limit` bytes, as `read_bytes` gives it; none when the allowance is used up."""
        data = read_bytes(path, min(limit, self.left))
        self.left -= len(data or b"")
        return data


def names(folder: Path, pattern: re.Pattern[str], most: int) -> list[str]:
    """The first of the names in a folder that match, however many there are, sorted."""
    with os.scandir(folder) as entries:
        return nsmallest(most, (entry.name for entry in entries if pattern.fullmatch(entry.name)))


def read(path: Path, limit: int = LIMIT) -> dict[str, Any]:
    """A JSON object from a file that the run could have replaced; empty for anything else."""
    return _object(read_bytes(path, limit))


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(data) if data is not None else None
        # half a surrogate pair is in no text that can be stored
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_bytes(path: Path, limit: int) -> bytes | None:
    """A regular file that the run could have replaced; none for anything else, or more than `limit` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > limit:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    return data if len(data) <= limit else None


def _every(report: Path, kind: str) -> Iterator[dict[str, Any]]:
    allowance = Allowance(TOGETHER)
    for name in names(report, re.compile(rf"{kind}-.*\.json"), MOST):
        if document := _object(allowance.bytes(report / name, LIMIT)):
            yield document


def _container(report: Path) -> ContainerFacts:
    launch = read(report / "launch.json")
    if not launch:
        return ContainerFacts(checked=False, reason=SILENT)
    said = {**launch, **read(report / "torch.json"), **read(report / "probe.json"), "checked": True, "reason": ""}
    try:  # as JSON: what cannot be written into a record (half a character, endless nesting) is not read either
        return ContainerFacts.model_validate_json(json.dumps(said))
    except (ValidationError, RecursionError):
        return ContainerFacts(checked=False, reason=GARBLED)


def _findings(document: dict[str, Any]) -> list[Finding]:
    lines = document.get("findings")
    try:
        return [Finding.model_validate(line) for line in lines] if isinstance(lines, list) else []
    except ValidationError:
        return []
