"""What pictures and tables of several runs are drawn from: plain data, the same for a page and for a file.

Vega-Lite draws the pictures in the browser (`static/charts.js`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from executor.dashboard.cells import short
from executor.evidence.held import ABSENT
from executor.evidence.parallel import axis, written
from executor.evidence.record import Record
from executor.evidence.versus import GROUPS, Row, Versus
from executor.steps.finding.comparison import rows_of
from executor.steps.finding.curves import Curve

MOST_CELLS = 24_000
"""Cells of a table in a page; a file for spreadsheets has all."""
MOST_AXES = 12
"""Parameters of one picture."""


@dataclass(frozen=True)
class Cell:
    """What one run has in one field."""

    text: str
    whole: str
    """The text uncut, where it is cut."""
    missing: bool
    delta: str
    """How far from the baseline, in words; empty where that says nothing."""
    up: bool


@dataclass(frozen=True)
class Line:
    """One field."""

    name: str
    differs: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """The fields that are told, by group."""

    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    more: int
    """Fields that a page has no room for."""
    hidden: int
    """Fields that are equal in all runs, and are not told."""


def table(held: Versus, base: int, *, everything: bool) -> Table:
    """The table of a comparison."""
    rows = rows_of(held, everything=everything)
    most = max(50, MOST_CELLS // len(held.records))
    groups = tuple((GROUPS[group], tuple(_line(row, base) for row in members))
                   for group, members in groupby(rows[:most], key=lambda row: row.group))  # fmt: skip
    return Table(groups, max(0, len(rows) - most), 0 if everything else held.hidden)


def _line(row: Row, base: int) -> Line:
    cells = (
        Cell(short(text := written(value)), text if short(text) != text else "", value is ABSENT,
             delta.text if delta else "", delta is not None and delta.absolute > 0)
        for value, delta in zip(row.values, row.deltas(base), strict=True)
    )  # fmt: skip
    return Line(row.name, row.differs, tuple(cells))


def names(held: Versus) -> list[dict[str, str]]:
    """What each run is called, and what sets it apart: its parameters that differ, the first of them."""
    varying = [row for row in held.differing if row.group in ("params", "seed")][:5]
    digits = [record.spec_hash.hex[:7] for record in held.records]
    return [
        {"id": own if digits.count(own) == 1 else f"{own}/{digits[: at + 1].count(own)}",
         "about": ", ".join(f"{row.name} {short(written(row.values[at]))}" for row in varying)}
        for at, own in enumerate(digits)
    ]  # fmt: skip


def parallel(held: Versus, metric: str) -> dict[str, Any]:
    """Parallel coordinates over the parameters that differ, and a metric at the end."""
    varying = [row for row in held.differing if row.group in ("params", "seed")]
    last = [row for row in held.rows if row.group == "metrics" and row.name == metric]
    axes = [axis(row) for row in (*varying[:MOST_AXES], *last)]
    return {
        "axes": [{"name": one.name.partition(".")[2] or one.name, "scale": one.scale,
                  "ticks": [[round(tick.at, 4), tick.text] for tick in one.ticks],
                  "at": [round(place, 4) for place in one.places], "texts": one.texts} for one in axes],
        "colour": finals(held, metric),
        "metric": metric, "more": max(0, len(varying) - MOST_AXES),
    }  # fmt: skip


def curves(drawn: Sequence[Curve], problems: Sequence[str]) -> dict[str, Any]:
    """Curves by run; a value that is no finite number is null, and a gap."""
    return {
        "curves": [{"run": one.run, "x": [_short(point.x) for point in one.points],
                    "y": [_finite(point.value) for point in one.points], "total": one.total} for one in drawn],
        "problems": list(dict.fromkeys(problems)),
    }  # fmt: skip


def _finite(value: object) -> float | None:
    """A number as JSON holds it, with digits enough for a picture."""
    return float(f"{value:.7g}") if isinstance(value, int | float) and math.isfinite(value) else None


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)


def metrics(found: Sequence[Record]) -> list[str]:
    """Metrics that runs have, those that most of them have first."""
    often = Counter(name for record in found for name in record.metrics)
    return [name for name, _ in often.most_common()]


def finals(held: Versus, metric: str) -> list[float | None]:
    """The final value of each run; none where it has no finite one."""
    return [_finite(record.metrics.get(metric)) for record in held.records]
