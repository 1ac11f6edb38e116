"""Whether the environment is what a spec asks for, or what the reference ran in. Pure: no I/O, every check is reported.

Three moments, each a table in its own module: `launch` (numbered, before the container is created), `within` (what the
container sees before the program starts) and `reference` (a rerun against the run that it repeats). Commit and data are
checked where they are fetched; `checks.mismatch` turns that error into a finding.
"""

from __future__ import annotations

from executor.environment.checks import StoreFacts, apply_allow, run_checks
from executor.environment.launch import LAUNCH_CHECKS, Launch, choose_gpus
from executor.environment.reference import EXTRA, ROWS, compare
from executor.environment.within import INSIDE_CHECKS, Inside
from executor.facts import ContainerFacts, EngineFacts, Finding, Fingerprint, HostFacts, ImageFacts
from executor.spec.model import Spec

ELSEWHERE = ("gpu.uuid",)
"""Fields of findings that are made in the container."""


def before_launch(
    spec: Spec, host: HostFacts, engine: EngineFacts, *,
    image: ImageFacts | None, store: StoreFacts, disk_needed: int, allow: frozenset[str],
) -> list[Finding]:  # fmt: skip
    """Run the numbered checks; `image` is none when it is not pulled yet, `disk_needed` is in bytes.

    Raises `UsageError` when `allow` names no check.
    """
    launch = Launch(spec, host, engine, image, store, disk_needed, choose_gpus(spec, host, allow))
    checks = {name: check for name, check in LAUNCH_CHECKS.items() if spec.gpu or not name.startswith("gpu.")}
    return apply(run_checks(checks, launch), allow)


def in_container(spec: Spec, facts: ContainerFacts, host: HostFacts, allow: frozenset[str]) -> list[Finding]:
    """The same questions asked from inside; one finding says so when nothing could be looked at."""
    wanted = (
        [name for name in INSIDE_CHECKS if spec.gpu or not name.startswith("gpu.")] if facts.checked else ["inside"]
    )
    checks = {name: INSIDE_CHECKS[name] for name in wanted}
    return apply(run_checks(checks, Inside(spec, facts, host)), allow)


def against_reference(
    spec: Spec, reference_fingerprint: Fingerprint, now: Fingerprint, allow: frozenset[str]
) -> list[Finding]:
    """How this environment differs from the reference's; parts that `now` has not observed yet are left out."""
    return apply(compare(spec, reference_fingerprint, now), allow)


def apply(findings: list[Finding], allow: frozenset[str]) -> list[Finding]:
    """Mark the findings that the user allowed; `UsageError` lists the known fields when a name is none of them."""
    known = {*ELSEWHERE, *EXTRA, *LAUNCH_CHECKS, *INSIDE_CHECKS, *(row.name for row in ROWS)}
    return apply_allow(findings, allow, known)
