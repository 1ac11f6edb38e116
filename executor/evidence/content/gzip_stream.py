"""gzip: what was compressed, apart from the time, file name and level that it was compressed with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from executor.evidence.content.found import Explanation, Found, Limits, reject

MOST_PARTS = 100
"""gzip files that may be joined in one."""
_EXTRA, _NAME = 4, 8
"""Flags of the header: fields that it has."""


class Part(NamedTuple):
    """The first header, and all that was compressed."""

    time: int
    """Seconds since 1970, 0 when none was given."""
    name: str
    content: bytes


def explain_gzip(path: str, reference: bytes, observed: bytes, limits: Limits) -> Explanation:
    """Two compressed files, told apart by what is in them."""
    old, new = _read(reference, limits), _read(observed, limits)
    found, same = Found("gzip"), True
    if old.content != new.content:
        inner = limits.inner(_inside(path), old.content, new.content)
        found.include("", inner, most=9)
        same = inner.same_values
    if old.time != new.time:
        found.add(f"time in the header: {_moment(old.time)} → {_moment(new.time)}", ["time"])
    if old.name != new.name:
        found.value("file name in the header", old.name, new.name)
    if not found.count:
        found.add("the same content, compressed differently")
    return found.explanation(same=same)


def _read(data: bytes, limits: Limits) -> Part:
    reject(len(data) < 18 or data[:3] != b"\x1f\x8b\x08", "no gzip header")
    content, rest = limits.inflate(data, 31)
    pieces = [content]
    while rest.strip(b"\0"):
        reject(len(pieces) == MOST_PARTS, "too many parts")
        content, rest = limits.inflate(rest, 31)
        pieces.append(content)
    return Part(int.from_bytes(data[4:8], "little"), _name(data), b"".join(pieces))


def _name(data: bytes) -> str:
    flags, start = data[3], 10
    if flags & _EXTRA:
        start += 2 + int.from_bytes(data[10:12], "little")
    return data[start : start + 1000].partition(b"\0")[0].decode("latin-1") if flags & _NAME else ""


def _inside(path: str) -> str:
    lower = path.lower()
    return path[:-3] + "tar" if lower.endswith(".tgz") else path[:-3] if lower.endswith(".gz") else path


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else "none"
