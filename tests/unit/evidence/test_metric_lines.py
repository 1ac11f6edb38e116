from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.evidence import metric_lines
from executor.evidence.metric_lines import BLOCK, LONGEST_LINE, columns
from executor.evidence.metric_log import LogReader
from executor.evidence.series import Tally

NAN, INF = math.nan, math.inf
Points = dict[str, list[tuple[int | None, float]]]


def read(text: bytes, tally: Tally | None = None) -> Points:
    """Steps and values by series."""
    found: Points = {}
    for part in columns(io.BytesIO(text), tally or Tally()):
        for name, one in part.items():
            steps = one.steps if one.steps is not None else [None] * len(one.values)
            found.setdefault(name, []).extend(zip(steps, one.values, strict=True))
    return found


def times(text: bytes) -> dict[str, list[float] | None]:
    (part,) = columns(io.BytesIO(text), Tally())
    return {name: None if one.times is None else list(one.times) for name, one in part.items()}


def unreadable(text: bytes) -> int:
    tally = Tally()
    read(text, tally)
    return tally.unreadable


def test_every_number_of_a_line_is_a_point() -> None:
    assert read(b'{"step": 0, "loss": 2, "acc": 0.5}\n{"step": 5, "loss": 1.5, "acc": 0.75}\n') == {
        "loss": [(0, 2.0), (5, 1.5)], "acc": [(0, 0.5), (5, 0.75)],
    }  # fmt: skip


def test_lines_of_several_kinds_are_read() -> None:
    text = b'{"step": 0, "loss": 2}\n\n{"step": 1, "acc": 0.5, "note": "x"}\r\n{"loss": 1}'
    assert read(text) == {"loss": [(0, 2.0), (None, 1.0)], "acc": [(1, 0.5)]}


def test_nan_and_infinity_are_values() -> None:
    assert repr(read(b'{"a": NaN}\n{"a": Infinity}\n{"a": -Infinity}\n{"a": -0.0}\n')) == repr(
        {"a": [(None, NAN), (None, INF), (None, -INF), (None, -0.0)]}
    )


def test_text_booleans_lists_and_nothing_are_no_points() -> None:
    assert read(b'{"a": "x", "b": true, "c": [1], "d": null, "e": 1}\n') == {"e": [(None, 1.0)]}
    assert read(b'{"a": "x"}\n{"a": 1}\n{"a": true}\n') == {"a": [(None, 1.0)]}
    assert read(b'{"step": 1}\n{"step": 2}\n') == {}


def test_a_whole_number_beyond_a_double_is_infinite() -> None:
    big = b"1" + b"0" * 400
    assert read(b'{"a": %b}\n{"a": -%b}\n' % (big, big)) == {"a": [(None, INF), (None, -INF)]}


@pytest.mark.parametrize(
    ("when", "step"),
    [
        ('"step": 3', 3), ('"step": 3.0', 3), ('"step": 3.5', None), ('"step": "3"', None), ('"step": true', None),
        ('"step": -1', -1), ('"step": 9223372036854775807', 2**63 - 1), ('"step": 9223372036854775808', None),
        ('"step": NaN', None), ('"step": 1e300', None), ('"epoch": 3', 3), ('"epoch": 3.0', None),
        ('"epoch": 0.5', None), ('"step": 7, "epoch": 3', 7), ('"step": null, "epoch": 3', 3), ('"x": 1', None),
    ],
)  # fmt: skip
def test_a_step_is_a_whole_number(when: str, step: int | None) -> None:
    line = f'{{{when}, "loss": 1}}\n'.encode()
    assert read(line)["loss"] == [(step, 1.0)]
    assert read(line + b'{"loss": 2}\n')["loss"] == [(step, 1.0), (None, 2.0)]


@pytest.mark.parametrize("key", ["wall_time", "timestamp", "_timestamp"])
def test_a_time_is_kept_and_is_no_metric(key: str) -> None:
    assert times(f'{{"loss": 1, "{key}": 5}}\n{{"loss": 2, "{key}": 6.5}}\n'.encode()) == {"loss": [5.0, 6.5]}
    assert repr(times(f'{{"loss": 1, "{key}": "noon"}}\n{{"loss": 2}}\n'.encode())) == "{'loss': [nan, nan]}"
    assert times(b'{"loss": 1}\n') == {"loss": None}


