"""A log, a page at a time, as text that can do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from executor.spec.canonical import CHUNK
from executor.text import plain

PAGE = 128 << 10
"""Bytes of a page; it ends with a whole line, unless one is longer than all of it."""


@dataclass(frozen=True)
class LogPage:
    """Some lines of a log."""

    text: str
    number: int
    """From 1."""
    pages: int


def page_of(stream: BinaryIO, size: int, number: int) -> LogPage:
    """One page of a log of `size` bytes, for 0 the last one; the stream is read to its end, which verifies it."""
    pages = max(1, -(-size // PAGE))
    number = min(max(number or pages, 1), pages)
    start, end = (number - 1) * PAGE, number * PAGE
    kept, at = bytearray(), 0
    while chunk := stream.read(CHUNK):
        kept += chunk[max(0, start - PAGE - at) : max(0, end - at)]
        at += len(chunk)
    before = min(start, PAGE)
    return LogPage(shown(_whole_lines(bytes(kept), before, last=number == pages)), number, pages)


def _whole_lines(data: bytes, before: int, *, last: bool) -> bytes:
    """From the end of the line in which the page before ended, up to that of this one's last line."""
    start = data.rfind(b"\n", 0, before) + 1 or before if before else 0
    end = len(data) if last else data.rfind(b"\n", before) + 1 or len(data)
    return data[start:end]


def shown(data: bytes) -> str:
    """Lines as a person reads them: of one that was drawn anew, as progress bars are, its last state."""
    lines = data.decode("utf-8", "replace").split("\n")
    return "\n".join(plain(line.rstrip("\r").rpartition("\r")[2]) for line in lines)
