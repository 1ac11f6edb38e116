import json
from typing import Any

import pytest

from executor.cli import output


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        ("plain ünïcode\ttab\nline", "plain ünïcode\ttab\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x1b\x1b[31m[31m", "[31m"),
        ("\x9b31mred", "31mred"),
        ("bell\x07 back\x08 null\x00 delete\x7f", "bell back null delete"),
        ("a\rb", "ab"),
        ("half \udcff", "half \\udcff"),
        ("gpj.\u202eexe\u2066\u200f", "gpj.exe"),
        ("one\u2028line\u2029", "oneline"),
    ],
)
def test_no_control_character_is_left(wrote: str, shown: str) -> None:
    assert output.plain(wrote) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**50, "1024.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004"), (1e-300, "1e-300"), (float("nan"), "nan")],
)
def test_numbers_are_whole(value: float, text: str) -> None:
    assert output.number(value) == text


def test_columns_are_aligned_and_end_without_blanks() -> None:
    shown = output.table([("a", "\x1b[31mlong\x1b[0m"), ("ccc", "d")], ("X", "Y"))
    assert shown == "X    Y\na    long\nccc  d"


def finding(**changes: Any) -> dict[str, Any]:
    known = {"field": "f", "expected": "a", "observed": "b", "severity": "refuse", "advice": "mend", "allowed": False}
    return known | changes


def test_findings_that_matter_have_their_advice() -> None:
    found = [finding(), finding(severity="warn", advice=""), finding(allowed=True), finding(severity="info")]
    assert output.findings(found) == (
        "  ✗ f: expected a, found b\n      → mend\n  ! f: expected a, found b\n"
        "  ~ f: expected a, found b (allowed)\n      → mend"
    )
    assert output.findings(found[3:], every=True) == "  ✓ f: b"
    assert output.findings(found[3:]) == ""


def test_what_is_shown_and_said_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    output.show("\x1b[2Jshown \udcff")
    output.say("\x1b[2Jsaid")
    assert capsys.readouterr() == ("shown \\udcff\n", "said\n")


def test_json_is_one_document_of_plain_characters(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"name": "über", "evil": "\x1b[2J\x9b", "half": "\udcff"}
    output.emit(document)
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == document


def test_a_cell_that_no_screen_holds_is_cut() -> None:
    line = output.table([("x" * 100_000, "y")], ("A", "B")).splitlines()[1]
    assert line == f"{'x' * (output.MOST_OF_CELL - 1)}…  y"
