"""What the inside room said, and what follows from it.

The folder was writable for the run: what lies there is read without following links, bounded, and believed only as
far as its shape goes.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from executor.engine.plan import REFUSED_INSIDE
from executor.environment import verify
from executor.errors import EnvironmentMismatch
from executor.facts import ContainerFacts, Finding, Fingerprint, Outcome, refused
from executor.spec.model import Spec
from executor.steps.prepare import Environment

LIMIT = 4 << 20
"""Bytes of the largest report that is read."""
BARE = "the image has no python3, so the command ran without a look from inside"
SILENT = "the launcher in the container left no report"


def heard(
    spec: Spec, here: Environment, report: Path, outcome: Outcome, *, inside: bool, allow: frozenset[str]
) -> tuple[Fingerprint, tuple[Finding, ...]]:  # fmt: skip
    """Add what the container saw of itself to the fingerprint and the findings.

    Raises `EnvironmentMismatch` when the inside room refused to start the program.
    """
    if inside and outcome.exit_code == REFUSED_INSIDE and (said := _findings(read(report / "refusal.json"))):
        raise EnvironmentMismatch(
            "refused from inside the container:\n"
            + "\n".join(f"{f.field}: expected {f.expected}, found {f.observed}" for f in refused(said)),
            findings=[*here.findings, *said],
            advice=next((f.advice for f in refused(said) if f.advice), ""),
        )
    container = _container(report) if inside else ContainerFacts(checked=False, reason=BARE)
    # the program has run: what is found now can warn, no longer refuse
    late = [f.model_copy(update={"severity": "warn"}) if f.severity == "refuse" else f
            for f in verify.in_container(spec, container, here.fingerprint.host, allow)]  # fmt: skip
    return here.fingerprint.model_copy(update={"container": container}), (*here.findings, *late)


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file that the run could have replaced; empty for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {}
        data = file.read(LIMIT + 1)
    try:
        found = json.loads(data) if len(data) <= LIMIT else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _container(report: Path) -> ContainerFacts:
    launch = read(report / "launch.json")
    try:
        return ContainerFacts.model_validate({**launch, **read(report / "torch.json"), "checked": bool(launch)}
                                             | ({} if launch else {"reason": SILENT}))  # fmt: skip
    except ValidationError:
        return ContainerFacts(checked=False, reason=SILENT)


def _findings(document: dict[str, Any]) -> list[Finding]:
    try:
        return [Finding.model_validate(line) for line in document.get("findings", [])]
    except ValidationError:
        return []
