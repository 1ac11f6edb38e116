"""Metric series from lines of JSON, as programs write them and as a stdout pattern gives them. Pure: streams are given.

Every number of a line is a point. `step` says when, else `epoch` where it is a whole number; else points are counted.
`wall_time` or `timestamp` says when by the clock, in seconds since 1970. NaN and infinity are values like any other; a
line that cannot be read is counted.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

from executor.evidence.series import Column, Columns, Tally

Entry: TypeAlias = Mapping[str, Any]
BLOCK = 1 << 20
"""Bytes that are read at a time."""
LONGEST_LINE = 1 << 20
"""Bytes of a line beyond which it is left out."""
STEP, EPOCH = "step", "epoch"
TIMES = ("wall_time", "timestamp", "_timestamp")
WHEN = frozenset({STEP, EPOCH, *TIMES})
"""Keys that say when a line was written; they are no metrics."""
MOST_STEP = 2**63 - 1
_NUMBERS = {int, float}
_MARK = b'"|"'


def columns(stream: BinaryIO, tally: Tally) -> Iterator[Columns]:
    """The points of a file, a part of it at a time."""
    for block in _blocks(stream, tally):
        entries = _together(block)
        if entries is None:
            entries = _one_by_one(block, tally)
        found = _alike(entries) if len(set(map(tuple, entries))) == 1 else None
        yield _each(entries) if found is None else found


def _blocks(stream: BinaryIO, tally: Tally) -> Iterator[bytes]:
    """Whole lines; one that is too long is left out."""
    rest, skipping = b"", False
    while data := stream.read(BLOCK):
        if skipping:
            _, ended, data = data.partition(b"\n")
            skipping = not ended
        whole, _, rest = (rest + data).rpartition(b"\n")
        if whole:
            yield whole
        if len(rest) > LONGEST_LINE:
            tally.unreadable += 1
            rest, skipping = b"", True
    if rest:
        yield rest


def _together(block: bytes) -> list[Entry] | None:
    """The objects of lines, read as one JSON list, three times as fast; none when a line is not just one object.

    Between the lines stand marks, which no line has in it, plain or escaped. When as many marks as there are line ends
    are items of the list, every second one, then no value reaches over a line end, and each line is one item.
    """
    if b"\\" in block or _MARK in block:
        return None
    ends = block.count(b"\n")
    try:
        items = json.loads(b"[" + block.replace(b"\n", b"," + _MARK + b",") + b"]")
    except (ValueError, RecursionError):
        return None
    apart = len(items) == 2 * ends + 1 and items[1::2] == [json.loads(_MARK)] * ends
    entries: list[Entry] = items[::2]
    return entries if apart and set(map(type, entries)) == {dict} else None


def _one_by_one(block: bytes, tally: Tally) -> list[Entry]:
    """The objects of lines, and how many are none."""
    lines = [line for line in block.split(b"\n") if line.strip()]
    found = [entry for line in lines if (entry := _entry(line)) is not None]
    tally.unreadable += len(lines) - len(found)
    return found


def _entry(line: bytes) -> Entry | None:
    """The object of one line; none when there is none, or a key is half a surrogate pair, which no text can hold."""
    try:
        entry = json.loads(line)
        if isinstance(entry, dict):
            "".join(entry).encode()
            return entry
    except (ValueError, RecursionError):
        pass
    return None


def _alike(entries: Sequence[Entry]) -> Columns | None:
    """The points of lines that all have the same keys; none when a key has numbers in some of them alone."""
    found: dict[str, array[float]] = {}
    for key in entries[0].keys() - WHEN:
        values = [entry[key] for entry in entries]
        kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            found[key] = array("d", values if int not in kinds else map(_float, values))
        elif kinds & _NUMBERS:
            return None
    steps = _steps(entries) if entries[0].keys() & {STEP, EPOCH} else None
    times = _times(entries) if entries[0].keys() & set(TIMES) else None
    return {key: Column(found[key], steps, times) for key in entries[0] if key in found}


def _steps(entries: Sequence[Entry]) -> Sequence[int | None]:
    """The steps of lines that all have the same keys."""
    given: list[Any] = [entry[STEP] for entry in entries] if STEP in entries[0] else []
    if set(map(type, given)) == {int}:
        with suppress(OverflowError):
            return array("q", given)
    return [_step(entry) for entry in entries]


def _times(entries: Sequence[Entry]) -> Sequence[float]:
    """The times of lines that all have the same keys."""
    key = next(key for key in TIMES if key in entries[0])
    given = [entry[key] for entry in entries]
    return given if set(map(type, given)) == {float} else [_time(entry) for entry in entries]


def _each(entries: Sequence[Entry]) -> Columns:
    """The points of lines of any kind."""
    found: dict[str, tuple[list[float], list[int | None], list[float]]] = {}
    for entry in entries:
        step, time = _step(entry), _time(entry)
        for key, value in entry.items():
            if key not in WHEN and type(value) in _NUMBERS:
                values, steps, times = found.setdefault(key, ([], [], []))
                values.append(_float(value))
                steps.append(step)
                times.append(time)
    return {key: Column(*column) for key, column in found.items()}


def _step(entry: Entry) -> int | None:
    step, epoch = entry.get(STEP), entry.get(EPOCH)
    if type(step) is float and step.is_integer():
        step = int(step)
    if step is None:
        step = epoch
    return step if type(step) is int and abs(step) <= MOST_STEP else None


def _time(entry: Entry) -> float:
    return next((_float(entry[key]) for key in TIMES if type(entry.get(key)) in _NUMBERS), math.nan)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the range of a double
        return math.inf if value > 0 else -math.inf
