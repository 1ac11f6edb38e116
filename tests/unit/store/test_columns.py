from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executor.evidence.query import Op, holds
from executor.store import columns
from executor.store.arrays import decode, encode, gather
from executor.store.columns import Column, Mask, leading, places, total

NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64), st.floats(), st.sampled_from([0, 1, 1.0, 0.5, 2**53, 2**53 + 1, 2.0**63, -(2**63)])
)
TEXTS = st.sampled_from(["", "a", "b", "ab", "é", "1", "true", "adam", "sgd"])
VALUES = st.one_of(st.none(), NUMBERS, TEXTS, st.booleans(), st.lists(st.integers(0, 2), max_size=2))
LITERALS = st.one_of(NUMBERS, TEXTS, st.booleans())
ORDERS: list[Op] = ["==", "!=", "<", "<=", ">", ">="]


def column(values: list[Any], cuts: tuple[int, ...] = ()) -> Column:
    """The column of these values, cut into parts; every part went through its bytes."""
    ends = (0, *cuts, len(values))
    lengths = tuple(end - start for start, end in pairwise(ends))
    parts = [gather([{} if value is None else {"x": value} for value in values[start:end]])
             for start, end in pairwise(ends)]  # fmt: skip
    kinds = {kind for part in parts for _, kind in part}
    return Column(lengths, {
        kind: [decode(encode(part["x", kind])) if ("x", kind) in part else None for part in parts] for kind in kinds
    })  # fmt: skip


def answers(mask: Mask) -> list[bool]:
    return [value for part in mask for value in part.to_pylist()]


@settings(max_examples=300)
@given(st.lists(VALUES, min_size=1, max_size=12), st.sampled_from(ORDERS), st.one_of(LITERALS, st.none()))
def test_a_column_says_of_each_value_what_the_comparison_means(values: list[Any], op: Op, literal: Any) -> None:
    found = column(values, (len(values) // 2,) if len(values) > 1 else ())
    test = partial(holds, op=op, literal=literal)
    assert answers(found.compare(op, literal, lambda value: test(value))) == [test(value) for value in values]


@settings(max_examples=300)
@given(
    st.lists(VALUES, min_size=1, max_size=12),
    st.sampled_from(["in", "not in"]),
    st.lists(st.one_of(LITERALS, st.none()), max_size=4),
)
@example([-0.0, 0.0], "in", [0])
def test_a_column_knows_what_is_in_a_list(values: list[Any], op: Op, literals: list[Any]) -> None:
    test = partial(holds, op=op, literal=tuple(literals))
    found = column(values).compare(op, tuple(literals), lambda value: test(value))
    assert answers(found) == [test(value) for value in values]


@given(st.lists(VALUES, min_size=1, max_size=12), st.lists(st.integers(0, 2), max_size=2))
def test_a_column_of_lists_is_compared_with_a_list(values: list[Any], literal: list[int]) -> None:
    for op in ("==", "!="):
        test = partial(holds, op=op, literal=tuple(literal))
        found = column(values).compare(op, tuple(literal), lambda value, test=test: test(value))  # type: ignore[misc]
        assert answers(found) == [test(value) for value in values]


@given(st.lists(VALUES, min_size=1, max_size=12), st.sampled_from(["a", "^a$", "b|é", "[0-9]", "", "(ad|sg)"]))
def test_a_regular_expression_is_looked_for_in_texts(values: list[Any], pattern: str) -> None:
    test = partial(holds, op="~", literal=pattern)
    assert answers(column(values).compare("~", pattern, lambda value: test(value))) == [test(v) for v in values]


def test_a_regular_expression_that_cannot_be_run_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="regular expression"):
        column(["a"]).compare("~", "(?=a)", bool)


def test_numbers_and_texts_of_a_column_that_has_both() -> None:
    mixed = column([1, 2.5, True, 2**64, "a", [1], None, math.nan], (3, 5))
    numbers = [value for part in mixed.numbers() for value in part.to_pylist()]
    assert numbers[:4] == [1.0, 2.5, 1.0, 2.0**64]
    assert numbers[4:7] == [None, None, None]
    assert math.isnan(numbers[7])
    texts = [value for part in mixed.texts() for value in part.to_pylist()]
    assert texts == [None, None, "true", str(2**64), "a", "[1]", None, None]


def test_a_whole_number_that_no_float_holds_is_infinite() -> None:
    assert [part.to_pylist() for part in column([10**400, -(10**400), 1.5]).numbers()] == [[math.inf, -math.inf, 1.5]]


def test_whole_numbers_stay_whole_where_a_column_has_nothing_else() -> None:
    assert [part.to_pylist() for part in column([2**62 + 1, None]).numbers()] == [[2**62 + 1, None]]


def test_a_column_that_is_nowhere_has_nothing() -> None:
    empty = Column((2, 1), {})
    assert answers(empty.present) == answers(empty.compare(">", 1, bool)) == [False] * 3
    assert answers(empty.compare("==", None, bool)) == [True] * 3
    assert [part.to_pylist() for part in empty.numbers()] == [[None, None], [None]]


def test_masks_are_joined_and_counted() -> None:
    one, other = [pa.array([True, True, False])], [pa.array([True, False, False])]
    assert answers(columns.both(one, other)) == [True, False, False]
    assert answers(columns.either(one, other)) == [True, True, False]
    assert answers(columns.opposite(one)) == [False, False, True]
    assert total(columns.every((2, 3))) == 5
    assert total(columns.every((), value=False)) == 0
    assert places([*one, *other]) == [0, 1, 3]
    assert columns.chosen([pa.array([7, 8, 9])], one) == [7, 8]


SORTED = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=30)


@settings(max_examples=300)
@given(SORTED, st.integers(0, 12), st.booleans(), st.lists(st.integers(1, 29), max_size=4, unique=True))
def test_the_leading_rows_are_those_of_a_whole_sort(
    rows: list[tuple[int, bool]], limit: int, up: bool, cuts: list[int]
) -> None:
    ends = (0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows))
    values = [pa.array([value for value, _ in rows[start:end]], pa.int64()) for start, end in pairwise(ends)]
    mask = [pa.array([meant for _, meant in rows[start:end]]) for start, end in pairwise(ends)]
    tie = [pa.array(range(start, end), pa.int64()) for start, end in pairwise(ends)]
    keys = [(values, "ascending" if up else "descending"), (tie, "descending")]
    expected = sorted((at for at, (_, meant) in enumerate(rows) if meant),
                      key=lambda at: (rows[at][0] if up else -rows[at][0], -at))  # fmt: skip
    assert leading(mask, keys, limit) == expected[:limit]


def test_parts_without_a_value_and_with_nan_alone_are_passed_over() -> None:
    values = [pa.array([None, None], pa.float64()), pa.array([math.nan, 2.0]), pa.array([math.nan])]
    mask = [pa.array([False, False]), pa.array([False, True]), pa.array([False])]
    assert leading(mask, [(values, "descending")], 5) == [3]


def test_texts_can_be_sorted_too() -> None:
    values = [pa.array(["b", "a"]), pa.array(["c"])]
    assert leading(columns.every((2, 1)), [(values, "ascending")], 2) == [1, 0]
