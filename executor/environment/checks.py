"""What a check is, how a list of them becomes findings, and the checks that `verify` and `doctor` share. Pure: no I/O.

A check looks at facts and gives one answer; its name in the table is the field of the finding and what `--allow` takes.
Checks run in the order of their table, every one is reported, and a check of nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from textwrap import wrap
from typing import NamedTuple, TypeVar

from executor.errors import InputMismatch, UsageError
from executor.facts import EngineFacts, Fact, Finding, Severity

T = TypeVar("T")
SKEW_WARN_S, SKEW_REFUSE_S = 60.0, 900.0
"""Clock skew against the store: S3 refuses signatures that are 15 minutes off."""
OLDEST_API = (1, 40)
"""Docker 19.03, the first with device requests."""
EARLIEST_YEAR = 2024
"""A clock before this was never set."""
UNCHECKED = "not checked"
"""What an answer has observed when nobody could look."""


class Answer(NamedTuple):
    """What one check found; a severity of `info` means that all is well, or that there is nothing to compare."""

    expected: str
    observed: str
    severity: Severity = "info"
    advice: str = ""


class StoreFacts(Fact):
    """The store as a probe of it found it."""

    address: str
    """`s3://…` or `file:…`."""
    reachable: bool = True
    writable: bool = True
    faults: tuple[Finding, ...] = ()
    """What it cannot do of what safe results need; `refuse` where two runs could harm each other."""
    single_writer: bool = False
    """Whether the user vouches that nobody else writes to it."""
    skew_s: float | None = None
    """Host clock minus the store's in seconds; none when the store has no clock of its own."""
    problem: str = ""
    """What the probe was told, when it failed."""
    advice: str = ""
    """What to do about that."""


def run_checks(checks: Mapping[str, Callable[[T], Answer]], facts: T) -> list[Finding]:
    """One finding for each check, in order; `RuntimeError` when there is no check at all."""
    if not checks:
        raise RuntimeError("a check of nothing proves nothing")
    return [finding(field, check(facts)) for field, check in checks.items()]


def finding(field: str, answer: Answer) -> Finding:
    """The answer under the name of its field."""
    return Finding(field=field, **answer._asdict())


def apply_allow(findings: Iterable[Finding], allow: frozenset[str], known: Iterable[str]) -> list[Finding]:
    """Mark what the user allowed; raises `UsageError` for a field that no check has."""
    fields = sorted(known)
    if inputs := sorted(name for name in allow if name.startswith(("code.", "data."))):
        raise UsageError(f"--allow {', '.join(inputs)}: code and data are what the spec is about; no other will do",
                         advice="lock the draft again to take what is there now")  # fmt: skip
    if unknown := sorted(name for name in allow if name not in fields):
        raise UsageError(f"--allow {', '.join(unknown)}: no check has this name", advice=_names(unknown, fields))
    return [
        one.model_copy(update={"allowed": True}) if one.field in allow and one.severity != "info" else one
        for one in findings
    ]


def _names(unknown: Iterable[str], fields: list[str]) -> str:
    """What may have been meant, then every name, in lines."""
    meant = dict.fromkeys(near for name in unknown for near in get_close_matches(name, fields, n=1))
    guess = f"did you mean {' or '.join(meant)}? " if meant else ""
    lines = wrap(", ".join(fields), 90, break_on_hyphens=False, break_long_words=False)
    return "\n    ".join([f"{guess}The names are" if guess else "the names are", *lines])


def mismatch(error: InputMismatch) -> Finding:
    """The finding for an input that is not what the spec names; fields `code.commit` and `data.<name>`."""
    return Finding(
        field=error.field, expected=error.expected, observed=error.observed, severity="refuse", advice=error.advice
    )


def check_store(store: StoreFacts) -> Answer:
    """Reachable and writable."""
    expected = "reachable and writable"
    if not store.reachable:
        return Answer(
            expected,
            f"{store.address} did not answer: {store.problem}",
            "refuse",
            store.advice or "start it, or name another with --store",
        )
    if not store.writable:
        return Answer(
            expected,
            f"{store.address} cannot be written: {store.problem}",
            "refuse",
            store.advice or "check its credentials and its policy",
        )
    return Answer(expected, expected)


def check_capabilities(store: StoreFacts) -> Answer:
    """Conditions that are kept, for who is not alone; what else is lacking costs safety, and is told."""
    expected = "conditional puts, swaps, checksums and ranges that are kept"
    if not store.writable:
        return Answer(expected, UNCHECKED)
    if not store.faults:
        return Answer(expected, "as expected")
    observed = "; ".join(f"{one.field.removeprefix('store.')}: {one.observed}" for one in store.faults)
    advice = "; ".join(dict.fromkeys(one.advice for one in store.faults if one.advice))
    if any(one.severity == "refuse" for one in store.faults):
        if not store.single_writer:
            return Answer(expected, f"{store.address}: {observed}", "refuse",
                          f"{advice}; or vouch with --single-writer that nobody else writes there")  # fmt: skip
        observed += "; it is looked before each put, as --single-writer vouches that nobody else writes"
    return Answer(expected, f"{store.address}: {observed}", "warn", advice)


def check_clock(now: datetime, skew_s: float | None) -> Answer:
    """A set clock, near the store's: signatures and the order of attempts depend on it."""
    advice = "set the clock (timedatectl set-ntp true)"
    if now.year < EARLIEST_YEAR:
        return Answer(f"{EARLIEST_YEAR} or later", now.isoformat(), "refuse", advice)
    expected = f"within {SKEW_WARN_S:.0f} s of the store's"
    if skew_s is None:
        return Answer("a set clock", now.isoformat())
    off = f"{skew_s:+.0f} s"
    if abs(skew_s) > SKEW_REFUSE_S:
        return Answer(expected, off, "refuse", advice)
    return Answer(
        expected, off, "warn" if abs(skew_s) > SKEW_WARN_S else "info", advice if abs(skew_s) > SKEW_WARN_S else ""
    )


def check_engine(engine: EngineFacts) -> Answer:
    """A known engine, new enough for device requests, that confines system calls."""
    expected = "docker or podman, API 1.40 or newer, seccomp"
    observed = f"{engine.name} {engine.version}, API {engine.api_version}"
    if version(engine.api_version) < OLDEST_API:
        return Answer(expected, observed, "refuse", "update the engine to Docker 19.03 or newer")
    if engine.name not in {"docker", "podman"}:
        return Answer(expected, observed, "warn", "this engine was never tried")
    if not any("seccomp" in option for option in engine.security):
        return Answer(expected, f"{observed}, no seccomp", "warn", "run the engine with its default seccomp profile")
    return Answer(expected, observed)


def check_gpu_requests(engine: EngineFacts) -> Answer:
    """Podman's Docker API ignores a GPU request without a word, so the engine must say that it can."""
    expected = "an engine that hands GPUs to containers (nvidia or cdi)"
    if engine.gpu_requests:
        return Answer(expected, ", ".join(engine.gpu_requests))
    advice = "install nvidia-container-toolkit and restart the engine"
    if engine.name != "docker":
        advice = "use Docker: this engine's Docker API ignores GPU requests"
    return Answer(expected, f"{engine.name} {engine.version} cannot", "refuse", advice)


def amount(size: int) -> str:
    """Bytes for people, such as `7.5 GiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def version(text: str) -> tuple[int, ...]:
    """Leading numbers of a version, such as `(20, 10, 24)`; empty for text that is no version."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
