import math

from executor.evidence.metrics import Metrics, from_lines, from_log


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


def test_named_groups_of_the_log_are_metrics() -> None:
    found = Metrics({"loss": 9.0})
    from_log(
        r"^val_loss (?P<val_loss>\S+)", [b"val_loss 0.5\r\n", b"noise\n", b"val_loss nan\n", b"val_loss x\n"], found
    )
    assert math.isnan(found.final["val_loss"])
    assert (found.final["loss"], found.unreadable) == (9.0, 1)


def test_a_name_that_no_text_can_hold_is_unreadable() -> None:
    found = from_lines([b'{"\\ud800": 1}', b'{"\\ud83d\\ude00": 2}'])
    assert (found.final, found.unreadable) == ({"\U0001f600": 2.0}, 1)
