from executor.evidence.metric_log import LINE_LIMIT, LogReader


def found_in(pattern: str, *pieces: bytes) -> bytes:
    reader = LogReader(pattern)
    return b"".join(map(reader.feed, pieces)) + reader.feed(b"", last=True)


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
