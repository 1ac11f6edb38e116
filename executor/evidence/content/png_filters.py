"""The five filters of PNG, undone row by row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from executor.evidence.content.found import reject

_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def unfilter(line: bytes, above: bytes, pixel: int) -> bytes:
    """One row, of a line that starts with its filter and of the row above; `pixel` is the bytes of a pixel."""
    kind, line = line[0], line[1:]
    reject(kind > _PAETH, "no filter")
    if kind == _SUB:
        return _sub(line, pixel)
    if kind == _UP:
        return bytes([(a + b) & 255 for a, b in zip(line, above, strict=True)])
    if kind == _AVERAGE:
        return _average(line, above, pixel)
    return _paeth(line, above, pixel) if kind == _PAETH else line


def _sub(line: bytes, pixel: int) -> bytes:
    row = bytearray(len(line))
    for channel in range(pixel):
        sums: Iterator[int] = accumulate(line[channel::pixel], _add)
        row[channel::pixel] = bytes(sums)
    return bytes(row)


def _add(one: int, other: int) -> int:
    return (one + other) & 255


def _average(line: bytes, above: bytes, pixel: int) -> bytes:
    row = bytearray(pixel) + line  # the pixel before the first is nothing
    for at, (delta, up) in enumerate(zip(line, above, strict=True)):
        row[at + pixel] = (delta + (row[at] + up >> 1)) & 255
    return bytes(row[pixel:])


def _paeth(line: bytes, above: bytes, pixel: int) -> bytes:
    row, corners = bytearray(pixel) + line, bytes(pixel) + above
    for at, (delta, up, corner) in enumerate(zip(line, above, corners, strict=False)):
        left = row[at]
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        near = up if to_up <= to_corner else corner
        if to_left <= to_up and to_left <= to_corner:
            near = left
        row[at + pixel] = (delta + near) & 255
    return bytes(row[pixel:])
