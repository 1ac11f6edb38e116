"""What a rerun will give, said before it runs, and how good such sayings were. Pure: no I/O.

`identical` is said only when nothing speaks against it; `different` only when something known to change bits does; all
else is `unknown`. Every prediction is stored with its outcome, so that its worth is a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from executor.evidence.proof import Proof
from executor.facts import Fact, Finding

if TYPE_CHECKING:  # only a rerun pays for the screen's tables
    from executor.evidence.screen import Suspect

Value = Literal["identical", "different", "unknown"]
DECISIVE = frozenset({"gpu_name", "gpu_capability", "gpu_multiprocessors", "gpu_mig", "gpu.type"})
"""Fields whose difference changes the bits of nearly every program."""


class Prediction(Fact):
    """What was said before a rerun."""

    value: Value
    rule: str
    """Name of the rule that fired, as in `docs/determinism.md`."""
    why: str
    """One sentence."""


@dataclass(frozen=True)
class Before:
    """What is known before a rerun."""

    strict: bool
    """Whether the spec asks for `determinism: strict`."""
    proof: Proof | None
    """Of the reference."""
    findings: Sequence[Finding]
    """How this environment differs from the reference's; those of class `context` have severity `info`."""
    varied: Mapping[str, str]
    """What the user changed for this run."""
    reference_probe: Mapping[str, str]
    probe: Mapping[str, str]
    """Numeric probe of this environment; empty when it was not taken."""
    agreed: int
    """Attempts that agree with the reference bit for bit, the reference among them, in an environment like this.

    However many they are, they prove nothing of a program that reads what no seed controls.
    """
    disagreed: int
    """Attempts that do not."""
    suspects: Sequence[Suspect]
    """Constructs in the program that the contract cannot control."""
    twin: bool = False
    """Whether the first steps were just run twice here and agreed."""


def predict(before: Before) -> Prediction:
    """The first rule that fires."""
    return next(Prediction(value=value, rule=rule, why=why) for value, rule, why in _rules(before))


def _rules(at: Before) -> Iterator[tuple[Value, str, str]]:
    yield from _environment(at)
    if at.disagreed:
        yield "different", "history", f"{at.disagreed} of {at.agreed + at.disagreed} attempts already differed here"
    yield from _unproven(at)
    reads = at.proof.reads if at.proof else ()
    if entropy := [read for read in reads if read.kind == "entropy"]:
        yield "unknown", "entropy", f"the program reads {entropy[0].what} at {entropy[0].where}"
    if reads:
        yield (
            "unknown",
            reads[0].kind,
            f"the program reads {reads[0].what} at {reads[0].where}; it may reach the result",
        )
    if at.suspects:
        beyond = at.suspects[0]
        where = f"{beyond.file}:{beyond.line}"
        yield "unknown", "screen", f"{beyond.source} at {where} is beyond the contract: {beyond.text}"
    seen = "its first steps repeat" if at.twin else "nothing in it is beyond the contract"
    yield "identical", "contract", f"same environment, proven contract, and {seen}"


def _environment(at: Before) -> Iterator[tuple[Value, str, str]]:
    differing = [one for one in at.findings if one.severity in ("refuse", "warn")]
    names = ", ".join(dict.fromkeys([*(one.field for one in differing), *at.varied]))
    shared = at.probe.keys() & at.reference_probe.keys()
    unlike = sorted(name for name in shared if at.probe[name] != at.reference_probe[name])
    if not names and not unlike:
        return
    if decisive := [one for one in differing if one.field in DECISIVE]:
        yield "different", "device", f"{decisive[0].field} was {decisive[0].expected} and is {decisive[0].observed}"
    if unlike:
        yield (
            "different",
            "probe",
            f"{names} differ, and so do {len(unlike)} operations of the numeric probe, {unlike[0]} first",
        )
    yield "unknown", "environment", f"{names} differ; the numeric probe {'agrees' if shared else 'was not taken'}"


def _unproven(at: Before) -> Iterator[tuple[Value, str, str]]:
    if not at.strict:
        yield "unknown", "not-strict", "the spec does not ask for `determinism: strict`"
    if at.proof is None or at.proof.standing != "proven":
        why = at.proof.reasons[0] if at.proof and at.proof.reasons else "no exit report"
        yield "unknown", "unproven", f"the reference does not prove that the contract was in force: {why}"


class Score(Fact):
    """How good predictions were."""

    total: int
    unknown_share: float | None
    """Of all predictions; none when there are none."""
    precision: dict[str, float | None]
    """By what was said, `identical` and `different`: the share that came true."""
    counts: dict[str, dict[str, int]]
    """What was said → what came out → how often."""
    false_identical: int
    """`identical` was said and something else came out: the number that must stay 0."""


def score(pairs: Iterable[tuple[str, str]]) -> Score:
    """Judge pairs of what was predicted and the verdict; verdicts of `incomparable` do not count."""
    counts: Counter[tuple[str, str]] = Counter((said, came) for said, came in pairs if came != "incomparable")
    total = sum(counts.values())

    def share(said: str) -> float | None:
        of = sum(number for (one, _), number in counts.items() if one == said)
        right = sum(
            number
            for (one, came), number in counts.items()
            if one == said and (came == "identical") == (said == "identical")
        )
        return right / of if of else None

    table: dict[str, dict[str, int]] = {}
    for (said, came), number in sorted(counts.items()):
        table.setdefault(said, {})[came] = number
    unknown = sum(table.get("unknown", {}).values())
    return Score(
        total=total, unknown_share=unknown / total if total else None, counts=table,
        precision={said: share(said) for said in ("identical", "different")},
        false_identical=sum(number for came, number in table.get("identical", {}).items() if came != "identical"),
    )  # fmt: skip
