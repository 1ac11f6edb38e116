"""Whole columns, compared at once: what is held under a name for every run, and which runs are meant.

A column comes in parts; the parts of all columns cover the same rows, and a row that has nothing there holds null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from executor.store.arrays import INT64, plain

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
Parts: TypeAlias = "Sequence[pa.Array]"
"""Something for each row, in parts that cover the same rows as those of any other."""
Mask: TypeAlias = "Sequence[pa.Array]"
"""Parts that say for each row whether it is meant: true or false, never null."""


def every(lengths: Iterable[int], *, value: bool = True) -> Mask:
    """The same answer for every row."""
    return [pa.repeat(pa.scalar(value), length) for length in lengths]


def both(one: Mask, other: Mask) -> Mask:
    """Rows that are meant by both."""
    return list(map(pc.and_, one, other))


def either(one: Mask, other: Mask) -> Mask:
    """Rows that are meant by one of them at least."""
    return list(map(pc.or_, one, other))


def opposite(mask: Mask) -> Mask:
    """Rows that are not meant."""
    return list(map(pc.invert, mask))


def total(mask: Mask) -> int:
    """How many rows are meant."""
    return sum(part.true_count for part in mask)


def filled(values: Parts) -> Mask:
    """Rows that have something there."""
    return [part.is_valid() for part in values]


def places(mask: Mask) -> list[int]:
    """Where the rows that are meant stand, from 0."""
    starts = accumulate(map(len, mask), initial=0)
    return [start + int(at) for start, part in zip(starts, mask, strict=False)
            for at in pc.indices_nonzero(part).to_pylist()]  # fmt: skip


def chosen(values: Parts, mask: Mask) -> list[Any]:
    """What the rows that are meant have there."""
    return [value for part, meant in zip(values, mask, strict=True) for value in part.filter(meant).to_pylist()]


@dataclass(frozen=True)
class Column:
    """What is held under one name, for all rows."""

    lengths: tuple[int, ...]
    """Rows of each part."""
    kinds: Mapping[str, Sequence[pa.Array | None]]
    """For each kind that there is the parts; None for a part in which no row has a value."""

    def compare(self, op: str, literal: Any, test: Callable[[Any], bool] = lambda _: False) -> Mask:
        """Rows of which a comparison is true; `test` says it of one value of the kind `json`.

        Raises `ValueError` for a regular expression that RE2 does not read.
        """
        if op in ("in", "not in"):
            wanted = [one for one in literal if one is not None]
            found = self._where(lambda kind, part: _among(kind, part, wanted))
            if op == "not in":
                return both(self.present, opposite(found))
            return either(opposite(self.present), found) if len(wanted) < len(literal) else found
        if literal is None:
            known = {"==": opposite(self.present), "!=": self.present}
            return known.get(op, every(self.lengths, value=False))
        return self._where(lambda kind, part: _compared(kind, part, op, literal, test))

    @property
    def present(self) -> Mask:
        """Rows that have a value."""
        return self._where(lambda _, part: part.is_valid())

    def numbers(self) -> Parts:
        """The rows as numbers; null where there is none, NaN where that is the number."""
        if self.kinds.keys() == {"int"}:  # as they are
            return self._merged({"int": lambda part: part}, pa.int64())
        wanted = {"float": lambda part: part, "int": lambda part: part.cast(pa.float64(), safe=False), "json": _floats}
        return self._merged(wanted, pa.float64())

    def texts(self) -> Parts:
        """The rows as texts, lists and such as JSON; null where there is none."""
        return self._merged({"text": plain, "json": plain}, pa.string())

    def _where(self, test: Callable[[str, pa.Array], pa.Array]) -> Mask:
        found = []
        for at, length in enumerate(self.lengths):
            here = [(kind, part) for kind, parts in self.kinds.items() if (part := parts[at]) is not None]
            masks = [pc.fill_null(test(kind, part), False) for kind, part in here]
            found.append(reduce(pc.or_, masks) if masks else pa.repeat(pa.scalar(value=False), length))
        return found

    def _merged(self, wanted: Mapping[str, Callable[[pa.Array], pa.Array]], kind: pa.DataType) -> Parts:
        found = []
        for at, length in enumerate(self.lengths):
            arrays = [read(part) for name, read in wanted.items() if (part := self._part(name, at)) is not None]
            found.append(pc.coalesce(*arrays) if arrays else pa.nulls(length, kind))
        return found

    def _part(self, kind: str, at: int) -> pa.Array | None:
        return self.kinds[kind][at] if kind in self.kinds else None


def _floats(part: pa.Array) -> pa.Array:
    """Numbers among JSON: true, false, and whole ones of more than 64 bits."""

    def number(word: str) -> float | None:
        value = json.loads(word)
        try:
            return float(value) if isinstance(value, int) else None
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    words = part.dictionary_encode()
    return pa.array(map(number, words.dictionary.to_pylist()), pa.float64()).take(words.indices)


def _by_word(part: pa.Array, test: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """A test of texts, done once for each text that there is."""
    return test(part.dictionary).take(part.indices) if pa.types.is_dictionary(part.type) else test(part)


def _by_value(part: pa.Array, test: Callable[[Any], bool]) -> pa.Array:
    """A test of JSON values, done once for each that there is."""
    words = part.dictionary_encode()
    return pa.array([test(json.loads(word)) for word in words.dictionary.to_pylist()], pa.bool_()).take(words.indices)


def _compared(kind: str, part: pa.Array, op: str, literal: Any, test: Callable[[Any], bool]) -> pa.Array:
    if kind == "json":
        return _by_value(part, test)
    if (kind == "text") != isinstance(literal, str) or isinstance(literal, tuple):
        return part.is_valid() if op == "!=" else _none(part)
    if kind == "text":
        return _by_word(part, lambda words: _text(words, op, literal))
    return _number(kind, part, op, literal)


def _text(words: pa.Array, op: str, literal: str) -> pa.Array:
    return pc.match_substring_regex(words, literal) if op == "~" else _COMPARE[op](words, literal)


def _number(kind: str, part: pa.Array, op: str, literal: float) -> pa.Array:
    """Exactly, as Python compares: no whole number is rounded to a float on the way."""
    if op == "~":
        return _none(part)
    if math.isnan(literal):
        found = pc.is_nan(part) if kind == "float" else _none(part)
        return {"==": found, "!=": pc.invert(found)}.get(op, _none(part))
    nearest = _nearest(kind, literal)
    if nearest == literal:
        return _COMPARE[op](part, pa.scalar(nearest, part.type))
    # no value of this kind lies between the literal and the nearest one
    below, above = (">=", "<") if nearest > literal else (">", "<=")
    turned = {"<": above, "<=": above, ">": below, ">=": below}
    if op in turned:
        return _COMPARE[turned[op]](part, pa.scalar(nearest, part.type))
    return part.is_valid() if op == "!=" else _none(part)


def _nearest(kind: str, literal: float) -> float:
    """A value of that kind next to a literal: equal to it, when one is."""
    if kind == "float":
        return float(literal)
    if math.isinf(literal) or int(literal) not in INT64:
        return INT64[-1] if literal > 0 else INT64[0]
    return math.floor(literal)


def _among(kind: str, part: pa.Array, wanted: Sequence[Any]) -> pa.Array:
    if kind == "json":
        return _by_value(part, lambda value: any(_same(value, one) for one in wanted))
    if kind == "text":
        words = pa.array([one for one in wanted if isinstance(one, str)], pa.string())
        return _by_word(part, lambda texts: pc.is_in(texts, value_set=words))
    numbers = [one for one in wanted if not isinstance(one, str)]
    exact = [_nearest(kind, one) for one in numbers if not math.isnan(one) and _nearest(kind, one) == one]
    if kind == "float" and 0 in exact:
        exact += [0.0, -0.0]  # which are equal, but not in a set
    found = pc.is_in(part, value_set=pa.array(exact, part.type))
    return pc.or_(found, pc.is_nan(part)) if kind == "float" and any(map(_is_nan, numbers)) else found


def _same(value: Any, literal: Any) -> bool:
    return isinstance(value, str) == isinstance(literal, str) and bool(value == literal)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _none(part: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(value=False), len(part))


def leading(mask: Mask, keys: Sequence[tuple[Parts, str]], limit: int) -> list[int]:
    """Places of the first `limit` rows that are meant, in the order of `keys` (each `ascending` or `descending`).

    Those that are meant must have a first key, no NaN. Of equals the order is that of their places, as the last key
    goes: the first ones stay the first when more are asked for. Parts with the best values are looked at first, and
    none that cannot hold any of these rows.
    """
    (first, way), last, best = keys[0], None, None
    order = [*((str(number), one) for number, (_, one) in enumerate(keys)), ("place", keys[-1][1])]
    as_good = pc.less_equal if way == "ascending" else pc.greater_equal
    for bound, number, start in _by_bound(first, up=way == "ascending"):
        if limit < 1 or (last is not None and not as_good(bound, last).as_py()):
            break
        meant = mask[number] if last is None else pc.and_(mask[number], as_good(first[number], last))
        places = pc.indices_nonzero(meant)
        found = {str(at): parts[number].take(places) for at, (parts, _) in enumerate(keys)}
        table = pa.table({"place": pc.add(places.cast(pa.int64()), start), **found})
        best = table if best is None else pa.concat_tables([best, table])
        best = best.take(pc.select_k_unstable(best, min(limit, best.num_rows), order)) if best.num_rows else best
        last = best["0"][limit - 1] if best.num_rows == limit else None
    return [] if best is None else [int(place) for place in best["place"].to_pylist()]


def _by_bound(parts: Parts, *, up: bool) -> list[tuple[pa.Scalar, int, int]]:
    """The best value of each part that has one, its number and its first row; the part of the best value first."""
    starts = accumulate(map(len, parts), initial=0)
    bounds = [pc.min_max(part)["min" if up else "max"] for part in parts]
    known = [(bound, at, start) for bound, at, start in zip(bounds, range(len(parts)), starts, strict=False)
             if bound.is_valid and not _is_nan(bound.as_py())]  # fmt: skip
    return sorted(known, key=lambda one: one[0].as_py(), reverse=not up)
