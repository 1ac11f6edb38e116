"""JSON, value by value, and JSON lines. `NaN` equals itself; 1, 1.0 and true are three values, as readers see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from executor.evidence.content.found import MISSING, Explanation, Found, Limits, reject, short
from executor.evidence.content.text import as_text

MOST_JSON = 16 << 20
"""Bytes of one JSON value that are read: in memory it takes up to thirty times as many."""

Difference = tuple[str, Any, Any]
"""Dotted path, and the value of each side."""


def explain_json(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two files of one JSON value each."""
    reject(max(len(reference), len(observed)) > MOST_JSON, "too long")
    found = Found("json")
    for path, old, new in differences(read_json(as_text(reference)), read_json(as_text(observed))):
        found.value(path or "value", old, new)
    same = not found.count
    if same:
        found.add("the same values; only white space, the order of keys or the way numbers are written differ")
    return found.explanation(same=same)


def explain_jsonl(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two files with a JSON value on each line; blank lines do not count."""
    found = Found("jsonl")
    one, other = (list(_filled(as_text(side))) for side in (reference, observed))
    if len(one) != len(other):
        found.add(f"number of lines: {len(one)} → {len(other)}")
    for (number, old), (_, new) in zip(one, other, strict=False):
        if old != new:
            for path, left, right in differences(read_json(old), read_json(new)):
                found.value(f"line {number}, {path or 'value'}", left, right, name=path)
    same = not found.count
    if same:
        found.add("the same values on each line; only white space or the order of keys differ")
    return found.explanation(same=same)


def differences(old: Any, new: Any) -> Iterator[Difference]:
    """Each value that is not the same on both sides, depth first; without recursion, for nesting may be deep."""
    todo: list[Iterator[Difference]] = [iter([("", old, new)])]
    while todo:
        for path, one, other in todo[-1]:
            if type(one) is type(other) and isinstance(one, dict | list):
                todo.append(_inside(path, one, other))
                break
            if not _same(one, other):
                yield path, one, other
        else:
            todo.pop()


def _inside(path: str, one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, list):
        if len(one) != len(other):
            yield f"{path} length".strip(), len(one), len(other)
        for at, pair in enumerate(zip(one, other, strict=False)):
            yield f"{path}[{at}]", *pair
        return
    for key in [*one, *(key for key in other if key not in one)]:
        yield _field(path, key), one.get(key, MISSING), other.get(key, MISSING)


def _field(path: str, key: str) -> str:
    key = key if key.isidentifier() else f'"{key}"' if "." in key or not key else key
    return f"{path}.{short(key)}" if path else short(key)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)  # tells -0.0 from 0.0, and takes NaN as itself
    return type(one) is type(other) and bool(one == other)


def _filled(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def read_json(text: str) -> Any:
    """One value; unreadable when an object has two fields of one name."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    reject(len(fields) != len(pairs), "readers may take either of the two")
    return fields