def test_lines_that_cannot_be_read_are_counted() -> None:
    text = b'oops\n[1]\n\xff\xfe\n{"a": 1}\n' + b"[" * 100_000 + b'\n{"\\ud800": 1}\n1\n{"a": 1},{"a": 2}\n'
    assert (read(text), unreadable(text)) == ({"a": [(None, 1.0)]}, 7)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b'{"a": [1\n2]}\n', 2), (b'{"a":1},"|",{"b":2}\n{"a":[1\n2]}\n', 3),
        (b'{"a":1},"\\u007c",{"b":2}\n{"a":[{}\n{}]}\n', 3), (b'{"a": 1},\n{"b": 2}\n', 1),
        (b'{"a": {"b": 1\n"c": 2}}\n', 2), (b'{"a": "\n"}\n', 2), (b'{"a": "|", "b":\n{}}\n', 2),
    ],
)  # fmt: skip
def test_lines_that_are_something_only_together_are_nothing(text: bytes, wrong: int) -> None:
    assert (read(text).get("a"), unreadable(text)) == (None, wrong)


def test_a_file_longer_than_a_block_is_read_whole() -> None:
    many = 2 * BLOCK // 20
    text = b"".join(b'{"step": %d, "a": %d.5}\n' % (at, at) for at in range(many))
    assert read(text)["a"] == [(at, at + 0.5) for at in range(many)]


def test_a_line_too_long_is_counted_and_the_next_is_read() -> None:
    long = b'{"b": "' + b"x" * (LONGEST_LINE + 3 * BLOCK) + b'"}\n'
    text = b'{"a": 1}\n' + long + b'{"a": 2}\n' + long + long[:-1]
    assert (read(text), unreadable(text)) == ({"a": [(None, 1.0), (None, 2.0)]}, 3)


def test_a_stdout_pattern_gives_series_with_steps() -> None:
    reader = LogReader(r"step (?P<step>\d+): loss (?P<loss>\S+)")
    lines = reader.feed(b"step 0: loss 2.5\nhello\nstep 10: loss nan\n") + reader.feed(b"", last=True)
    assert repr(read(lines)) == "{'loss': [(0, 2.5), (10, nan)]}"


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
ENTRIES = st.dictionaries(st.sampled_from(["step", "epoch", "loss", "a|b", "é", '"']), VALUES, max_size=4)
NUMBERS = st.integers(-5, 5) | st.floats()
ALIKE = st.lists(st.fixed_dictionaries({"step": st.integers(0, 9), "loss": NUMBERS, "acc": NUMBERS}), max_size=20)
ASCII = st.booleans()


def as_lines(entries: list[dict[str, Any]], ascii_only: bool) -> list[bytes]:
    return [json.dumps(entry, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for entry in entries]


def agree(lines: list[bytes]) -> None:
    """The last values, and what is unreadable, as lines read one by one give them."""
    final, unreadable = one_by_one(lines)
    tally = Tally()
    last = {name: points[-1][1] for name, points in read(b"\n".join(lines), tally).items()}
    assert repr(sorted(last.items())) == repr(sorted(final.items()))
    assert tally.unreadable == unreadable


def one_by_one(lines: list[bytes]) -> tuple[dict[str, float], int]:
    final: dict[str, float] = {}
    unreadable = 0
    for line in filter(bytes.strip, lines):
        try:
            entry = json.loads(line)
            "".join(entry).encode()  # no text can hold half a surrogate pair
        except (ValueError, TypeError, RecursionError):
            unreadable += 1
            continue
        if not isinstance(entry, dict):
            unreadable += 1
            continue
        numbers = {name: value for name, value in entry.items() if type(value) in (int, float)}
        final |= {name: as_double(value) for name, value in numbers.items() if name not in metric_lines.WHEN}
    return final, unreadable


def as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


@settings(max_examples=200)
@given(st.lists(ENTRIES, max_size=12) | ALIKE, ASCII)
def test_whatever_is_in_the_lines_the_last_values_are_those_of_single_lines(
    entries: list[dict[str, Any]], ascii_only: bool
) -> None:
    agree(as_lines(entries, ascii_only))


PIECES = [
    b'{"a":1}', b'{"a":[1', b"2]}", b'"|"', b'{"a":"|"}', b',"|",', b"{", b"}", b"", b"\\", b'{"a":2},{"a":3}',
    b'{"a":{}', b"\xff", b'"', b"[", b"]", b" ", b"\r",
]  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_no_line_reaches_into_another(lines: list[bytes]) -> None:
    agree(lines)
