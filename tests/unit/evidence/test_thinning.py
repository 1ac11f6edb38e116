from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.series import Stretch
from executor.evidence.thinning import Point, thinned

NAN, INF = math.nan, math.inf


def stretches(*parts: tuple[list[int], list[float]]) -> Callable[[], Iterable[Stretch]]:
    return lambda: [Stretch(values, steps, None) for steps, values in parts]


def steady(values: list[float], size: int = 1000) -> Callable[[], Iterable[Stretch]]:
    """A value a step, in stretches of some size."""
    return stretches(*[(list(range(at, min(at + size, len(values)))), values[at : at + size])
                       for at in range(0, len(values), size)])  # fmt: skip


def values_of(points: list[Point]) -> list[float]:
    return [point.value for point in points]


def test_a_short_series_stays_whole() -> None:
    assert thinned(stretches(([0, 5], [1.0, NAN]), ([9], [2.0])), 3)[::2] == [Point(0, 0, 1.0), Point(2, 9, 2.0)]


def test_a_series_without_points_has_none() -> None:
    assert thinned(stretches(), 10) == []


def test_a_single_spike_among_many_points_stays() -> None:
    values = [0.5] * 100_000
    values[61_803], values[27_182] = 9.0, -9.0
    found = thinned(steady(values), 50)
    assert len(found) <= 50
    assert Point(61_803, 61_803, 9.0) in found
    assert Point(27_182, 27_182, -9.0) in found


def test_infinity_is_an_extreme_and_a_nan_is_shown() -> None:
    values = [0.5] * 1000
    values[300], values[600], values[601], values[602] = INF, NAN, NAN, -INF
    found = thinned(steady(values, 70), 100)
    assert [point.at for point in found if point.value == INF or point.value == -INF] == [300, 602]
    assert [point.at for point in found if math.isnan(point.value)] == [600]


def test_a_series_of_nothing_but_nan_has_points() -> None:
    assert 2 <= len(thinned(steady([NAN] * 100), 10)) <= 10


def test_parts_of_the_axis_are_equal_however_the_points_lie() -> None:
    steps = [*range(10_000), *range(20_000, 1_000_001, 10_000)]
    found = thinned(stretches((steps, [float(step) for step in steps])), 500)
    assert len([point for point in found if point.x >= 20_000]) == 99  # each of the few far ones


def test_a_step_that_goes_back_keeps_the_order_of_writing() -> None:
    found = thinned(stretches(([*range(100), *range(50, 150)], [float(at) for at in range(200)])), 40)
    assert values_of(found) == sorted(values_of(found))
    assert (found[0].value, found[-1].value) == (0.0, 199.0)


def test_the_axis_of_time_has_the_points_with_a_time() -> None:
    read = stretches(([0], [1.0]))

    def timed() -> Iterable[Stretch]:
        yield Stretch([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 3], [50.0, NAN, 60.0, INF])
        yield from read()

    assert thinned(timed, 10, "wall_time") == [Point(0, 50.0, 1.0), Point(1, 60.0, 3.0)]


@pytest.mark.parametrize("ends", [(-(2**63), 2**63 - 1), (2**53, 2**53 + 1), (7, 7)])
def test_any_steps_can_be_cut_into_parts(ends: tuple[int, int]) -> None:
    found = thinned(stretches(([ends[0]] * 50 + [ends[1]] * 50, [float(at) for at in range(100)])), 20)
    assert (found[0].value, found[-1].value) == (0.0, 99.0)


def test_the_widest_times_can_be_cut_into_parts() -> None:
    def timed() -> Iterable[Stretch]:
        yield Stretch([1.0] * 30, list(range(30)), [-1.7e308] * 10 + [0.0] * 10 + [1.7e308] * 10)

    assert [point.x for point in thinned(timed, 15, "wall_time")] == [-1.7e308, -1.7e308, 0.0, 0.0, 1.7e308, 1.7e308]


VALUES = st.floats() | st.sampled_from([0.0, NAN, INF, -INF])
PARTS = st.lists(st.lists(st.tuples(st.integers(-50, 200), VALUES), min_size=1, max_size=30), max_size=6)


@given(PARTS, st.integers(5, 60))
def test_extremes_ends_and_order_are_kept_in_any_series(parts: list[list[tuple[int, float]]], most: int) -> None:
    read = stretches(*[([step for step, _ in part], [value for _, value in part]) for part in parts])
    points = [Point(at, *one) for at, one in enumerate(one for part in parts for one in part)]
    found = thinned(read, most)
    assert len(found) <= most
    assert all(repr(points[point.at]) == repr(point) for point in found)
    assert [point.at for point in found] == sorted({point.at for point in found})
    if points:
        numbers = [point.value for point in points if not math.isnan(point.value)]
        kept = [point.value for point in found if not math.isnan(point.value)]
        assert (min(kept, default=0), max(kept, default=0)) == (min(numbers, default=0), max(numbers, default=0))
        assert (found[0].at, found[-1].at) == (0, len(points) - 1)
        assert any(math.isnan(p.value) for p in found) == any(math.isnan(p.value) for p in points)


def part_of(at: int, count: int, parts: int) -> int:
    return min(int(at / 2 / ((count - 1) / 2) * parts), parts - 1)


@given(st.lists(VALUES, min_size=1, max_size=200), st.integers(1, 20), st.integers(1, 50))
def test_each_part_keeps_its_own_extremes(values: list[float], parts: int, size: int) -> None:
    found = thinned(steady(values, size), parts * 5)
    if len(values) <= parts * 5:
        assert len(found) == len(values)
        return
    for part in range(parts):
        inside = [at for at in range(len(values)) if part == part_of(at, len(values), parts)]
        numbers = [values[at] for at in inside if not math.isnan(values[at])]
        kept = {point.at: point.value for point in found if point.at in inside}
        assert {inside[0], inside[-1]} <= kept.keys()
        assert {min(numbers, default=None), max(numbers, default=None)} <= {*kept.values(), None}
