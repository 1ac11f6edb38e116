from __future__ import annotations

import math
from typing import Any

import pytest

from executor.evidence.query import And, Compare, Not, Op, Or, holds
from tests.unit.evidence.meaning import comparisons, matches

A, B = Compare("a", "==", 1), Compare("b", "==", 2)


@pytest.mark.parametrize(
    ("value", "op", "literal", "expected"),
    [
        (1, "==", 1.0, True),
        (True, "==", 1, True),
        ("1", "==", 1, False),
        ("1", "!=", 1, True),
        ("b", ">", "a", True),
        ("b", ">", 1, False),
        (1, "<", "a", False),
        (math.nan, "==", math.nan, True),
        (math.nan, "!=", 1, True),
        (math.nan, ">", 0, False),
        (math.nan, "<=", math.nan, False),
        (math.inf, ">", 1e308, True),
        (2**64 - 1, "==", 2**64 - 1, True),
        (2**64 - 1, "==", 2**64 - 2, False),
        ("resnet", "~", "^res", True),
        ("my resnet", "~", "^res", False),
        (1, "~", "1", False),
        ([128, 64], "==", (128, 64), True),
        ([128, 64], "==", (128,), False),
        ([128, 64], "<", 3, False),
        ("adam", "in", ("sgd", "adam"), True),
        ("adam", "in", (), False),
        ("adam", "not in", ("sgd",), True),
        (math.nan, "in", (math.nan,), True),
    ],
)
def test_a_comparison_means_what_it_says(value: Any, op: Op, literal: Any, expected: bool) -> None:
    assert holds(value, op, literal) is expected


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">=", "~", "in", "not in"])
def test_of_what_is_not_there_every_comparison_is_false(op: Op) -> None:
    assert not holds(None, op, ("x",) if op.endswith("in") else "x")


def test_null_is_what_is_not_there() -> None:
    assert holds(None, "==", None)
    assert not holds(3, "==", None)
    assert holds(3, "!=", None)
    assert not holds(None, "!=", None)
    assert holds(None, "in", (1, None))
    assert not holds(None, "not in", (1, None))


def test_expressions_are_joined() -> None:
    assert matches(And((A, B)), {"a": 1, "b": 2})
    assert not matches(And((A, B)), {"a": 1})
    assert matches(Or((A, B)), {"b": 2})
    assert matches(Not(A), {})
    assert matches(And(()), {})
    assert not matches(Or(()), {})


def test_every_comparison_is_found() -> None:
    assert list(comparisons(Or((Not(A), And((A, B)))))) == [A, A, B]
