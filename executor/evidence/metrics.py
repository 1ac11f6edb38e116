"""Numbers that a program reported, read from its metrics file or from what it printed. Pure: no I/O.

A metrics file has one JSON object a line; every key with a number is a series, `step` and `epoch` say when. NaN and
infinity are values like any other. A line that cannot be read is counted, never a failure of the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LINE_LIMIT = 64 * 1024
"""Bytes after which a line of the log that does not end is read as it is."""
WHEN = frozenset({"step", "epoch"})
"""Keys that say when a line was written; they are no metrics."""


@dataclass
class Metrics:
    """What has been read so far."""

    final: dict[str, float] = field(default_factory=dict)
    """Last value of each series."""
    points: int = 0
    """Values read."""
    unreadable: int = 0
    """Lines that are no JSON object."""

    def add(self, name: str, value: float) -> None:
        """Take one value."""
        self.final[name] = value
        self.points += 1


def from_lines(lines: Iterable[bytes], found: Metrics) -> None:
    """Read the lines of a metrics file into `found`."""
    for line in lines:
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            found.unreadable += 1
            continue
        for name, value in entry.items():
            if name not in WHEN and isinstance(value, (int, float)) and not isinstance(value, bool):
                found.add(name, _number(value))


def _entry(line: bytes) -> dict[str, Any] | None:
    """The object of one line; none when there is none, or a key is half a surrogate pair, which no text can hold."""
    try:
        entry = json.loads(line)
        if isinstance(entry, dict):
            "".join(entry).encode()
            return entry
    except (ValueError, RecursionError):
        pass
    return None


class LogReader:
    """Finds numbers in what a program prints, as it prints it: the named groups of a pattern, line by line."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._rest = re.compile(pattern), b""

    def feed(self, piece: bytes, *, last: bool = False) -> bytes:
        """Take more of the log; returns the lines of a metrics file for the matches in it."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if last or len(self._rest) > LINE_LIMIT:
            lines, self._rest = [*lines, self._rest], b""
        return b"".join(map(self._line, lines))

    def _line(self, line: bytes) -> bytes:
        match = self._pattern.search(line.decode("utf-8", "replace").rstrip("\r"))
        values = {name: _read(text) for name, text in (match.groupdict() if match else {}).items() if text is not None}
        return json.dumps(values).encode() + b"\n" if values else b""


def _read(text: str) -> float | str:
    """The number that a text is; a text that is none stays what it is, and is no metric."""
    try:
        return float(text)
    except ValueError:
        return text


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the range of a double
        return float("inf") if value > 0 else float("-inf")
