"""Where and why a rerun parted, found by running it again: both sides, up to the step where their traces part.

(1) The stored traces say at which step. (2) Both sides run up to it in fresh containers, with every operation of that
step written down: one as the reference ran, one as this run did. (3) The first operation with equal inputs and unequal
outputs, or the first value from outside, is the origin. (4) One setting at a time is changed until the difference comes
or goes; that setting is the cause. What cannot be tried stays a suspicion, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from executor.engine.how import How
from executor.environment import verify
from executor.evidence.divergence import ISA_VARIABLES, THREAD_VARIABLES, Cause, Divergence
from executor.evidence.operations import Origin, origin
from executor.evidence.proof import Read
from executor.evidence.record import Record
from executor.evidence.trace import Parting, Trace, part
from executor.run import Options
from executor.spec.canonical import Digest, sealed
from executor.spec.model import Spec
from executor.steps.history import read, spec_of
from executor.steps.site import Site
from executor.steps.traces import load
from executor.twin import Trial, attempt

TRIES = 3
"""Runs of one side beyond the first that look for a difference which does not always come."""
REMEDIES: Mapping[str, dict[str, str]] = {
    "determinism": {"determinism": "strict"},
    "threads": {"threads": "1"},
    "fill_uninitialized_memory": {"fill": "on"},
}
"""Settings under which a program that does not repeat itself may: tried one at a time, twice each."""


@dataclass
class Case:
    """What a diagnosis works on, and what it has found."""

    spec: Spec
    site: Site
    options: Options
    reference: Record
    parting: Parting
    notes: list[str] = field(default_factory=list)

    def run(self, varied: Mapping[str, str], capture: int | None = None) -> Trial:
        """One trial up to the step where the traces part."""
        stop = self.parting.step if capture is None else max(capture, 0)
        how = How(trace="tensors", stop_after=stop, capture=capture, varied=varied)
        allow = self.options.allow
        return attempt(self.spec, self.site, replace(self.options, allow=allow), how, process=self.parting.process)

    def note(self, text: str) -> None:
        """Keep a sentence for the report, and tell whoever waits."""
        self.notes.append(text)
        self.site.reporter.stage(text)


def diagnosed(spec_hash: Digest, name: str, site: Site, options: Options) -> Divergence:
    """The divergence of a stored attempt from its reference, with its cause tried; it is stored beside the record."""
    record = read(site.store, spec_hash, name)
    known = record.comparison.divergence if record.comparison else None
    if known is None or record.comparison is None:
        raise ValueError(f"{name} does not differ from its reference")
    reference = read(site.store, spec_hash, record.comparison.reference)
    before, after = load(site.store, reference), load(site.store, record)
    parting = part(before, after) if before and after else None
    case = Case(spec_of(site.store, record), site, options, reference, parting or Parting("0", 0, "output", ""))
    found = known
    if parting is not None:
        found = _tried(case, record, known)
    elif record.varied and known.cause != "serialization":
        found = _by_outputs(case, record, known)
    site.store.put_diagnosis(spec_hash, name, sealed(found.model_dump(mode="json")))
    return found


def _tried(case: Case, record: Record, known: Divergence) -> Divergence:
    case.note(f"both sides run up to step {case.parting.numeric}, every operation of it is written down")
    here, there = _sides(case, record)
    parting = part(here.trace, there.trace) if here.trace and there.trace else None
    if parting is None:
        return _not_again(case, record, known, here)
    if parting.numeric != case.parting.numeric:
        case.note(f"these two part at step {parting.numeric}; they run again up to it")
        # these traces are cut: only whole ones tell whether the same samples came in another order
        case = replace(case, parting=replace(parting, order=parting.order or case.parting.order))
        here, there = _sides(case, record)
    found = origin(here.operations, there.operations)
    told = {"tensor": parting.tensor or known.tensor, **_concluded(case, record, known, found, (here, there))}
    notes = (*([_sentence(found)] if found else []), *case.notes[1:])
    return known.model_copy(update={**told, "evidence": (*notes, *known.evidence)})


def _sides(case: Case, record: Record) -> tuple[Trial, Trial]:
    """One trial as the reference ran and one as this run did; when they agree, the latter again a few times."""
    step = case.parting.numeric
    one = case.run({}, step)
    for _ in range(_tries(record)):
        other = case.run(record.varied, step)
        if one.trace and other.trace and part(one.trace, other.trace):
            break
    return one, other


def _tries(record: Record) -> int:
    """Trials of this run's side: what sets races free does not part in every one."""
    return 1 if record.varied and not {"deterministic", "determinism"} & record.varied.keys() else TRIES


