"""What the exit reports of a run's processes prove: that the contract was in force to the end. Pure: no I/O.

- `proven`: every process that computes left a report, and what it says was in force is what was set.
- `violated`: a report says that the program took the contract back; who did it is named.
- `unproven`: a report is missing, or nobody could look. Never silently good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from executor.facts import Fact
from executor.spec.model import Spec

Standing = Literal["proven", "violated", "unproven"]
TAKES_BACK = ("torch.use_deterministic_algorithms(False", "torch.use_deterministic_algorithms(mode=False",
              "torch.set_deterministic_debug_mode(0", "torch.set_deterministic_debug_mode('default'")  # fmt: skip
"""Calls that take the contract back, even when a later one restores it."""
MOST = 500
"""Entries of a kind that are kept."""
IN_FORCE: Mapping[str, Any] = {
    "deterministic_algorithms": True, "warn_only": False, "cudnn_deterministic": True, "cudnn_benchmark": False,
    "cudnn_tf32": False, "matmul_tf32": False, "fp16_reduced_precision_reduction": False,
    "bf16_reduced_precision_reduction": False, "fp16_accumulation": False,
}  # fmt: skip
"""Settings of torch under `strict`, as they must be at the end; a torch that lacks one says none."""


class Read(Fact):
    """A place in the program that reads what no seed controls."""

    kind: Literal["entropy", "clock", "host"]
    what: str
    """Such as `os.urandom`, `time.time`, `/proc/cpuinfo`."""
    file: str
    line: int
    count: int
    first: int
    """Optimizer steps taken at the first read."""
    last: int
    process: str = ""

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


class Call(Fact):
    """A call of the program's that changes what torch computes."""

    call: str
    where: str
    step: int
    process: str = ""


class Proof(Fact):
    """What is known of a run at its end."""

    standing: Standing
    reasons: tuple[str, ...] = ()
    """Why it is not proven."""
    reads: tuple[Read, ...] = ()
    calls: tuple[Call, ...] = ()
    undetermined: tuple[str, ...] = ()
    """Operations without a deterministic implementation, with their lines."""
    settings: dict[str, Any] = {}
    """In force at the end of the first process."""
    modules: dict[str, str] = {}
    """Version and file of every module that was loaded at the end."""
    libraries: tuple[str, ...] = ()
    """Shared objects with their sizes in bytes."""
    probe_changed: tuple[str, ...] = ()
    """Operations of the numeric probe that gave something else at the end than at launch."""


def prove(
    spec: Spec, began: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]], *, inside: bool,
    varied: bool = False,
) -> Proof:  # fmt: skip
    """Judge the reports of all processes; `inside` says whether anything could be looked at.

    A run whose contract was `varied` on purpose proves nothing, and is no fault of the program.
    """
    if not inside:
        return Proof(standing="unproven", reasons=("the image has no Python, so nothing was looked at from inside",))
    try:
        found = _judge(spec, began, ended)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):  # `ValidationError` is a `ValueError`
        return Proof(standing="unproven", reasons=("the exit reports are not what the inside room writes",))
    if varied:
        return found.model_copy(update={"standing": "unproven", "reasons": ("the contract was varied on purpose",)})
    return found


def _judge(spec: Spec, began: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]]) -> Proof:
    missing = _missing(began, ended)
    broken = [text for report in ended for text in _broken(spec, report)]
    main = next((report for report in ended if report.get("process") == "0"), {})
    standing: Standing = "violated" if broken else "unproven" if missing or spec.determinism != "strict" else "proven"
    if spec.determinism != "strict":
        missing = [*missing, f"the spec asks for `determinism: {spec.determinism}`"]
    return Proof(
        standing=standing, reasons=(*broken, *missing), reads=_all(ended, "entropy"), calls=_all(ended, "calls"),
        undetermined=tuple(dict.fromkeys(text for report in ended for text in report.get("undetermined", ()))),
        settings=main.get("settings", {}), modules=main.get("modules", {}), libraries=main.get("libraries", ()),
        probe_changed=main.get("probe_changed", ()),
    )  # fmt: skip


def _missing(began: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]]) -> list[str]:
    """Processes that owe a report, by name; the program itself always does."""
    if not any(str(report.get("process")) == "0" for report in began):
        return ["no Python process of the program said that it began"]
    owed = Counter(str(report.get("process")) for report in began)
    owed.subtract(Counter(str(report.get("process")) for report in ended))
    return [f"process {name} left no exit report" for name, count in sorted(owed.items()) if count > 0]


def _broken(spec: Spec, report: Mapping[str, Any]) -> list[str]:
    settings = report.get("settings") or {}
    if not settings or spec.determinism != "strict":
        return []
    off = [call["where"] for call in report.get("calls", ()) if call["call"].startswith(TAKES_BACK)]
    wrong = {name: settings[name] for name, value in IN_FORCE.items() if settings.get(name) not in (None, value)}
    places = [call["where"] for call in report.get("calls", ())]
    by = f" (by {', '.join(dict.fromkeys(places))})" if places else ""
    said = [f"process {report.get('process')}: {name} was {value} at the end, not {IN_FORCE[name]}{by}"
            for name, value in wrong.items()]  # fmt: skip
    return said or [f"process {report.get('process')}: the contract was taken back at {place}" for place in off[:5]]


def _all(ended: Sequence[Mapping[str, Any]], key: str) -> Any:
    entries = [dict(entry, process=report.get("process", "")) for report in ended for entry in report.get(key, ())]
    return tuple(entries[:MOST])
