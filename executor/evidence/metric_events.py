"""Metric series from TensorBoard event files: the scalars of each tag, with step and time. Pure: streams are given.

Both kinds of scalars are read: simple values, and tensors of one number as TensorFlow 2 writes them. All else in a file
is passed over. A file that a killed run left may end within a record; what came before counts. Check sums are compared
of lengths only: a file's bytes are those that its digest names, and more of them would take a minute per million.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from operator import index
from typing import BinaryIO, TypeAlias

from executor.evidence.content.found import Unreadable
from executor.evidence.content.wire import fields, starts_with_record
from executor.evidence.series import Column, Columns, Tally

Scalar: TypeAlias = tuple[str, float, int, float]
"""Tag, value, step, wall time."""
POINTS = 1 << 14
"""Points that are gathered before they are given."""
LARGEST = 1 << 22
"""Bytes of a record beyond which it is passed over unread: it holds images, histograms or a graph."""
_HEADER, _CHECKSUM = 12, 4
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5
"""Fields of an event."""
_VALUE = 1
_TAG, _SIMPLE, _TENSOR = 1, 2, 8
"""Fields of a value of a summary."""
_DTYPE, _SHAPE, _CONTENT = 1, 2, 4
"""Fields of a tensor."""
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_KINDS = {1: (5, _FLOAT), 2: (6, _DOUBLE)}
"""Of a tensor's type: the field of its numbers where they are not in `content`, and how one is written."""


def columns(stream: BinaryIO, tally: Tally) -> Iterator[Columns]:
    """The scalars of a file that can be sought in, a part of it at a time."""
    found: dict[str, tuple[list[float], list[int | None], list[float]]] = {}
    points = 0
    for record in _records(stream, tally):
        try:
            scalars = _usual(record) or list(_scalars(record))
        except (Unreadable, struct.error, TypeError):
            tally.unreadable += 1
            continue
        for tag, value, step, time in scalars:
            values, steps, times = found.setdefault(tag, ([], [], []))
            values.append(value)
            steps.append(step)
            times.append(time)
        points += len(scalars)
        if points >= POINTS:
            yield {tag: Column(*column) for tag, column in found.items()}
            found, points = {}, 0
    yield {tag: Column(*column) for tag, column in found.items()}


def _records(stream: BinaryIO, tally: Tally) -> Iterator[bytes]:
    while header := stream.read(_HEADER):
        if not _begins(header):
            tally.unreadable += 1
            return
        length = int.from_bytes(header[:8], "little")
        if length > LARGEST:
            stream.seek(length + _CHECKSUM, os.SEEK_CUR)
            continue
        record = stream.read(length + _CHECKSUM)
        if len(record) < length + _CHECKSUM:
            tally.unreadable += 1
            return
        yield record[:length]


@lru_cache(maxsize=1024)
def _begins(header: bytes) -> bool:
    """Whether these are a length and its check sum; few lengths are common."""
    return starts_with_record(header)


def _usual(record: bytes) -> list[Scalar]:
    """The scalar of an event that holds one simple value and is written as usual, fields in order; else nothing."""
    if len(record) < 20 or record[0] != 0x09 or record[9] != 0x10:
        return []
    step, shift, at = 0, 0, 10
    while record[at] >= 0x80 and at < 19:
        step |= (record[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    step |= record[at] << shift
    left = len(record) - at
    if left < 12 or left > 0x7F or record[at + 1] != 0x2A or record[at + 3] != 0x0A or record[at + 5] != 0x0A:
        return []
    size = record[at + 6]
    end = at + 7 + size
    lengths = (record[at + 2], record[at + 4], end + 5)
    if lengths != (left - 3, left - 5, len(record)) or record[end] != 0x15:
        return []
    tag = record[at + 7 : end].decode("utf-8", "replace")
    return [(tag, _FLOAT.unpack_from(record, end + 1)[0], _signed(step), _DOUBLE.unpack_from(record, 1)[0])]


def _scalars(record: bytes) -> Iterator[Scalar]:
    """The scalars of any event; raises `Unreadable`, `struct.error` or `TypeError` for what is none."""
    step, time, summaries = 0, float("nan"), list[bytes]()
    for number, content in fields(record):
        if number == _STEP:
            step = _signed(content)
        elif number == _WALL_TIME:
            time = _DOUBLE.unpack(bytes(content))[0]
        elif number == _SUMMARY and isinstance(content, bytes):
            summaries.append(content)
    for summary in summaries:
        for number, content in fields(summary):
            if number == _VALUE and isinstance(content, bytes):
                parts = dict(fields(content))
                value, tag = _value(parts.get(_SIMPLE), parts.get(_TENSOR)), parts.get(_TAG)
                if value is not None and isinstance(tag, bytes):
                    yield tag.decode("utf-8", "replace"), value, step, time


def _value(simple: int | bytes | None, tensor: int | bytes | None) -> float | None:
    if isinstance(simple, bytes):
        return float(_FLOAT.unpack(simple)[0])
    parts = dict(fields(tensor)) if isinstance(tensor, bytes) else {}
    kind = _KINDS.get(dtype) if isinstance(dtype := parts.get(_DTYPE), int) else None
    if kind is None or parts.get(_SHAPE):
        return None
    content = parts.get(_CONTENT) or parts.get(kind[0])
    return float(kind[1].unpack(content)[0]) if isinstance(content, bytes) and len(content) == kind[1].size else None


def _signed(step: int | bytes) -> int:
    """A step as the 64 bits with a sign that it is; raises `TypeError` for what is no number."""
    step = index(step) & 2**64 - 1  # type: ignore[arg-type]  # which bytes are not
    return step - 2**64 if step >= 2**63 else step
