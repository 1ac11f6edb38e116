"""How far two values of one type and shape are from each other, bit for bit and number by number.

Elements differ when their bits differ, so the two zeros do, at a distance of no ulp. A distance in ulp is the number of
steps from one number of the type to the other; a NaN has none, and neither has a type without such steps.
"""

from __future__ import annotations

import math
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .leaves import Leaf

_CHUNK = 1 << 20
"""Elements that are compared at a time, so that memory stays small."""
_STEPPED = (
    "torch.float8_e4m3fn torch.float8_e4m3fnuz torch.float8_e5m2 torch.float8_e5m2fnuz "
    "torch.float16 torch.bfloat16 torch.float32 torch.float64"
).split()
"""Types that order their numbers as the bits below the sign are ordered."""


class Distance:
    """What is known of it so far; `ulp` and `relative` are none where they mean nothing."""

    def __init__(self, count: int = 0, ulp: int | None = None, relative: float | None = None, first: int = 0) -> None:
        self.count = count
        self.ulp = ulp
        self.relative = relative
        self.first = first
        """Number of the first element that differs, in row-major order."""

    def also(self, count: int, ulp: int | None, relative: float | None, first: int) -> Distance:
        """With more elements that differ, further on."""
        if not self.count:
            return Distance(count, ulp, relative, first)
        both = None if self.ulp is None or ulp is None else max(self.ulp, ulp)
        known = [one for one in (self.relative, relative) if one is not None]
        return Distance(self.count + count, both, max(known, default=None), self.first)


def between(ours: Leaf, theirs: Leaf) -> Distance:
    """The distance of two leaves of the same type and shape; its count is 0 when they are the same."""
    if not ours.is_tensor:
        return _between_plain(ours, theirs)
    distance = Distance()
    for start in range(0, len(ours.values), _CHUNK):
        a, b = ours.values[start : start + _CHUNK], theirs.values[start : start + _CHUNK]
        differ = a != b
        rows = differ.any(1).nonzero()
        if len(rows):
            a, b = a[differ], b[differ]
            distance = distance.also(len(rows), *_of_numbers(a, b, ours.number), start + int(rows[0]))
    return distance


def _between_plain(ours: Leaf, theirs: Leaf) -> Distance:
    if ours.values == theirs.values:
        return Distance()
    if ours.dtype == "python.int":
        return Distance(1, None, relative(int(ours.values), int(theirs.values)))
    if ours.dtype == "python.float":
        a, b = (struct.unpack("<d", value.values)[0] for value in (ours, theirs))
        return Distance(1, ulps(a, b), relative(a, b))
    return Distance(1)


def ulps(a: float, b: float) -> int | None:
    """Steps from one double to another; none when one is not a number."""
    return None if math.isnan(a) or math.isnan(b) else abs(_rank(a) - _rank(b))


def _rank(number: float) -> int:
    bits = int(struct.unpack("<q", struct.pack("<d", abs(number)))[0])
    return -bits if number < 0 else bits


def relative(a: float, b: float) -> float | None:
    """The difference over the greater of the two sizes, 2 at most; none when one is not finite."""
    size = max(abs(a), abs(b))
    if isinstance(size, float) and (not math.isfinite(a) or not math.isfinite(b)):
        return None
    return abs(a / size - b / size) if size else 0.0


def _of_numbers(a: Any, b: Any, number: Any) -> tuple[int | None, float | None]:
    """The greatest distances between numbers that are given as their bits."""
    import torch

    try:
        x, y = a.view(number).to(torch.float64), b.view(number).to(torch.float64)
    except (RuntimeError, TypeError):  # torch keeps some types without knowing their numbers
        return None, None
    ulp = None if str(number) not in _STEPPED or bool((x.isnan() | y.isnan()).any()) else _most_ulps(a, b)
    size = torch.maximum(x.abs(), y.abs())
    quotient = (x / size - y / size).abs()[size.isfinite() & (size > 0)]
    return ulp, float(quotient.max()) if len(quotient) else (0.0 if bool((size == 0).any()) else None)


def _most_ulps(a: Any, b: Any) -> int:
    import torch

    a, b = _ranks(a), _ranks(b)
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    # Doubles of opposite signs may be further apart than 64 bits can tell: half the distance, and what is left.
    half, rest = (high >> 1) - (low >> 1), (high & 1) - (low & 1)
    half, rest = half + (rest >> 1), rest & 1
    most = half.max()
    return 2 * int(most) + int(rest[half == most].max())


def _ranks(bits: Any) -> Any:
    """Signed magnitudes, in 64 bits, of integers that hold a sign and a magnitude."""
    import torch

    magnitude = bits.to(torch.int64) & ((1 << (8 * bits.element_size() - 1)) - 1)
    return torch.where(bits < 0, -magnitude, magnitude)
