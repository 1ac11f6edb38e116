"""Numbers in what a program prints, found by the spec's pattern, as the lines of a metrics file. Pure: no I/O."""

from __future__ import annotations

import json
import re

LINE_LIMIT = 64 * 1024
"""Bytes after which a line of the log that does not end is read as it is."""


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