def _not_again(case: Case, record: Record, known: Divergence, here: Trial) -> Divergence:
    """The trials agree with each other: the difference is rare, or one of environments that are not both here."""
    before = load(case.site.store, case.reference)
    if before and here.trace and _reaches(before, here.trace, case.parting):
        often = _tries(record) + 1
        case.note(f"{often} trials gave what the reference gave: the difference does not always come")
        return known.model_copy(update={"evidence": (*case.notes[1:], *known.evidence)})
    findings = verify.against_reference(case.spec, case.reference.fingerprint, record.fingerprint, frozenset())
    fields = [one.field for one in findings if one.severity in ("refuse", "warn")]
    if not fields:
        case.note(
            f"{_tries(record) + 1} trials agree with each other and not with the reference: it does not always come"
        )
        return known.model_copy(update={"evidence": (*case.notes[1:], *known.evidence)})
    case.note("trials here give what this run gave, and not what the reference gave: the machine is the difference")
    sure = {"confirmed": len(fields) == 1 and known.setting == fields[0]}
    return known.model_copy(update={**sure, "evidence": (*case.notes[1:], *known.evidence)})


def _reaches(before: Trace, here: Trace, parting: Parting) -> bool:
    """Whether a trial went as the reference did, up to and with the step."""
    ends = []
    for trace in (before, here):
        process = trace.processes.get(parting.process)
        rows = process.rows if process else ()
        ends.append(next((row.chain for row in rows if row.step == parting.numeric), None))
    return ends[0] is not None and ends[0] == ends[1]


def _by_outputs(case: Case, record: Record, known: Divergence) -> Divergence:
    """No step differs, and something was varied: whole runs, with one varied setting at a time."""
    case.note("no step differs: the program runs whole, with and without what was varied")

    def result(varied: Mapping[str, str]) -> dict[str, str]:
        how = How(trace="off", varied=varied)
        return attempt(case.spec, case.site, case.options, how).result

    plain = result({})
    if plain != result({}):
        case.note("it does not repeat itself without the variation either")
        return known.model_copy(update={"evidence": (*case.notes[1:], *known.evidence)})
    guilty = [name for name, value in record.varied.items() if result({name: value}) != plain]
    told = _named(case, record.varied, guilty[0], "") if guilty else {}
    return known.model_copy(update={**told, "evidence": (*case.notes[1:], *known.evidence)})


def _concluded(
    case: Case, record: Record, known: Divergence, found: Origin | None, sides: tuple[Trial, Trial]
) -> dict[str, object]:
    """The cause: a setting that was varied, or what makes the program not repeat itself."""
    told: dict[str, object] = {"operation": found.operation if found else None}
    again = case.run({}, case.parting.numeric) if record.varied else None
    repeats = bool(again and again.trace and sides[0].trace and part(sides[0].trace, again.trace) is None)
    if again and not repeats:
        case.note("it does not repeat itself without the variation either")
        found, sides = origin(sides[0].operations, again.operations), (sides[0], again)
    if record.varied and repeats:
        return told | _setting(case, record.varied, found)
    return told | _unrepeatable(case, known, found, sides)


def _setting(case: Case, varied: Mapping[str, str], found: Origin | None) -> dict[str, object]:
    """Of the settings that were varied, the one that alone makes the difference."""
    guilty = list(varied) if len(varied) == 1 else [
        name for name, value in varied.items() if _differ(case, {}, {name: value})
    ]  # fmt: skip
    where: dict[str, object] = {"where": found.where} if found and found.where else {}
    if not guilty:
        case.note("no one of the settings makes the difference alone, all of them together do")
        together = " ".join(f"{name}={value or 'unset'}" for name, value in varied.items())
        return {"confirmed": True, "reason": f"{together} together make the difference", **where}
    more = ""
    if found and found.what == "operation":
        more = f", and {found.operation} gives other values from the same ones"
    told = _named(case, varied, guilty[0], more)
    if case.parting.order and told["cause"] == "entropy":
        told["cause"] = "data-order"
    return {**told, **where}


def _named(case: Case, varied: Mapping[str, str], name: str, more: str) -> dict[str, object]:
    """What is said of the setting that makes the difference."""
    value = varied[name] or "unset"
    case.note(f"with {name}={value} alone the difference comes, without it it does not")
    reason = f"{name} was varied to {value}{more}"
    return {"cause": _class_of(name), "setting": name, "confirmed": True, "reason": reason}


