"""TensorBoard event files: the value of each tag at each step, apart from the wall time it was written at."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

from executor.errors import count
from executor.evidence.content.elements import shortest
from executor.evidence.content.found import MOST_JUDGED, Explanation, Found, Limits, Unreadable, reject, short
from executor.evidence.content.leaks import leaked
from executor.evidence.content.text import MOST_TEXT
from executor.evidence.content.wire import fields, records

Key = tuple[str, int, int]
"""Tag, step, and how many of both came before."""
Value = str | bytes
"""A number as text, or the bytes of anything else."""
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5
"""Fields of an event."""
_OTHERS = {
    3: "file version", 4: "graph", 6: "log message", 7: "session log", 8: "run metadata", 9: "graph", 10: "source",
}  # fmt: skip
"""Its other fields, which are compared as bytes."""
_VALUE = 1
_TAG, _SIMPLE, _TENSOR = 1, 2, 8
_KINDS = {2: "value", 4: "image", 5: "histogram", 6: "audio", 8: "tensor", 9: "metadata"}
"""Fields of a value of a summary."""
_DTYPE, _SHAPE, _CONTENT, _FLOATS = 1, 2, 4, 5
"""Fields of a tensor."""
_FLOAT = struct.Struct("<f")


@dataclass
class Events:
    """All that one file says."""

    times: list[bytes] = field(default_factory=list)
    """Wall time of each record."""
    values: dict[Key, dict[int, Value]] = field(default_factory=dict)
    """By tag and step: the fields of each."""
    others: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    """What is no summary, by field number and step."""


def explain_events(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two files; other wall times alone are no other values."""
    old, new = _read(reference), _read(observed)
    found = Found("events")
    _values(old, new, found)
    _others(old, new, found)
    same = not found.count
    if old.times != new.times:
        found.add(_about_times(old, new, same=same), ["time"])
    if not found.count:
        found.add("the same values; only the order or encoding of records differ")
    return found.explanation(same=same)


def _about_times(old: Events, new: Events, *, same: bool) -> str:
    if not same:
        return "wall times differ too"
    many = sum(a != b for a, b in zip(old.times, new.times, strict=False))
    return f"only wall times differ, in {many} of {count(len(old.times), 'record')}"


def _values(old: Events, new: Events, found: Found) -> None:
    for key in [*old.values, *(key for key in new.values if key not in old.values)]:
        one, other = old.values.get(key), new.values.get(key)
        place = f"tag {short(key[0])}, step {key[1]}"
        if one is None or other is None:
            found.add(f"{place}: only in {'this attempt' if one is None else 'the reference'}")
        elif one != other:
            for part in sorted(one.keys() | other.keys()):
                _part(place, key[0], part, (one.get(part, b""), other.get(part, b"")), found)


def _part(place: str, tag: str, part: int, pair: tuple[Value, Value], found: Found) -> None:
    old, new = pair
    if isinstance(old, str) and isinstance(new, str):
        if old != new:
            found.add(f"{place}: {old} → {new}", leaked(tag, old, new) if found.count < MOST_JUDGED else ())
    elif old != new:
        found.add(f"{place}: {_KINDS.get(part, f'field {part}')} differs", leaked(tag, None, None))


def _others(old: Events, new: Events, found: Found) -> None:
    differ = Counter(key[0] for key in old.others.keys() | new.others.keys()
                     if old.others.get(key) != new.others.get(key))  # fmt: skip
    for number, many in sorted(differ.items()):
        found.add(f"{_OTHERS.get(number, f'field {number}')} differs in {count(many, 'record')}")


def _read(data: bytes) -> Events:
    reject(not data or len(data) > MOST_TEXT, "no records, or too many")
    events, seen = Events(), Counter[tuple[str | int, int]]()
    for record in records(data):
        _event(record, events, seen)
    return events


def _event(record: bytes, events: Events, seen: Counter[tuple[str | int, int]]) -> None:
    parts = list(fields(record))
    reject(any(isinstance(value, bytes) == (number == _STEP) for number, value in parts), "no event")
    step = next((value for number, value in parts if number == _STEP and isinstance(value, int)), 0)
    for number, value in parts:
        if not isinstance(value, bytes):
            continue
        if number == _WALL_TIME:
            events.times.append(value)
        elif number == _SUMMARY:
            _summary(value, step, events, seen)
        else:
            events.others[number, step, seen[number, step]] = value
            seen[number, step] += 1


def _summary(message: bytes, step: int, events: Events, seen: Counter[tuple[str | int, int]]) -> None:
    for number, value in fields(message):
        if number != _VALUE or not isinstance(value, bytes):
            raise Unreadable("no summary")
        tag, parts = _value(value)
        events.values[tag, step, seen[tag, step]] = parts
        seen[tag, step] += 1


def _value(message: bytes) -> tuple[str, dict[int, Value]]:
    """Tag, and the other fields of one value."""
    tag, parts = "", dict[int, Value]()
    for number, value in fields(message):
        content = value if isinstance(value, bytes) else str(value).encode()
        reject(number in parts, "a field is there twice")
        if number == _TAG:
            tag = content.decode("utf-8", "replace")
        elif number == _SIMPLE and len(content) == _FLOAT.size:
            parts[number] = _number(content)
        else:
            parts[number] = _scalar(content) if number == _TENSOR else content
    return tag, parts


def _scalar(tensor: bytes) -> Value:
    """The number of a tensor that is one 32-bit float, as TensorFlow 2 writes scalars; else its bytes."""
    parts = dict(fields(tensor))
    content = parts.get(_FLOATS, parts.get(_CONTENT))
    plain = parts.get(_DTYPE) == 1 and not parts.get(_SHAPE) and parts.keys() <= {_DTYPE, _SHAPE, _FLOATS, _CONTENT}
    return _number(content) if plain and isinstance(content, bytes) and len(content) == _FLOAT.size else tensor


def _number(data: bytes) -> str:
    return shortest(_FLOAT.unpack(data)[0])
