from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from executor.spec.ranges import Listed, Range, axis, fraction, values


def of(**given: Any) -> list[Any]:
    return list(values(axis({{"low": "from", "high": "to"}.get(key, key): item for key, item in given.items()})))


def said(value: object, *, open_ended: bool = False) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises((PydanticCustomError, ValidationError)) as caught:
        axis(value, open_ended=open_ended)
    if isinstance(caught.value, ValidationError):
        return [(one["loc"], one["msg"]) for one in caught.value.errors()]
    return [((), str(caught.value))]


def test_steps_of_a_tenth_are_tenths() -> None:
    assert of(low=0.1, high=1.0, step=0.1) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_whole_numbers_stay_whole_and_others_are_floats() -> None:
    assert [type(one) for one in of(low=1, high=3, step=1)] == [int] * 3
    assert repr(of(low=0, high=1, step=0.5)) == "[0.0, 0.5, 1.0]"
    assert repr(of(low=0, high=10.0, step=5)) == "[0.0, 5.0, 10.0]"


def test_the_end_is_a_value_only_where_the_steps_lead_there() -> None:
    assert of(low=0, high=10, step=3) == [0, 3, 6, 9]
    assert of(low=0, high=9, step=3) == [0, 3, 6, 9]
    assert of(low=1.0, high=0.1, step=-0.3) == [1.0, 0.7, 0.4, 0.1]
    assert of(low=5, high=5, step=1) == [5]


def test_a_number_of_values_is_evenly_spaced() -> None:
    assert of(low=0.0, high=1.0, num=11) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert of(low=10, high=1, num=4) == [10, 7, 4, 1]


def test_powers_are_what_people_write() -> None:
    assert of(low=1e-5, high=1e-1, num=5, scale="log") == [1e-05, 0.0001, 0.001, 0.01, 0.1]
    assert of(low=0.1, high=0.001, num=3, scale="log") == [0.1, 0.01, 0.001]
    assert of(low=1, high=1024, num=11, scale="log") == [2**power for power in range(11)]


def test_a_range_of_all_whole_numbers_is_counted_and_not_made() -> None:
    found = axis({"from": 0, "to": 2**64 - 1, "step": 1})
    assert (found.count, found[2**64 - 1]) == (2**64, 2**64 - 1)


def test_a_list_is_kept_as_it_was_written() -> None:
    found = axis([1, 1.0, "1", None, [1, {"a": 2.0}]])
    assert isinstance(found, Listed)
    assert repr(found[0]) + repr(found[1]) == "11.0"
    assert (found.count, found[4][1]["a"]) == (5, 2.0)


@pytest.mark.parametrize(
    ("value", "place", "words"),
    [
        (3, (), "write [3] for one value"),
        ("x", (), "expected a list of values or a range"),
        ([], (), "found an empty list"),
        ([1, float("inf")], (1,), "expected a finite number"),
        ({"from": 1}, (), "`to` is missing"),
        ({"from": 1, "to": 2, "stop": 1}, ("stop",), "unknown field; a range has `from`, `to`, `step`, `num`, `scale`"),
        ({"from": True, "to": 2, "step": 1}, ("from",), "expected a number, found true"),
        ({"from": 1, "to": 2, "num": 1}, ("num",), "expected a whole number from 2 up, found 1"),
        ({"from": 1, "to": 2, "num": 2.0}, ("num",), "expected a whole number from 2 up, found 2.0"),
        ({"from": 1, "to": 2, "num": 2, "scale": "ln"}, ("scale",), "expected `linear` or `log`"),
        ({"from": 1, "to": 2, "num": 2, "step": 1}, ("num",), "expected `step` or `num`, found both"),
        ({"from": 1, "to": 2, "step": 1, "scale": "log"}, ("step",), "a logarithmic range has no step"),
        ({"from": 1, "to": 2, "step": 0}, ("step",), "leads nowhere"),
        ({"from": 1, "to": 2, "step": -1}, ("step",), "-1 does not lead from 1 to 2"),
        ({"from": 1, "to": 2}, (), "only a sampler can choose from all of them"),
        ({"from": 1, "to": 1, "num": 3}, ("to",), "one number only; write [1]"),
        ({"from": 0.0, "to": 1.0, "num": 3, "scale": "log"}, ("from",), "positive numbers only"),
        ({"from": 1, "to": 2, "num": 3}, (), "write `from: 1.0` for numbers with a point"),
        ({"from": 16, "to": 512, "num": 4, "scale": "log"}, (), "not all of its numbers are whole"),
        ({"from": 1, "to": 2, "num": 10**9, "scale": "log"}, (), "not all of its numbers are whole"),
    ],
)
def test_what_is_no_axis_is_said_at_its_place(value: object, place: tuple[Any, ...], words: str) -> None:
    found = said(value)
    assert [one[0] for one in found] == [place]
    assert words in found[0][1]


def test_every_wrong_field_is_said() -> None:
    assert [place for place, _ in said({"from": "a", "to": None, "num": 0, "x": 1})] == [
        ("x",), ("from",), ("to",), ("num",),
    ]  # fmt: skip


def test_only_a_sampler_chooses_between_two_numbers() -> None:
    assert axis({"from": 1, "to": 3}, open_ended=True) == Range(1, 3)
    assert said({"from": 3, "to": 3}, open_ended=True) == [(("to",), "expected more than 3, found 3")]


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda value: float(repr(value)))
TENTHS = st.integers(-10_000, 10_000).map(lambda tenths: tenths / 10)


@given(TENTHS, st.integers(1, 200), st.integers(1, 50))
def test_steps_are_what_decimal_arithmetic_says(low: float, steps: int, tenths: int) -> None:
    start, step = Decimal(repr(low)), Decimal(tenths) / 10
    found = of(low=low, high=float(start + steps * step), step=float(step))
    assert found == [float(start + k * step) for k in range(steps + 1)]


@given(FINITE, FINITE, st.integers(2, 40))
def test_ends_are_exact_and_the_rest_is_ordered(low: float, high: float, num: int) -> None:
    if low != high:
        found = of(low=low, high=high, num=num)
        assert (found[0], found[-1], len(found)) == (low, high, num)
        assert found == sorted(found, reverse=high < low)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(2, 30))
def test_powers_are_the_nearest_floats(low: int, high: int, num: int) -> None:
    if low != high:
        found = of(low=float(low), high=float(high), num=num, scale="log")
        with localcontext() as context:
            context.prec = 80
            ratio = Decimal(high) / Decimal(low)
            exact = [Fraction(Decimal(low) * ratio ** (Decimal(k) / (num - 1))) for k in range(num)]
        assert found == [float(round(true, 30)) for true in exact]


@given(FINITE)
def test_a_float_means_its_shortest_text(value: float) -> None:
    assert float(fraction(value)) == value
