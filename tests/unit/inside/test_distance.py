from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from executor.inside.distance import Distance, between, relative, ulps
from executor.inside.leaves import plain

TINY = math.ulp(0.0)


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [
        (1.0, 1.0, 0),
        (1.0, math.nextafter(1, 2), 1),
        (1.0, math.nextafter(1, 0), 1),
        (0.0, -0.0, 0),
        (TINY, -TINY, 2),
        (sys.float_info.max, math.inf, 1),
        (-math.inf, math.inf, 2 * 0x7FF0000000000000),
        (1.0, math.nan, None),
    ],
)
def test_ulps_are_counted_across_zero_and_beyond_64_bits(a: float, b: float, steps: int | None) -> None:
    assert ulps(a, b) == ulps(b, a) == steps


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, 2.0, 0.5),
        (-1.0, 1.0, 2.0),
        (0.0, -0.0, 0.0),
        (0.0, TINY, 1.0),
        (sys.float_info.max, -sys.float_info.max, 2.0),
        (1.0, math.inf, None),
        (math.nan, 1.0, None),
        (1.0, math.nan, None),
        (10**400, 0, 1.0),
        (3, 4, 0.25),
    ],
)
def test_relative_is_finite_and_at_most_two(a: float, b: float, expected: float | None) -> None:
    assert relative(a, b) == relative(b, a) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0.0, -0.0, (1, 0, 0.0)),
        (1.0, math.nan, (1, None, None)),
        (3, 4, (1, None, 0.25)),
        ("a", "b", (1, None, None)),
        (True, False, (1, None, None)),
        (math.nan, math.nan, (0, None, None)),
    ],
)
def test_plain_values_have_a_distance_too(a: Any, b: Any, expected: tuple[Any, ...]) -> None:
    ours, theirs = plain(a), plain(b)
    assert ours
    assert theirs
    found = between(ours, theirs)
    assert (found.count, found.ulp, found.relative) == expected


def test_chunks_add_up() -> None:
    total = Distance().also(2, 7, 0.5, 10).also(1, 9, None, 20)
    assert (total.count, total.ulp, total.relative, total.first) == (3, 9, 0.5, 10)
    assert total.also(1, None, 0.75, 30).ulp is None
