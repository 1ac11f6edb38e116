import zlib

import pytest

from executor.evidence.content.explain import _explain, explain
from executor.evidence.content.found import MISSING, Explanation, Found, Limits, Unreadable, names, shown


def test_ten_lines_are_kept_whole_and_more_are_counted() -> None:
    for many, last in ((10, "line 9"), (11, "… and 2 more"), (1000, "… and 991 more")):
        found = Found("text")
        for number in range(many):
            found.add(f"line {number}")
        lines = found.explanation(same=False).lines
        assert (len(lines), lines[0], lines[-1]) == (10, "line 0", last)


def test_a_lead_comes_first_and_counts() -> None:
    found = Found("text")
    for number in range(10):
        found.add(f"line {number}")
    found.lead("number of lines")
    lines = found.explanation(same=False).lines
    assert (lines[0], lines[1], lines[-1]) == ("number of lines", "line 0", "… and 2 more")


def test_lines_hold_nothing_that_moves_a_terminal() -> None:
    found = Found("text")
    found.add("a\x1b[2J\nb \ud800 → “é”")
    assert found.lines == ["a\\x1b[2J\\nb \\ud800 → “é”"]
    assert found.explanation(same=False).model_dump_json()


def test_leaks_are_told_once_in_a_fixed_order() -> None:
    found = Found("text")
    found.add("a", ["random", "time"])
    found.add("b", ["time"])
    assert found.explanation(same=False).leaks == ("time", "random")


def test_an_inner_explanation_is_cut_short() -> None:
    found = Found("zip")
    found.include("m", Explanation(format="text", same_values=False, lines=("a", "b", "c", "d"), leaks=("time",)))
    assert found.lines == ["m: a", "m: b", "m: c …"]
    assert found.leaks == {"time"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "null"),
        (float("nan"), "NaN"),
        ("a", '"a"'),
        ({"a": 1}, "{1 fields}"),
        ([1, 2], "[2 items]"),
        (MISSING, "missing"),
        ("x" * 200, '"' + "x" * 78 + "…"),
    ],
)
def test_values_are_short(value: object, text: str) -> None:
    assert shown(value) == text


def test_names_are_few() -> None:
    assert names("abc") == "a, b, c"
    assert names("abcde") == "a, b, c and 2 more"


def test_inflation_is_bounded_in_total() -> None:
    limits = Limits(_explain, left=1000)
    packed = zlib.compress(b"\0" * 600)
    assert limits.inflate(packed + b"rest", 15) == (b"\0" * 600, b"rest")
    for _ in range(3):  # and stays so when nothing is left, although zlib takes a limit of 0 for none
        with pytest.raises(Unreadable):
            limits.inflate(zlib.compress(b"\0" * 10_000_000), 15)
    assert limits.left == 0


def test_a_stream_that_is_cut_off_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        Limits(_explain).inflate(zlib.compress(b"abc" * 100)[:-3], 15)


def test_an_explanation_is_frozen_and_survives_json() -> None:
    found = explain("a.json", b"1", b"2")
    assert Explanation.model_validate_json(found.model_dump_json()) == found
