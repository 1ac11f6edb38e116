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


def from_lines(lines: Iterable[bytes]) -> Metrics:
    """Read the lines of a metrics file."""
    found = Metrics()
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
    return found


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


def from_log(pattern: str, lines: Iterable[bytes], into: Metrics) -> None:
    """Add what the named groups of `pattern` match in the lines that the program printed."""
    expression = re.compile(pattern)
    for line in lines:
        match = expression.search(line.decode("utf-8", "replace").rstrip("\r\n"))
        for name, text in (match.groupdict() if match else {}).items():
            try:
                into.add(name, float(text))
            except (TypeError, ValueError):
                into.unreadable += 1


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the range of a double
        return float("inf") if value > 0 else float("-inf")
