"""All runs of an index at one moment, by column and by place; and runs as columns, on their way in or out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from executor.store import arrays
from executor.store.arrays import Array, Damaged
from executor.store.changes import Key
from executor.store.columns import Column

BLOCK = 1 << 15
"""Rows of a block; only the last one is not full, and is written again when rows are added."""
DIGEST = 16
"""Bytes of a digest that its file is found by; the record says whether it is that one or another that begins so."""


@dataclass(frozen=True)
class Batch:
    """Attempts as columns: the form in which they are added, and kept elsewhere."""

    columns: Mapping[tuple[str, str], Array]
    """By name and kind, each as long as there are attempts; `spec` and `attempt` are texts of every one of them."""
    digests: Sequence[Sequence[bytes]]
    """For each attempt the first `DIGEST` bytes of its files' digests."""

    @cached_property
    def keys(self) -> list[Key]:
        """Which attempts they are."""
        if not self.digests:
            return []
        pairs = zip(*(self.columns[name, "text"].to_pylist() for name in Key._fields), strict=True)
        return [Key(*pair) for pair in pairs]

    def chosen(self, rows: Sequence[int]) -> Batch:
        """These rows alone; a column that is empty then is left out."""
        if len(rows) == len(self.digests):
            return self
        wanted = arrays.places(rows)
        taken = {key: array.take(wanted) for key, array in self.columns.items()}
        return Batch({key: array for key, array in taken.items() if array.null_count < len(array)},
                     [self.digests[row] for row in rows])  # fmt: skip


def count(database: sqlite3.Connection) -> int:
    """How many runs there are."""
    return int(database.execute("SELECT coalesce(max(place) + 1, 0) FROM run").fetchone()[0])


class View:
    """All runs at one moment. A run is named by its place, counted from 0 in the order in which they came."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._parts: dict[tuple[int, int], Array | None] = {}

    @cached_property
    def count(self) -> int:
        """How many runs there are."""
        return count(self._database)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Rows of each block."""
        full, rest = divmod(self.count, BLOCK)
        return (BLOCK,) * full + ((rest,) if rest else ())

    @cached_property
    def names(self) -> dict[str, dict[str, int]]:
        """Every name that runs have, with the kinds of values under it and the ids of their columns."""
        found: dict[str, dict[str, int]] = {}
        for number, name, kind in self._database.execute("SELECT id, name, kind FROM name ORDER BY id"):
            found.setdefault(name, {})[kind] = number
        return found

    def column(self, name: str) -> Column:
        """What is held under a name, for all runs; for a name that no run has, nothing."""
        numbers = range(len(self.lengths))
        kinds = {kind: [self._part(one, number) for number in numbers]
                 for kind, one in self.names.get(name, {}).items()}  # fmt: skip
        return Column(self.lengths, kinds)

    def values(self, places: Sequence[int], names: Iterable[str]) -> list[dict[str, Any]]:
        """What these runs have under these names, those that they do not have left out; only their blocks are read."""
        rows: list[dict[str, Any]] = [{} for _ in places]
        wanted: dict[int, list[int]] = {}  # block to the rows that it answers
        for at, place in enumerate(places):
            wanted.setdefault(place // BLOCK, []).append(at)
        blocks = [(number, here, arrays.places([places[at] % BLOCK for at in here])) for number, here in wanted.items()]
        for name in names:
            for (kind, one), (number, here, within) in product(self.names.get(name, {}).items(), blocks):
                for at, value in zip(here, arrays.values(kind, self._part(one, number), within), strict=False):
                    if value is not None:
                        rows[at][name] = value
        return rows

    def _part(self, name: int, number: int) -> Array | None:
        if (name, number) not in self._parts:
            self._parts[name, number] = self._read(name, number)
        return self._parts[name, number]

    def _read(self, name: int, number: int) -> Array | None:
        """One part of one column, None when no run in it has a value."""
        query = "SELECT data FROM block WHERE number = ? AND name = ?"
        row = self._database.execute(query, (number, name)).fetchone()
        part = arrays.decode(row[0]) if row else None
        if part is not None and len(part) != self.lengths[number]:
            raise Damaged(f"a block has {len(part)} rows, not {self.lengths[number]}")
        return part

    def keys(self, places: Iterable[int]) -> list[Key]:
        """Which attempts these are."""
        query = "SELECT spec, attempt FROM run WHERE place = ?"
        rows = [self._database.execute(query, (place,)).fetchone() for place in places]
        return [Key(spec.hex(), attempt) for spec, attempt in rows]

    def of_spec(self, spec: str) -> list[int]:
        """Places of the attempts of a spec, the oldest first."""
        query = "SELECT place FROM run WHERE spec = ? ORDER BY attempt"
        return [place for (place,) in self._database.execute(query, (bytes.fromhex(spec),))]

    def with_file(self, digest: str) -> list[int]:
        """Places of the attempts that left a file whose digest is this one, or begins like it."""
        query = "SELECT place FROM file WHERE digest = ? ORDER BY place"
        return [place for (place,) in self._database.execute(query, (bytes.fromhex(digest)[:DIGEST],))]

    def batch(self, places: Sequence[int]) -> Batch:
        """These runs as columns."""
        rows = {place: row for row, place in enumerate(places)}
        digests: list[list[bytes]] = [[] for _ in places]
        for digest, place in self._database.execute("SELECT digest, place FROM file"):
            if place in rows:
                digests[rows[place]].append(digest)
        wanted, found = arrays.places(places), {}
        for name, kinds in self.names.items():
            for kind, one in kinds.items():
                array = self._whole(kind, one).take(wanted)
                if array.null_count < len(array):
                    found[name, kind] = array
        return Batch(found, digests)

    def _whole(self, kind: str, name: int) -> Array:
        parts = [self._read(name, number) for number in range(len(self.lengths))]
        return arrays.joined([arrays.nothing(kind, length) if part is None else part
                              for part, length in zip(parts, self.lengths, strict=True)])  # fmt: skip
