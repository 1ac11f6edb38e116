from __future__ import annotations

import io
import sys
import threading

import pytest

from executor.cli.terminal import Terminal


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
