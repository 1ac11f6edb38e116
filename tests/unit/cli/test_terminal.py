from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from executor.cli.terminal import BURST, Terminal


class Screen(io.StringIO):
    """A terminal that is 80 columns of text."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_lines_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.stage("inputs")
        for done in range(0, 101, 10):
            terminal.progress("upload", done, 100)
        terminal.log(b"one\ntw")
        terminal.log(b"o\nlast")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "· inputs\n  │ one\n  │ two\n  │ last\n")


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=True) as terminal:
        terminal.stage("inputs")
        terminal.progress("upload", 1, 2)
        terminal.log(b"one\n")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        (b"\x1b[2J\x1b]0;x\x07red\n", "  │ ]0;xred\n"),
        (b" 10%\r 50%\r100%\n", "  │ 100%\n"),
        (b"windows\r\n", "  │ windows\n"),
        (b"\xff\xfe\n", "  │ \ufffd\ufffd\n"),
        (b"\n", "  │ \n"),
        ("über\n".encode(), "  │ über\n"),
    ],
)
def test_what_the_program_printed_is_shown_as_plain_lines(
    capsys: pytest.CaptureFixture[str], wrote: bytes, shown: str
) -> None:
    with Terminal() as terminal:
        for byte in wrote:  # as it comes: never half a character or half an escape
            terminal.log(bytes([byte]))
    assert capsys.readouterr().err == shown


def test_a_line_without_an_end_is_shown_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.log(b"x" * 70_000)
        assert len(capsys.readouterr().err) > 70_000


def test_a_stage_ends_an_open_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.log(b"half")
        terminal.stage("keeping the result")
    assert capsys.readouterr().err == "  │ half\n· keeping the result\n"


def test_a_terminal_gets_bars_that_go_and_lines_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as terminal:
        terminal.progress("upload", 1, 0)
        terminal.progress("upload", 50, 100)
        terminal.stage("[bold]keeping[/bold]")
        terminal.log(b":bug: [red]100%[/red] /path 1.5\n")
    shown = screen.getvalue()
    assert "upload" in shown
    assert "· [bold]keeping[/bold]" in shown
    assert "  │ :bug: [red]100%[/red] /path 1.5" in shown


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_watcher_that_leaves_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    with Terminal() as terminal:
        terminal.stage("inputs")
        terminal.log(b"one\n")


def test_pieces_may_come_from_other_threads(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        threads = [threading.Thread(target=terminal.progress, args=("a", n, 9)) for n in range(9)]
        for thread in [*threads, threading.Thread(target=terminal.log, args=(b"one\n",))]:
            thread.start()
            thread.join()
    assert capsys.readouterr().err == "  │ one\n"


def test_of_a_flood_the_ends_are_shown_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Terminal() as terminal:
        for number in range(1000):
            terminal.log(b"%d" % number + b"y" * 65536 + b"\n")
        now = 60.0
        terminal.log(b"calm again\n")
        for _ in range(300):
            terminal.log(b"z" * 65536)
        terminal.log(b"\nthe end\n")
    lines = [line[4:] for line in capsys.readouterr().err.splitlines()]
    assert [line.rstrip("y") for line in lines[:3]] == ["0", "1", "2"]
    gap = next(at for at, line in enumerate(lines) if "not shown" in line)
    assert lines[gap] == f"{1000 - gap - 10} lines not shown, `executor logs` has what is kept"
    assert [line.rstrip("y") for line in lines[gap + 1 : gap + 12]] == [*map(str, range(990, 1000)), "calm again"]
    assert lines[-1] == "the end"
    assert sum(map(len, lines)) < 3 * BURST
