from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.held import ABSENT
from executor.evidence.parallel import Axis, axis, round_numbers
from executor.evidence.versus import Row


def of(*values: Any) -> Axis:
    return axis(Row("params", "x", values))


def ticks(found: Axis) -> dict[str, float]:
    return {tick.text: round(tick.at, 6) for tick in found.ticks}


def test_numbers_stand_where_they_belong() -> None:
    found = of(0, 5, 10)
    assert (found.scale, found.places) == ("linear", (0, 0.5, 1))
    assert ticks(found) == {"0": 0, "5": 0.5, "10": 1}


def test_from_two_decades_on_a_scale_is_logarithmic() -> None:
    found = of(0.001, 0.01, 0.1)
    assert found.scale == "log"
    assert found.places == pytest.approx((0, 0.5, 1))
    assert of(0.01, 0.1).scale == of(-1, 1000).scale == of(0, 1000).scale == "linear"


def test_a_missing_value_has_its_own_tick_below_the_scale() -> None:
    found = of(1, ABSENT, 2)
    assert ticks(found)["missing"] == 0
    assert found.places[1] == 0 < found.places[0] < found.places[2] == 1
    assert found.texts == ("1", "missing", "2")


def test_what_is_no_place_on_a_scale_has_its_own_tick() -> None:
    found = of(math.nan, math.inf, ABSENT, 1.0)
    assert {tick.text for tick in found.ticks} == {"nan", "inf", "missing", "1"}
    assert len(set(found.places)) == 4
    assert of(math.nan, ABSENT).places == pytest.approx((0.09, 0))


def test_texts_lists_and_a_mixture_are_categories() -> None:
    assert of("sgd", "adam", "sgd").places == (0, 1, 0)
    assert [tick.text for tick in of([64], [128, 64]).ticks] == ["[64]", "[128, 64]"]
    assert of(1, "1").scale == of(True, False).scale == of(10**400, 1).scale == "category"
    assert of(1, True).places == (0, 1), "1 and true are two values"


def test_many_numbers_have_round_ticks_and_many_texts_some_of_theirs() -> None:
    assert [tick.text for tick in of(*range(100)).ticks] == ["0", "20", "40", "60", "80"]
    assert [tick.text for tick in of(*(10**at / 3 for at in range(9))).ticks][:2] == ["1", "100"]
    names = [tick.text for tick in of(*(f"name{at:03}" for at in range(100))).ticks]
    assert 8 <= len(names) <= 14
    assert names[0] == "name000"


def test_round_numbers_are_in_steps_of_1_2_or_5() -> None:
    assert round_numbers(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert round_numbers(3, 3) == [3]


_ANY = st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.booleans(), st.just(ABSENT), st.just([1]))


@given(st.lists(_ANY, min_size=1, max_size=40))
def test_every_run_has_a_place_and_equal_values_have_the_same(values: list[Any]) -> None:
    found = of(*values)
    assert len(found.places) == len(found.texts) == len(values)
    assert all(0 <= place <= 1 + 1e-9 for place in found.places)
    assert all(-1e-9 <= tick.at <= 1 + 1e-9 for tick in found.ticks)
    where = {repr(value): place for value, place in zip(values, found.places, strict=True)}
    assert all(where[repr(value)] == place for value, place in zip(values, found.places, strict=True))
    missing = [place for value, place in zip(values, found.places, strict=True) if value is ABSENT]
    there = [place for value, place in zip(values, found.places, strict=True) if value is not ABSENT]
    assert not missing or not there or not set(missing) & set(there)
