"""Watching a run: progress bars on a terminal, plain lines in a pipe, the program's log as it comes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

import click

from executor.cli.output import plain
from executor.errors import count

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


RATE, BURST = 2 << 20, 16 << 20
"""Bytes of log a second that are shown, and how many at once: a program waits for who watches; nobody reads more."""
_LINE = 64
"""Bytes that a line costs beside its own."""


class Terminal:
    """A reporter on stderr; use it as a context manager around the work."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet, self._lock = quiet, threading.Lock()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._line = b""
        self._room, self._when = float(BURST), time.monotonic()
        self._skipped, self._last = 0, deque[bytes](maxlen=10)

    def __enter__(self) -> Terminal:
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console  # a pipe needs none of it
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bars = Progress(*columns, console=Console(stderr=True, highlight=False, emoji=False), transient=True)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._bars:
            self._bars.stop()

    def stage(self, text: str) -> None:
        """A step begins: bars of the last one go."""
        self._flush()
        with self._lock:
            for task in self._tasks.values():
                if self._bars:
                    self._bars.remove_task(task)
            self._tasks.clear()
        if not self._quiet:
            self._write(f"· {text}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar of `what`."""
        if self._bars is None:
            return
        with self._lock:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what[:40], total=total or None)
            self._bars.update(self._tasks[what], completed=done, total=total or None)

    def log(self, piece: bytes) -> None:
        """Show whole lines of what the program printed, without terminal escapes; of a flood its ends."""
        if self._quiet:
            return
        now = time.monotonic()
        self._room, self._when = min(BURST, self._room + (now - self._when) * RATE), now
        *lines, self._line = (self._line + piece).split(b"\n")
        if len(self._line) > 65536:  # a line without an end
            lines, self._line = [*lines, self._line], b""
        if self._skipped and self._room > BURST / 4:
            self._catch_up()
        shown = 0 if self._skipped else self._show_some(lines)
        self._skipped += len(lines) - shown
        self._last.extend(lines[max(shown, len(lines) - 10) :])

    def _show_some(self, lines: list[bytes]) -> int:
        """Show lines while there is room; how many."""
        for number, line in enumerate(lines):
            if self._room < 0:
                return number
            self._room -= len(line) + _LINE
            self._show(line)
        return len(lines)

    def _catch_up(self) -> None:
        """Say what was not shown, and show the end of it."""
        if hidden := self._skipped - len(self._last):
            self._write(f"  … {count(hidden, 'line')} not shown, `executor logs` has what is kept")
        for line in self._last:
            self._show(line)
        self._last.clear()
        self._skipped = 0

    def _flush(self) -> None:
        self._catch_up()
        line, self._line = self._line, b""
        if line:
            self._show(line)

    def _show(self, line: bytes) -> None:
        # a carriage return draws a line anew (progress bars of the program): its last state counts
        text = plain(line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace"))
        self._write(f"  │ {text}")

    def _write(self, text: str) -> None:
        if self._bars:
            self._bars.console.print(text, markup=False, soft_wrap=True)
            return
        with contextlib.suppress(BrokenPipeError):  # whoever watched has left; the run goes on
            click.echo(text, err=True)
