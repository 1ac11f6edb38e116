from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.interval import estimate, quantile

FINITE = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("freedom", "published"),
    [(1, 12.7062047361747), (2, 4.30265272974946), (3, 3.18244630528371), (4, 2.77644510519779), (9, 2.26215716279820),
     (30, 2.04227245630124), (100, 1.98397151852355), (1000, 1.96233908082641)],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(freedom: int, published: float) -> None:
    assert quantile(0.975, freedom) == pytest.approx(published, rel=1e-12)


def test_quantiles_of_other_probabilities() -> None:
    assert quantile(0.995, 5) == pytest.approx(4.03214298355523, rel=1e-12)
    assert quantile(0.5, 3) == pytest.approx(0, abs=1e-12)
    assert quantile(0.975, 10**6) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), rel=1e-5)


@given(st.floats(0.501, 0.9999))
def test_one_degree_of_freedom_is_cauchys(probability: float) -> None:
    assert quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)


@given(st.floats(0.501, 0.9999))
def test_two_degrees_of_freedom_have_a_formula(probability: float) -> None:
    formula = (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    assert quantile(probability, 2) == pytest.approx(formula, rel=1e-9)


@pytest.mark.parametrize(("probability", "freedom"), [(1.0, 2), (0.4, 2), (0.9, 0)])
def test_no_quantile_where_there_is_none(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="expected a probability"):
        quantile(probability, freedom)


def test_five_values_as_worked_by_hand() -> None:
    found = estimate([0.90, 0.92, 0.91, 0.94, 0.93])
    assert (found.n, found.lowest, found.highest) == (5, 0.90, 0.94)
    assert found.mean == pytest.approx(0.92)
    assert found.half_width == pytest.approx(2.77644510519779 * math.sqrt(0.001 / 4) / math.sqrt(5))


def test_one_value_has_no_interval() -> None:
    assert (estimate([3.0]).mean, estimate([3.0]).half_width) == (3.0, None)


def test_nan_and_infinity_are_told_and_have_no_interval() -> None:
    assert math.isnan(estimate([1.0, math.nan]).mean)
    assert estimate([1.0, math.inf]).mean == math.inf
    assert estimate([-math.inf, 1.0]).mean == -math.inf
    assert estimate([math.inf, math.inf]).mean == math.inf
    assert math.isnan(estimate([math.inf, -math.inf]).mean)
    assert {estimate([1.0, wild]).half_width for wild in (math.nan, math.inf, -math.inf)} == {None}


def test_equal_values_have_an_interval_of_nothing() -> None:
    assert (estimate([0.1] * 3).mean, estimate([0.1] * 3).half_width) == (0.1, 0.0)


def test_the_largest_and_smallest_numbers_have_a_mean() -> None:
    assert estimate([1e308, 1.5e308, 1.7e308]).mean == pytest.approx(1.4e308)
    assert estimate([5e-324, 5e-324]).mean == 5e-324


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_mean_and_spread_are_the_standard_librarys(values: list[float]) -> None:
    found = estimate(values)
    size = max(map(abs, values))
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-12 * size)
    spread = quantile(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    assert found.half_width == pytest.approx(spread, rel=1e-6, abs=1e-12 * size)
    assert found.lowest <= found.mean <= found.highest
