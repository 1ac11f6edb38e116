"""Where two attempts parted, and why, as far as what is stored of both tells. Pure: no I/O.

The traces give the step and what differed first. The cause is then the best explanation in this order:

1. a setting that changed at that very step;
2. a field of the environment that may change bits and differs;
3. entropy that the program read at that very step;
4. the same samples in another order;
5. entropy that the program reads at every step, or names of the host;
6. what the kind of the difference itself suggests.

A diagnosis (`executor/diagnose.py`) runs both sides again and replaces a suspicion by a cause that was tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from executor.evidence.content.found import Explanation
from executor.evidence.proof import Proof, Read
from executor.evidence.trace import Kind, Parting
from executor.facts import Fact, Finding

Cause = Literal[
    "environment", "threads", "isa", "data-order", "entropy", "nondeterministic-operation", "uninitialised-memory",
    "leak", "serialization", "program", "unknown",
]  # fmt: skip
"""Classes of `docs/determinism.md`."""


class Divergence(Fact):
    """Where an attempt parted from its reference, and why."""

    step: int | None
    """0-based count of optimizer steps; none when only files differ."""
    kind: Kind
    tensor: str | None = None
    cause: Cause
    where: str | None = None
    """`file:line` in the user's code, when known."""
    prediction: str | None = None
    """What was predicted before the run."""
    process: str | None = None
    """Place in the tree of processes of the process that parted first."""
    file: str | None = None
    """The first output that differs."""
    setting: str | None = None
    """The field or variable that explains it, for the classes `environment`, `threads` and `isa`."""
    operation: str | None = None
    """First operation with equal inputs and unequal outputs."""
    confirmed: bool = False
    """Whether the cause was tried: runs with and without it differ, or not."""
    reason: str
    """One sentence for people."""
    evidence: tuple[str, ...] = ()
    """What it was concluded from, a sentence each."""


@dataclass(frozen=True)
class Seen:
    """What is known of two attempts that differ."""

    parting: Parting | None
    """Where their traces part; none when they are equal or one is missing."""
    traced: bool
    """Whether both have a trace of at least one step."""
    findings: Sequence[Finding]
    """How the environments differ, field by field."""
    proofs: tuple[Proof | None, Proof | None]
    file: str | None
    """The first file that differs."""
    explanation: Explanation | None = None
    """What differs in the file that tells most."""
    explained: str | None = None
    """Which file that is; the first that differs when none."""
    equal_tensors: bool | None = None
    """Whether all weights that differ as files are equal as tensors; none when that is not known."""
    predicted: str | None = None


