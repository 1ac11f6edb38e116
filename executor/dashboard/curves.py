"""One series of a run as a small picture: points on a plane of a fixed size. Positions only; a template draws them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from executor.evidence.series import read
from executor.evidence.thinning import Point, thinned

WIDTH, HEIGHT, MOST_POINTS = 320, 96, 600


@dataclass(frozen=True)
class Drawn:
    """A curve."""

    name: str
    path: str
    """SVG path data in a plane of `WIDTH` by `HEIGHT`; it breaks where a value is no finite number."""
    lowest: float | None
    highest: float | None
    """Of the finite values."""
    final: float
    start: float
    end: float
    """Steps at both ends."""
    broken: int
    """Points of the picture that are NaN or infinite."""


def drawn(table: bytes, name: str, key: str) -> Drawn:
    """A series of a stored table; raises `CorruptObject` for anything that is no such table."""
    return picture(name, thinned(lambda: (one for _, one in read(io.BytesIO(table), key, name)), MOST_POINTS))


def picture(name: str, points: Sequence[Point]) -> Drawn:
    """Points, of which there is one at least, as a picture."""
    finite = [point.value for point in points if math.isfinite(point.value)]
    low, high = (min(finite), max(finite)) if finite else (None, None)
    start, end = min(point.x for point in points), max(point.x for point in points)
    path = " ".join(_path(points, (start, end), (low or 0.0, high or 0.0)))
    return Drawn(name, path, low, high, points[-1].value, start, end, len(points) - len(finite))


def _path(points: Sequence[Point], across: tuple[float, float], up: tuple[float, float]) -> Iterator[str]:
    word = "M"
    for point in points:
        if not math.isfinite(point.value):
            word = "M"
            continue
        yield f"{word}{_place(point.x, *across) * WIDTH:.1f} {HEIGHT - _place(point.value, *up) * HEIGHT:.1f}"
        word = "L"


def _place(value: float, low: float, high: float) -> float:
    """From 0 to 1; in the middle where there is no span. Halves: the whole can be more than a float holds."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.5
