"""Whether results came again on other machines: pairs of a reference and a run that repeats it. Pure: no I/O.

A run is held against the reference that its own record names, with the verdict of that comparison. One of another spec
of the same experiment (the same but for its GPUs) is held against the oldest result of the experiment, bit for bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

from executor.evidence.matrix import machine
from executor.evidence.record import Record, divergence
from executor.facts import Fact

Verdict = Literal["identical", "close", "different"]
VERDICTS: tuple[Verdict, ...] = ("identical", "close", "different")


class Pair(Fact):
    """A run and the one that it repeats."""

    name: str
    reference: tuple[str, str]
    """Spec hash and attempt of the one that is repeated."""
    run: tuple[str, str]
    there: str
    """Type of the machine that the reference ran on: its GPUs, or else its CPU."""
    here: str
    """Type of the machine that the other ran on."""
    verdict: Verdict
    divergence: dict[str, Any] | None = None
    """Where the two parted and why, when they did; of a run of another spec nobody has looked."""


class Cell(Fact):
    """All pairs of one type of machine for the reference, and one for the other."""

    there: str
    here: str
    identical: int = 0
    close: int = 0
    different: int = 0


class Crossing(Fact):
    """The table over types of machines."""

    there: tuple[str, ...]
    """Types that references ran on, those with the most pairs first."""
    here: tuple[str, ...]
    """Types that they were repeated on."""
    cells: tuple[Cell, ...]
    """Those with at least one pair."""

    def cell(self, there: str, here: str) -> Cell:
        """What came of a reference from `there` that was repeated `here`."""
        found = (cell for cell in self.cells if (cell.there, cell.here) == (there, here))
        return next(found, Cell(there=there, here=here))


def kind(record: Record) -> str:
    """The type of the machine that a run ran on."""
    gpus, cpu, *_ = machine(record)
    return cpu if gpus == "none" else gpus


def pairs(records: Iterable[Record]) -> Iterator[Pair]:
    """Every pair among these records, by experiment and then by age; what was varied on purpose repeats nothing."""
    good = [one for one in records if one.status == "succeeded" and not one.varied and one.compared]
    good.sort(key=lambda one: (one.experiment_key.hex, one.created, one.attempt))
    for _, group in groupby(good, key=lambda one: one.experiment_key):
        oldest, *others = group
        known = {(one.spec_hash, one.attempt): one for one in (oldest, *others)}
        for one in others:
            named = known.get((one.spec_hash, one.comparison.reference)) if one.comparison else None
            if pair := _pair(named or oldest, one, told=named is not None):
                yield pair


def _pair(reference: Record, one: Record, *, told: bool) -> Pair | None:
    """None for two that cannot be compared."""
    same = reference.result_digest == one.result_digest
    verdict = one.comparison.verdict if told and one.comparison else "identical" if same else "different"
    if verdict == "incomparable":
        return None
    parted = divergence(one.comparison) if told and one.comparison and verdict != "identical" else None
    return Pair(
        name=one.hints.name, reference=(reference.spec_hash.hex, reference.attempt),
        run=(one.spec_hash.hex, one.attempt), there=kind(reference), here=kind(one), verdict=verdict,
        divergence=parted,
    )  # fmt: skip


def crossing(found: Sequence[Pair]) -> Crossing:
    """The table over these pairs."""
    counts = Counter((pair.there, pair.here, pair.verdict) for pair in found)
    there, here = (Counter(getattr(pair, side) for pair in found) for side in ("there", "here"))
    cells = (
        Cell(there=one, here=other, **{verdict: counts[one, other, verdict] for verdict in VERDICTS})
        for one, other in dict.fromkeys((pair.there, pair.here) for pair in found)
    )
    return Crossing(there=tuple(dict(there.most_common())), here=tuple(dict(here.most_common())), cells=tuple(cells))
