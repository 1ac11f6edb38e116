import pytest

from executor.evidence.content.explain import _explain, explain
from executor.evidence.content.found import Explanation, Limits, Unreadable
from executor.evidence.content.text import MOST_TEXT_LINES, as_text, explain_text

SVG = """<svg xmlns="http://www.w3.org/2000/svg">
 <dc:date>{date}</dc:date>
 <clipPath id="p{token}"><rect x="1"/></clipPath>
 <g clip-path="url(#p{token})"><use xlink:href="#m1"/></g>
</svg>
"""


def of(old: str, new: str) -> Explanation:
    return explain_text("x.txt", old.encode(), new.encode(), Limits(_explain))


def test_the_first_line_that_differs_is_told_with_its_number() -> None:
    found = of("a\nb 1\nc\n", "a\nb 2\nc\n")
    assert (found.format, found.same_values, found.lines) == ("text", False, ("line 2: “b 1” → “b 2”",))


def test_another_number_of_lines_comes_first() -> None:
    assert of("a\nb\n", "a\nx\nb\n").lines == ("number of lines: 2 → 3", "line 2: “b” → “x”")
    assert of("a\n", "a\nb\n").lines == ("number of lines: 1 → 2",)


def test_line_ends_alone_are_the_same() -> None:
    for new in ("a\r\nb\r\n", "a\nb", "\ufeffa\nb\n"):
        found = of("a\nb\n", new)
        assert (found.same_values, found.lines) == (True, ("only line ends differ",))
    assert not of("a\nb\n", "a\x0cb\n").same_values


def test_a_long_line_is_shown_where_it_parts() -> None:
    (line,) = of("x" * 5000 + "1" + "y" * 5000, "x" * 5000 + "2" + "y" * 5000).lines
    assert line.startswith("line 1: “…xxx")
    assert "x1y" in line
    assert "x2y" in line
    assert len(line) < 200


def test_what_leaks_is_found_in_the_middle_of_a_long_line() -> None:
    assert of("x " * 5000 + "took 3.1s", "x " * 5000 + "took 3.2s").leaks == ("time",)


def test_random_ids_and_the_date_of_an_svg_are_not_what_is_drawn() -> None:
    old = SVG.format(date="2026-01-01T10:00:00", token="f1a2b3c4d5")
    found = of(old, SVG.format(date="2026-01-02T11:00:00", token="e9d8c7b6a5"))
    assert (found.format, found.same_values, found.leaks) == ("svg", True, ("time", "random"))
    assert found.lines[0] == "only ids and the date differ"
    assert not of(old, old.replace('x="1"', 'x="2"')).same_values
    assert not of(old, old.replace("(#pf1a2b3c4d5)", "(#m1)")).same_values


def test_bytes_that_are_no_text_are_unreadable() -> None:
    for data in (b"a\0", b"\xff\xfe", b"\n" * (MOST_TEXT_LINES + 1)):
        with pytest.raises((Unreadable, UnicodeError)):
            as_text(data)


def test_control_characters_are_spelled_out() -> None:
    assert of("\x1b[31m1", "\x1b[31m2").lines == ("line 1: “\\x1b[31m1” → “\\x1b[31m2”",)


def test_a_progress_bar_is_lines() -> None:
    old, new = (f"\r 10%| 1/10 [00:0{n}<00:09, 1.{n}it/s]\r 20%|".encode() for n in (1, 2))
    assert explain("log.txt", old, new).leaks == ("time",)
