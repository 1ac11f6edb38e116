from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.series import Stretch
from executor.evidence.smoothing import smoothed


def smooth(values: list[float], weight: float, cut: int = 0) -> list[float]:
    parts = [values[:cut], values[cut:]] if cut else [values]
    found = smoothed([Stretch(part, range(len(part)), None) for part in parts], weight)
    return [value for stretch in found for value in stretch.values]


def test_no_weight_leaves_a_series_as_it_is() -> None:
    assert smooth([3.0, -1.0, math.inf], 0) == [3.0, -1.0, math.inf]


def test_the_average_begins_at_the_first_value_and_forgets_it() -> None:
    found = smooth([1.0, 0.0, 0.0], 0.5)
    assert found == pytest.approx([1, 1 / 3, 1 / 7])


def test_what_is_no_finite_number_stays_where_it_is_and_does_not_count() -> None:
    found = smooth([1.0, math.nan, 0.0, math.inf, 0.0], 0.5)
    assert [found[0], found[2], found[4]] == pytest.approx(smooth([1.0, 0.0, 0.0], 0.5))
    assert math.isnan(found[1])
    assert found[3] == math.inf


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_is_from_0_to_below_1(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        smooth([1.0], weight)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2), st.floats(0, 0.99), st.data())
def test_stretches_do_not_matter_and_nothing_leaves_the_range(
    values: list[float], weight: float, data: st.DataObject
) -> None:  # fmt: skip
    whole = smooth(values, weight)
    assert whole == smooth(values, weight, data.draw(st.integers(1, len(values) - 1)))
    assert min(values) - 1e-3 <= min(whole)
    assert max(whole) <= max(values) + 1e-3
