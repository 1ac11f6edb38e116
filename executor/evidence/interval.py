"""The mean of a few runs, and the interval that it lies in. Pure: no I/O.

The interval is Student's: for a few values whose spread is not known beforehand. One value has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from executor.text import number

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """One number over several runs."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"ser_json_inf_nan": "strings"}  # as every fact
    n: int
    """How many runs."""
    mean: float
    half_width: float | None
    """The interval is the mean ± this; none for one run, and where a value is NaN or infinite."""
    lowest: float
    highest: float


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean and interval of at least one value."""
    n, low, high = len(values), min(values), max(values)
    if any(map(math.isnan, values)):
        return Estimate(n=n, mean=math.nan, half_width=None, lowest=math.nan, highest=math.nan)
    if math.isinf(low) or math.isinf(high):
        return Estimate(n=n, mean=low + high if low != high else low, half_width=None, lowest=low, highest=high)
    scale = max(abs(low), abs(high)) or 1.0  # squares of very large and very small numbers are none
    mean = min(max(math.fsum(values) / n if scale < 1e300 else math.fsum(v / n for v in values), low), high)
    half = None
    if n > 1:
        spread = math.sqrt(math.fsum(((v - mean) / scale) ** 2 for v in values) / (n - 1)) * scale
        half = quantile((1 + confidence) / 2, n - 1) * spread / math.sqrt(n)
    return Estimate(n=n, mean=mean, half_width=half, lowest=low, highest=high)


def written(found: Estimate) -> str:
    """A mean for people, such as `0.920 ± 0.020`, with no more digits than its interval lets count."""
    half = found.half_width
    if half is None:
        return number(found.mean) if found.n == 1 else f"{found.mean:.6g}"
    if not math.isfinite(half) or half == 0:
        return f"{number(found.mean)} ± {half:g}"
    digits = 1 - math.floor(math.log10(half))
    if 0 <= digits <= 6:
        return f"{found.mean:.{digits}f} ± {half:.{digits}f}"
    return f"{found.mean:.6g} ± {half:.2g}"


@lru_cache(maxsize=256)
def quantile(probability: float, freedom: int) -> float:
    """Student's t: the value that a variable with so many degrees of freedom is below with this probability, from 0.5.

    Raises `ValueError` for a probability outside [0.5, 1), and for no degree of freedom.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"expected a probability in [0.5, 1) and a degree of freedom, found {probability}, {freedom}")
    wanted = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while _both_tails(high, freedom) > wanted:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _both_tails(middle, freedom) > wanted else (low, middle)
    return high


def _both_tails(t: float, freedom: int) -> float:
    """How probable it is to be further from 0 than `t`."""
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1 - front * _fraction(1 - x, b, a) / b
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    found = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + factor * d) or tiny)
            c = (1 + factor / c) or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return found