SWITCHED: Mapping[str, Cause] = {
    "cpus": "threads", "threads": "threads", "sqrt": "isa", "python": "entropy", "numpy": "entropy",
    "torch": "entropy", "seeds": "entropy", "PYTHONHASHSEED": "entropy",
    "fill": "uninitialised-memory", "warm_up": "nondeterministic-operation",
    "deterministic": "nondeterministic-operation", "determinism": "nondeterministic-operation",
}  # fmt: skip
"""The class of what a varied setting brings out."""


def _class_of(name: str) -> Cause:
    if name in SWITCHED:
        return SWITCHED[name]
    if name in THREAD_VARIABLES:
        return "threads"
    return "isa" if name in ISA_VARIABLES else "environment"


def _differ(case: Case, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    left, right = case.run(one), case.run(other)
    return bool(left.trace and right.trace and part(left.trace, right.trace))


def _unrepeatable(case: Case, known: Divergence, found: Origin | None, sides: tuple[Trial, Trial]) -> dict[str, object]:
    """The same program, twice in one environment, gave two results."""
    if found is None:
        return {}
    where = found.where or known.where
    if found.what == "uninitialised":
        return _said("uninitialised-memory", f"memory that {found.where} made was read before it was written", where)
    if known.setting and known.cause in ("threads", "isa", "environment"):
        return {"confirmed": True, "where": known.where or found.where or None}  # the trials part where it changed
    near = _near(sides[1].heard.proof.reads, case.parting.numeric)
    if found.what == "operation" and not (near and near.where == where):
        words = f"{found.operation} at {where} gave other values from the same ones"
        return _said("nondeterministic-operation", words, where, remedy=_remedy(case))
    if near:
        words = f"{near.what}, read at {near.where}, reached {found.operation} at {where}"
        return _said("entropy", words, near.where)
    if found.what == "random":
        return _said("entropy", f"the generator that {found.operation} at {where} draws from stood elsewhere", where)
    if case.parting.order:
        return _said("data-order", f"the same samples came in another order into {found.operation} at {where}", where)
    words = {
        "outside": f"{found.operation} at {where} got other values from outside torch",
        "scalar": f"{found.operation} at {where} got another number: {found.detail}",
        "changed-outside": f"a tensor was changed outside torch before {found.operation} at {where}",
        "other-way": f"the program took another way at {where}: {found.detail}",
    }.get(found.what, f"{found.operation} at {where} gave other values")
    cause = known.cause if known.where and known.cause in ("entropy", "data-order", "leak") else "program"
    return {"cause": cause, "reason": words, "where": known.where or where, "confirmed": cause != "program"}


def _said(cause: Cause, reason: str, where: str | None, remedy: str = "") -> dict[str, object]:
    return {"cause": cause, "reason": reason + (f"; {remedy}" if remedy else ""), "where": where, "confirmed": True}


def _near(reads: tuple[Read, ...], step: int) -> Read | None:
    """The read of entropy nearest to a step: at that step alone, else one that was still going on."""
    during = [read for read in reads if read.first <= step <= read.last]
    rank = {"entropy": 0, "host": 1, "clock": 2}
    during.sort(key=lambda read: (read.first != read.last, rank[read.kind]))
    exact = [read for read in during if read.first == read.last or read.kind == "entropy"]
    return next(iter(exact), None)


def _remedy(case: Case) -> str:
    """The setting under which two trials agree, tried one at a time."""
    for name, varied in _remedies(case.spec):
        if not _differ(case, varied, varied):
            case.note(f"with {name} set to {next(iter(varied.values()))} two trials agree")
            return f"with {name}={next(iter(varied.values()))} it repeats itself"
    return ""


def _remedies(spec: Spec) -> Iterator[tuple[str, dict[str, str]]]:
    for name, varied in REMEDIES.items():
        in_force = (name == "determinism" and spec.determinism == "strict") or (
            name == "threads" and spec.cpu.threads == 1
        )
        if not in_force:
            yield name, varied


def _sentence(found: Origin) -> str:
    said = {
        "operation": "equal inputs, unequal outputs",
        "random": "its generator stood elsewhere",
        "outside": "a value came from outside torch",
        "uninitialised": "it read memory that nobody had written",
        "scalar": "a number came with another value",
        "other-way": "another operation was run",
        "changed-outside": "a tensor was changed outside torch before it",
    }[found.what]
    detail = f" ({found.detail})" if found.detail else ""
    return f"operation {found.index}, {found.operation} at {found.where or 'an unknown line'}: {said}{detail}"
