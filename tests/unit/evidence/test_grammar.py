from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import QueryError
from executor.evidence.grammar import DEEPEST, LONGEST, MOST_VALUES, parse
from executor.evidence.query import And, Compare, Date, Not, Or, Span
from tests.unit.evidence.meaning import comparisons


def wrong_at(text: str) -> int:
    """Where an expression goes wrong; 0 for one that does not."""
    try:
        parse(text)
    except QueryError as error:
        return error.at
    return 0


def one(text: str) -> Compare:
    found = parse(text)
    assert isinstance(found, Compare)
    return found


@pytest.mark.parametrize(
    ("text", "name", "op", "value"),
    [
        ("accuracy >= 0.9", "accuracy", ">=", 0.9),
        ("params.optimizer == 'adam'", "params.optimizer", "==", "adam"),
        ('name ~ "^res(net)?-\\d+$"', "name", "~", "^res(net)?-\\d+$"),
        ("x == 'it\\'s'", "x", "==", "it's"),
        ("x == 'a\\\\b'", "x", "==", "a\\b"),
        ("x == -3", "x", "==", -3),
        ("x<1e-3", "x", "<", 1e-3),
        ("x > .5", "x", ">", 0.5),
        ("seed == 18446744073709551615", "seed", "==", 2**64 - 1),
        ("x == null", "x", "==", None),
        ("x != true", "x", "!=", True),
        ("x <= -inf", "x", "<=", -math.inf),
        ("val/loss < 1", "val/loss", "<", 1),
        ("params.top-k == 5", "params.top-k", "==", 5),
        ("metrics.`loss (train)` > 1", "metrics.loss (train)", ">", 1),
        ("metrics.5-shot > 1", "metrics.5-shot", ">", 1),
        ("größe > 1", "größe", ">", 1),
        ("created >= 2026-01-31", "created", ">=", Date("2026-01-31")),
        ("created < 2026-01-31T12:30Z", "created", "<", Date("2026-01-31T12:30Z")),
        ("created > 7d", "created", ">", Span(7 * 86400, "7d")),
        ("runtime_s > 1.5h", "runtime_s", ">", Span(5400, "1.5h")),
        ("seed in (1, 2)", "seed", "in", (1, 2)),
        ("seed not in [1, null]", "seed", "not in", (1, None)),
        ("x in ()", "x", "in", ()),
        ("x == [128, 64]", "x", "==", (128, 64)),
        ("0.9 <= accuracy", "accuracy", ">=", 0.9),
        ("'adam' == x", "x", "==", "adam"),
    ],
)
def test_a_comparison_is_read(text: str, name: str, op: str, value: object) -> None:
    found = one(text)
    assert (found.name, found.op, found.value) == (name, op, value)
    assert type(found.value) is type(value)


def test_what_python_warns_of_is_a_regular_expression() -> None:
    assert one("name ~ '[[a]'").value == "[[a]"


def test_nan_is_a_value() -> None:
    assert math.isnan(one("loss == nan").value)


def test_and_binds_closer_than_or_and_not_closest() -> None:
    a, b, c = (Compare(name, "==", 1) for name in "abc")

    def bare(found: object) -> object:
        if isinstance(found, Compare):
            return Compare(found.name, found.op, found.value)
        if isinstance(found, Not):
            return Not(bare(found.of))  # type: ignore[arg-type]
        assert isinstance(found, And | Or)
        return type(found)(tuple(bare(part) for part in found.of))  # type: ignore[misc]

    assert bare(parse("a == 1 or b == 1 and not c == 1")) == Or((a, And((b, Not(c)))))
    assert bare(parse("(a == 1 or b == 1) and c == 1")) == And((Or((a, b)), c))
    assert bare(parse("not (a == 1 and b == 1)")) == Not(And((a, b)))


