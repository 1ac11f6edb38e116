import math

from executor.evidence.metrics import LINE_LIMIT, LogReader, Metrics
from executor.evidence.metrics import from_lines as read_into


def from_lines(lines: list[bytes]) -> Metrics:
    found = Metrics()
    read_into(lines, found)
    return found


def found_in(pattern: str, *pieces: bytes) -> bytes:
    reader = LogReader(pattern)
    return b"".join(map(reader.feed, pieces)) + reader.feed(b"", last=True)


def test_the_last_value_of_each_series_counts() -> None:
    found = from_lines([b'{"step": 0, "loss": 2, "acc": 0.5}\n', b"\n", b'{"epoch": 1, "loss": 1.5}\n'])
    assert (found.final, found.points, found.unreadable) == ({"loss": 1.5, "acc": 0.5}, 3, 0)


def test_nan_and_infinity_are_values() -> None:
    found = from_lines([b'{"a": NaN, "b": Infinity, "c": -Infinity}'])
    assert math.isnan(found.final["a"])
    assert (found.final["b"], found.final["c"]) == (math.inf, -math.inf)


def test_an_integer_beyond_a_double_is_infinite() -> None:
    assert from_lines([b'{"a": 1' + b"0" * 400 + b"}"]).final == {"a": math.inf}


def test_text_booleans_and_lists_are_no_metrics() -> None:
    assert from_lines([b'{"a": "x", "b": true, "c": [1], "d": null}']).final == {}


def test_lines_that_cannot_be_read_are_counted() -> None:
    lines = [b"oops", b"[1]", b"\xff\xfe", b'{"a": 1}', b"[" * 100_000]
    assert (from_lines(lines).final, from_lines(lines).unreadable) == ({"a": 1.0}, 4)


def test_named_groups_of_the_log_become_lines_of_a_metrics_file() -> None:
    lines = found_in(r"^val_loss (?P<val_loss>\S+)", b"val_loss 0.5\r\nnoise\nval_loss nan\nval_loss x\n")
    assert lines == b'{"val_loss": 0.5}\n{"val_loss": NaN}\n{"val_loss": "x"}\n'


def test_lines_are_found_however_the_log_comes() -> None:
    log = b"loss 1\nloss 22\nloss 3"
    whole = found_in(r"loss (?P<loss>\d+)", log)
    assert whole == b'{"loss": 1.0}\n{"loss": 22.0}\n{"loss": 3.0}\n'
    assert found_in(r"loss (?P<loss>\d+)", *(log[i : i + 1] for i in range(len(log)))) == whole


def test_a_group_that_took_no_part_is_no_value() -> None:
    assert found_in(r"a (?P<a>\d)(?: b (?P<b>\d))?", b"a 1\na 2 b 3\n") == b'{"a": 1.0}\n{"a": 2.0, "b": 3.0}\n'


def test_a_line_without_an_end_is_read_as_it_is() -> None:
    reader = LogReader(r"loss (?P<loss>\d+)")
    assert reader.feed(b"loss 7 " + b"x" * LINE_LIMIT) == b'{"loss": 7.0}\n'
    assert reader.feed(b"y" * 10, last=True) == b""


def test_a_name_that_no_text_can_hold_is_unreadable() -> None:
    found = from_lines([b'{"\\ud800": 1}', b'{"\\ud83d\\ude00": 2}'])
    assert (found.final, found.unreadable) == ({"\U0001f600": 2.0}, 1)
