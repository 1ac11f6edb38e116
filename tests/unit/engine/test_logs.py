from pathlib import Path

import pytest

from executor.engine import logs
from executor.engine.logs import TAIL, LogKeeper


def kept(path: Path, *pieces: bytes) -> tuple[LogKeeper, dict[int, bytes], bytes]:
    segments: dict[int, bytes] = {}
    shown: list[bytes] = []
    with LogKeeper(path, segments.__setitem__, shown.append) as log:
        for piece in pieces:
            log.write(piece)
    return log, segments, b"".join(shown)


def test_everything_printed_is_kept_published_and_shown(tmp_path: Path) -> None:
    log, segments, shown = kept(tmp_path / "log", b"one\ntw", b"o\n")
    published = b"".join(data for _, data in sorted(segments.items()))
    assert (tmp_path / "log").read_bytes() == published == shown == b"one\ntwo\n"
    assert (log.tail, log.dropped) == ("one\ntwo\n", 0)


def test_segments_are_numbered_from_zero_without_a_gap(tmp_path: Path) -> None:
    _, segments, _ = kept(tmp_path / "log", *[b"x" * 300_000] * 3)
    assert sorted(segments) == list(range(len(segments)))


def test_a_flood_is_bounded_and_its_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 1000)
    log, segments, _ = kept(tmp_path / "log", b"a" * 900, b"b" * 200, b"c" * 500 + b"the end\n")
    text = (tmp_path / "log").read_bytes()
    assert log.dropped == 608
    assert text.startswith(b"a" * 900 + b"b" * 100 + b"\n[608 bytes")
    assert text.endswith(b"the end\n")
    assert sum(map(len, segments.values())) == 1000


def test_the_tail_is_whole_lines_of_text(tmp_path: Path) -> None:
    log, _, _ = kept(tmp_path / "log", b"first\n" + b"x" * TAIL + b"\nlast \xff\n")
    assert log.tail == "last \ufffd\n"


def test_nothing_printed_is_an_empty_log(tmp_path: Path) -> None:
    log, segments, _ = kept(tmp_path / "log")
    assert ((tmp_path / "log").read_bytes(), segments, log.tail) == (b"", {}, "")


def test_the_tail_of_an_endless_line_is_its_end(tmp_path: Path) -> None:
    log, _, _ = kept(tmp_path / "log", b"\r1 %" * TAIL)
    assert len(log.tail) == TAIL
