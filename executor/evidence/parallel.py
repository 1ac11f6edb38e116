"""Parallel coordinates: each run a line over one axis for each field. Pure: no I/O.

An axis goes from 0 to 1. What is no place on a scale (a missing value, NaN, infinity) has a tick of its own below it:
no run is left out of the picture for what it lacks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from executor.evidence.held import ABSENT, Held, is_number, kept_apart
from executor.evidence.versus import Row

Scale = Literal["linear", "log", "category"]
MOST_TICKS = 7
DECADES = 100
"""From this factor between the lowest and the highest number on, a scale of numbers above zero is logarithmic."""
_ROOM = 0.09
"""What each tick below the scale takes of an axis."""
MISSING = "missing"


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    """From 0, the bottom, to 1."""
    text: str


@dataclass(frozen=True)
class Axis:
    """One field, and where each run is on it."""

    name: str
    scale: Scale
    ticks: tuple[Tick, ...]
    places: tuple[float, ...]
    """One for each run, from 0 to 1."""
    texts: tuple[str, ...]
    """What each run has there, for people."""


def axis(row: Row) -> Axis:
    """The axis of a field."""
    beside = sorted({word for value in row.values if (word := _beside(value))})
    low = _ROOM * len(beside)
    on_scale = [value for value in row.values if not _beside(value)]
    scale = _scale(on_scale)
    known = _known(on_scale, scale, low)
    below = {word: _ROOM * at for at, word in enumerate(beside)}
    places = tuple(below[_beside(value)] if _beside(value) else known[kept_apart(value)] for value in row.values)
    ticks = (*(Tick(at, word) for word, at in below.items()), *_ticks(on_scale, known, scale, low))
    return Axis(row.full_name, scale, ticks, places, tuple(map(written, row.values)))


def written(value: Held) -> str:
    """A value for people: texts as they are, numbers short, all else as JSON."""
    if value is ABSENT:
        return MISSING
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _beside(value: Held) -> str:
    """The tick of what is on no scale; empty for all that is."""
    if value is ABSENT:
        return MISSING
    return f"{value:g}" if isinstance(value, float) and not math.isfinite(value) else ""


def _scale(values: Sequence[Held]) -> Scale:
    numbers = [value for value in values if is_number(value) and _fits(value)]
    if not numbers or len(numbers) < len(values):
        return "category"
    low, high = min(map(_float, numbers)), max(map(_float, numbers))
    return "log" if low > 0 and high / low >= DECADES else "linear"


def _fits(value: Held) -> bool:
    return not isinstance(value, int) or abs(value) < 2**1000  # a double holds it


def _float(value: Held) -> float:
    return float(value)  # type: ignore[arg-type]  # only of numbers


def _known(values: Sequence[Held], scale: Scale, low: float) -> dict[str, float]:
    """Where each value stands."""
    distinct = {kept_apart(value): value for value in values}
    if scale == "category":
        order = sorted(distinct, key=lambda word: (len(word), word))
        return {word: _between(at, 0, len(order) - 1, low) for at, word in enumerate(order)}
    numbers = {word: _moved(_float(value), scale) for word, value in distinct.items()}
    first, last = min(numbers.values()), max(numbers.values())
    return {word: _between(number, first, last, low) for word, number in numbers.items()}


def _moved(value: float, scale: Scale) -> float:
    return math.log10(value) if scale == "log" else value


def _between(value: float, first: float, last: float, low: float) -> float:
    """A place from `low` to 1; the middle when there is one value alone."""
    span = last / 2 - first / 2  # halves: the whole can be more than a double holds
    share = (value / 2 - first / 2) / span if span > 0 else 0.5
    return low + (1 - low) * share


def _ticks(values: Sequence[Held], known: dict[str, float], scale: Scale, low: float) -> list[Tick]:
    """Every value when they are few, evenly chosen ones of many texts, round numbers on a scale."""
    distinct = {kept_apart(value): value for value in values}
    if len(distinct) <= MOST_TICKS or scale == "category":
        order = sorted(distinct, key=lambda word: known[word])
        step = max(1, math.ceil(len(order) / (2 * MOST_TICKS)))
        return _apart([Tick(known[word], written(distinct[word])) for word in order[::step]])
    numbers = [_float(value) for value in distinct.values()]
    first, last = _moved(min(numbers), scale), _moved(max(numbers), scale)
    marks = _decades(first, last) if scale == "log" else round_numbers(first, last)
    return [Tick(_between(_moved(mark, scale), first, last, low), f"{mark:.6g}") for mark in marks]


def _apart(ticks: Sequence[Tick]) -> list[Tick]:
    """Ticks without those whose words would cover the one before."""
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or tick.at - kept[-1].at > _ROOM / 2:
            kept.append(tick)
    return kept


def _decades(first: float, last: float) -> list[float]:
    step = max(1, math.ceil((last - first) / MOST_TICKS))
    whole = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, step)
    return [10.0**exponent for exponent in whole]


def round_numbers(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Numbers from `low` to `high` in steps of 1, 2 or 5 times a power of ten, at most so many and two more."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]
