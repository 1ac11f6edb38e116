"""A long series as a picture needs it: few points, and no extreme of it lost. Pure: no I/O.

The axis is cut into equal parts; of each part the first, the last, the lowest and the highest point stay, and the first
NaN. A line through them covers the same pixels as a line through all points, wherever a part is no wider than a pixel.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from executor.evidence.series import Stretch

Axis = Literal["step", "wall_time"]
KEPT = 5
"""Most points that stay of one part."""


class Point(NamedTuple):
    """One value of a series."""

    at: int
    """Its place in the series, from 0."""
    x: float
    """Its step, or its wall time in seconds since 1970."""
    value: float


@dataclass(slots=True)
class _Part:
    """What stays of one part of the axis."""

    first: Point
    last: Point
    lowest: Point | None = None
    highest: Point | None = None
    nan: Point | None = None

    def points(self) -> dict[int, Point]:
        kept = (self.first, self.last, self.lowest, self.highest, self.nan)
        return {point.at: point for point in kept if point is not None}


def thinned(read: Callable[[], Iterable[Stretch]], most: int, axis: Axis = "step") -> list[Point]:
    """At most so many points (but five at least) of a series, in the order in which they were written.

    `read` gives the stretches of the series; it is called twice. Points without a wall time are on no axis of times.
    """
    count, low, high = 0, math.inf, -math.inf
    for stretch in read():
        places = stretch.steps if axis == "step" else [time for time in stretch.times or () if math.isfinite(time)]
        if places:
            count, low, high = count + len(places), min(low, min(places)), max(high, max(places))
    if count <= most:
        return [Point(at, x, value) for at, (x, value) in enumerate(_points(read(), axis))]
    parts = _parts(read(), axis, low, high, max(1, most // KEPT))
    kept = {at: point for part in parts.values() for at, point in part.points().items()}
    return [kept[at] for at in sorted(kept)]


def _placed(stretches: Iterable[Stretch], axis: Axis) -> Iterator[tuple[list[float], list[float]]]:
    """Places on the axis and values, without points that have no place."""
    for stretch in stretches:
        places: list[float] = list(stretch.steps if axis == "step" else stretch.times or ())
        values = list(stretch.values)
        if axis == "wall_time" and not all(map(math.isfinite, places)):
            kept = [(place, value) for place, value in zip(places, values, strict=True) if math.isfinite(place)]
            places, values = [place for place, _ in kept], [value for _, value in kept]
        if places:
            yield places, values


def _points(stretches: Iterable[Stretch], axis: Axis) -> Iterator[tuple[float, float]]:
    for places, values in _placed(stretches, axis):
        yield from zip(places, values, strict=True)


def _parts(stretches: Iterable[Stretch], axis: Axis, low: float, high: float, number: int) -> Mapping[int, _Part]:
    """What stays, by part."""
    parts: dict[int, _Part] = {}
    before, span = 0, (high / 2 - low / 2) or 1  # halves: the whole can be more than a float holds

    def part(place: float) -> int:
        return min(int((place / 2 - low / 2) / span * number), number - 1)

    for places, values in _placed(stretches, axis):
        for start, end in _ascending(places):
            while start < end:
                which = part(places[start])
                stop = bisect_right(places, which, start, end, key=part)
                _merge(parts, which, before + start, places[start:stop], values[start:stop])
                start = stop
        before += len(places)
    return parts


def _ascending(places: list[float]) -> Iterator[tuple[int, int]]:
    """Where stretches begin and end whose places do not fall."""
    falls = [] if places == sorted(places) else [at for at in range(1, len(places)) if places[at] < places[at - 1]]
    yield from zip((0, *falls), (*falls, len(places)), strict=True)


def _merge(parts: dict[int, _Part], which: int, at: int, places: list[float], values: list[float]) -> None:
    """Add points that follow each other to what stays of their part."""

    def point(index: int) -> Point:
        return Point(at + index, places[index], values[index])

    last = point(len(values) - 1)
    part = parts.setdefault(which, _Part(point(0), last))
    part.last = last
    numbers = values
    if math.isnan(sum(values)):  # of a NaN, or of two infinities
        nans = [index for index, value in enumerate(values) if math.isnan(value)]
        part.nan = part.nan or (point(nans[0]) if nans else None)
        numbers = [value for value in values if not math.isnan(value)]
    if numbers:
        low, high = min(numbers), max(numbers)
        if part.lowest is None or low < part.lowest.value:
            part.lowest = point(values.index(low))
        if part.highest is None or high > part.highest.value:
            part.highest = point(values.index(high))