CPU_FIELDS = {"threads": "threads", "cpus_visible": "threads", "isa": "isa", "cpu_isa": "isa"}
"""Fields of the environment that have a class of their own."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MKL_DYNAMIC", "OMP_DYNAMIC", "OPENBLAS_NUM_THREADS",
                    "NUMEXPR_NUM_THREADS", "OMP_WAIT_POLICY")  # fmt: skip
ISA_VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "GLIBC_TUNABLES",
                 "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "TORCHINDUCTOR_CPP_MARCH")  # fmt: skip


def explain(seen: Seen) -> Divergence:
    """The divergence of two attempts of which at least one file differs."""
    parting, step = seen.parting, seen.parting.step if seen.parting else None
    kind: Kind = parting.kind if parting else "output"
    base = {
        "step": step, "kind": kind, "process": parting.process if parting else None, "file": seen.file,
        "tensor": parting.tensor if parting else None, "prediction": seen.predicted,
        "evidence": tuple(evidence(seen)),
    }  # fmt: skip
    found = next((one for one in candidates(seen) if one), {"cause": "unknown", "reason": "nothing that we know of"})
    return Divergence.model_validate({**base, **found})


def candidates(seen: Seen) -> Iterator[dict[str, object] | None]:
    """Explanations, the best first."""
    parting = seen.parting
    if parting is None:
        yield from _files(seen)
        return
    yield _changed_setting(seen, parting)
    yield _environment(seen)
    yield _read(_telling(seen, parting))
    if parting.order:
        yield _said("data-order", "the same samples came in another order")
    yield _read([read for read in _reads(seen) if read.kind != "clock" and _spans(read, parting.step)])
    yield _read([read for read in _reads(seen) if read.kind == "entropy"])
    yield _by_kind(parting)


def _files(seen: Seen) -> Iterator[dict[str, object] | None]:
    """When no step differs, or there are none: what the files say."""
    changed, told = _environment(seen), seen.explanation
    serial = _said("serialization", "the values are equal, only the bytes of the file differ", kind="serialization")
    if seen.equal_tensors or (told and told.same_values and not told.leaks):
        yield serial
    elsewhere = [read for read in _reads(seen) if read.kind != "clock"] or list(_reads(seen))
    places = list(dict.fromkeys(read.where for read in elsewhere))
    where = places[0] if len(places) == 1 else None
    if told and told.same_values and told.leaks:
        words = f"the values are equal; {' and '.join(told.leaks)} went into the file"
        yield _said("leak", words, kind="serialization", where=where)
    if told and told.leaks:
        yield _said("leak", f"{' and '.join(told.leaks)} went into {seen.file}", where=where)
    yield changed
    late = [read for read in elsewhere if read.kind == "entropy"] or elsewhere
    if late:
        alone = late[0].where if len({read.where for read in late}) == 1 else None
        weights = seen.equal_tensors is not None  # a clock that went into weights did not merely leak
        cause = "entropy" if late[0].kind == "entropy" else "unknown" if weights else "leak"
        yield _said(cause, f"the program reads {late[0].what} at {late[0].where}", where=alone)
    if _undetermined(seen):
        yield _said("nondeterministic-operation", f"{_undetermined(seen)[0]} has no deterministic implementation")
    elif seen.traced:
        yield _said("unknown", "every step is equal; what was written afterwards differs")


def _said(cause: str, reason: str, **more: object) -> dict[str, object]:
    return {"cause": cause, "reason": reason, **more}


def _changed_setting(seen: Seen, parting: Parting) -> dict[str, object] | None:
    if not parting.settings or parting.step == 0:
        return None
    calls = [call for proof in seen.proofs if proof for call in proof.calls
             if call.step == parting.step]  # fmt: skip
    where = calls[0].where if calls else None
    first = parting.settings[0]
    cause = "threads" if first.startswith("threads") else "environment"
    return _said(cause, f"from step {parting.step} on {first}", setting=first.partition(":")[0], where=where)


def _environment(seen: Seen) -> dict[str, object] | None:
    """The field of the environment that differs and explains most: numbers of the CPU first, then all else."""
    differing = [one for one in seen.findings if one.severity in ("refuse", "warn") and one.field != "container"]
    if modules := _modules(seen):
        differing = [*differing, Finding(field="modules", expected=modules[0], observed=modules[1], severity="warn")]
    rank = [*CPU_FIELDS, "environment", "settings"]
    differing.sort(key=lambda one: rank.index(one.field) if one.field in rank else len(rank))
    if not differing:
        return None
    one = differing[0]
    names = _variables(one) if one.field == "environment" else []
    setting = names[0] if names else one.field
    if one.field == "modules":  # the name of the module, then its version
        reason = f"the program loaded other code: {one.expected} → {one.observed}"
        return _said("environment", reason, setting=one.expected.partition(" ")[0])
    cause = CPU_FIELDS.get(one.field, "environment")
    if names:
        cause = "threads" if setting in THREAD_VARIABLES else "isa" if setting in ISA_VARIABLES else "environment"
    before, after = (_value(text, setting) if names else text for text in (one.expected, one.observed))
    return _said(cause, f"{setting} was {before} and is {after}", setting=setting)


def _value(pairs: str, name: str) -> str:
    """The value of one variable in `NAME=value, …`."""
    return next((pair.partition("=")[2] for pair in pairs.split(", ") if pair.startswith(f"{name}=")), pairs)


def _variables(one: Finding) -> list[str]:
    """Variables that differ, those of threads and instruction sets first."""
    names = [pair.partition("=")[0] for pair in one.expected.split(", ")]
    return sorted(names, key=lambda name: name not in THREAD_VARIABLES + ISA_VARIABLES)


def _modules(seen: Seen) -> tuple[str, str] | None:
    """The first module whose version or file differs at the end of the two runs."""
    one, other = (proof.modules if proof else {} for proof in seen.proofs)
    name = next((name for name in sorted(one.keys() & other.keys()) if one[name] != other[name]), None)
    if name is None and one and other and (extra := sorted(one.keys() ^ other.keys())):
        name = extra[0]
    return (f"{name} {one.get(name, 'absent')}", f"{name} {other.get(name, 'absent')}") if name else None


def _reads(seen: Seen) -> list[Read]:
    """Places in the program that read what no seed controls, those of this run first."""
    return list(dict.fromkeys(read for proof in reversed(seen.proofs) if proof for read in proof.reads))


def _telling(seen: Seen, parting: Parting) -> list[Read]:
    """Reads that happened at the step and at no other; clocks only after the first, where all programs look at them."""
    return [read for read in _reads(seen) if read.first == read.last == parting.step
            and (read.kind == "entropy" or parting.step > 0)]  # fmt: skip


def _spans(read: Read, step: int) -> bool:
    return read.first <= step <= read.last


def _read(reads: Sequence[Read]) -> dict[str, object] | None:
    if not reads:
        return None
    rank = {"entropy": 0, "host": 1, "clock": 2}
    one = min(reads, key=lambda read: rank[read.kind])
    when = f"at step {one.first}" if one.first == one.last else f"from step {one.first} to {one.last}"
    return _said("entropy", f"the program reads {one.what} at {one.where}, {when}", where=one.where)


def _by_kind(parting: Parting) -> dict[str, object]:
    said = {
        "gradient": ("nondeterministic-operation", "the same data and parameters gave another gradient"),
        "optimizer": ("nondeterministic-operation", "the same gradients gave other parameters"),
        "data": ("unknown", "other data went into the model, and no generator moved"),
        "rng": ("entropy", "a random-number generator stood elsewhere"),
        "init": ("entropy", "the parameters differ before the first step"),
    }
    cause, reason = said.get(parting.kind, ("program", parting.reason or "the program took another way"))
    return _said(cause, reason)


def _undetermined(seen: Seen) -> tuple[str, ...]:
    return next((proof.undetermined for proof in reversed(seen.proofs) if proof and proof.undetermined), ())


def evidence(seen: Seen) -> Iterator[str]:
    """What was seen, a sentence each."""
    if seen.parting and seen.parting.reason:
        yield f"trace: {seen.parting.reason}"
    elif seen.parting:
        yield (f"trace: equal up to step {seen.parting.step}, where {seen.parting.column} is the first column "
               "that differs")  # fmt: skip
    elif seen.traced:
        yield "trace: every step of both is equal"
    if seen.parting:
        yield from (f"settings: {one}" for one in seen.parting.settings)
    yield from (f"environment: {one.field}: {one.expected} → {one.observed}" for one in seen.findings
                if one.severity in ("refuse", "warn"))  # fmt: skip
    if modules := _modules(seen):
        yield f"loaded modules: {modules[0]} → {modules[1]}"
    if seen.explanation:
        yield from (f"{seen.explained or seen.file}: {line}" for line in seen.explanation.lines[:3])
    yield from _read_lines(_reads(seen))
    yield from (f"no deterministic implementation: {text}" for text in _undetermined(seen)[:3])


def _read_lines(reads: Iterable[Read]) -> Iterator[str]:
    for read in list(reads)[:6]:
        yield f"{read.kind}: {read.what} is read at {read.where}, {read.count} times, steps {read.first} to {read.last}"