def test_a_value_can_lie_between_two() -> None:
    found = list(comparisons(parse("0.1 < lr <= 0.2")))
    assert [(part.name, part.op, part.value) for part in found] == [("lr", ">", 0.1), ("lr", "<=", 0.2)]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_is_true_of_every_run(text: str) -> None:
    assert parse(text) == And(())


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("accuracy = 0.9", 9, "expected `==`"),
        ("a == 1 && b == 2", 7, "expected `and`"),
        ("a == 1 || b == 2", 7, "expected `or`"),
        ("! a == 1", 0, "expected `not`"),
        ("a == 1 AND b == 2", 7, "expected `and`, `or` or the end, found AND; write `and`"),
        ("a == None", 5, "expected a value, found None; write `null`"),
        ("a == adam", 5, "expected a value, found adam; a text stands in quotes"),
        ("a ==", 4, "expected a value, found the end"),
        ("a", 1, "in` or `not in` after a, found the end"),
        ("a not 3", 6, "expected `in` after `not`, found 3"),
        ("a in 3", 5, "expected a list such as ('adam', 'sgd'), found 3"),
        ("a in (1 2)", 8, "expected `,` or `)`, found 2"),
        ("a in (1, )", 9, "expected a value, found )"),
        ("(a == 1", 7, "expected `and`, `or` or `)`, found the end"),
        ("a == 1)", 6, "expected `and`, `or` or the end, found )"),
        ("a == 'x", 5, "this text does not end: no closing '"),
        ("a.`b == 1", 1, "neither a name, a value nor an operator"),
        ("a == 0.9x", 5, "0.9x"),
        ("a ~ '('", 4, "not a regular expression"),
        ("a ~ 3", 4, "expected a regular expression in quotes after `~`, found 3"),
        ("== 3", 0, "expected a name, a value, `not` or `(`, found =="),
        ("3 == 4", 5, "expected a name, found 4"),
        ("3 ~ a", 2, "expected `==`, `!=`, `<`, `<=`, `>` or `>=`, found ~"),
        ("a == 1 or", 9, "expected a name, a value, `not` or `(`, found the end"),
        ("a == 1 # note", 7, "neither a name"),
        ("and == 3", 0, "expected a name, found and"),
        ("a == '\udcff'", 6, "half a character"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, at: int, problem: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert problem in caught.value.problem
    assert caught.value.at == at
    shown, caret = caught.value.message.splitlines()[1:]
    assert shown.removeprefix("  ") == text
    assert caret.index("^") - 2 == at


def test_a_place_far_inside_is_shown_with_what_is_around_it() -> None:
    text = "a == 1 and " * 50 + "b = 2 and " + "c == 3 and " * 50 + "d == 4"
    with pytest.raises(QueryError) as caught:
        parse(text)
    shown, caret = caught.value.message.splitlines()[1:]
    assert len(shown) < 120
    assert shown[caret.index("^")] == "="


def test_sizes_have_limits() -> None:
    assert parse("(" * DEEPEST + "a == 1" + ")" * DEEPEST)
    for text in ("(" * (DEEPEST + 1) + "a == 1", "not " * (DEEPEST + 1) + "a == 1"):
        with pytest.raises(QueryError, match="levels deep"):
            parse(text)
    with pytest.raises(QueryError, match="longer than"):
        parse("a" * (LONGEST + 1))
    with pytest.raises(QueryError, match="more than 1000 values"):
        parse(f"a in ({', '.join(['1'] * (MOST_VALUES + 1))})")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    assert 0 <= wrong_at(text) <= len(text)


@given(st.text(st.sampled_from("ab.`'\"\\()[],=<>!~ 019-+eEinfnotandor:TZdhms\n"), max_size=40))
def test_texts_that_are_nearly_expressions_end_the_same_way(text: str) -> None:
    assert 0 <= wrong_at(text) <= len(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_text_can_be_written_as_a_value(text: str) -> None:
    written = text.replace("\\", "\\\\").replace("'", "\\'")
    assert one(f"x == '{written}'").value == text


@given(st.one_of(st.integers(-(2**64), 2**64), st.floats(allow_nan=False)))
def test_every_number_can_be_written_as_a_value(value: float) -> None:
    assert one(f"x == {value!r}").value == value
