"""Runs as a Parquet file with a row for each, and beside it a second one with every point of their metric series."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from executor.evidence import series
from executor.evidence.record import Record
from executor.evidence.row import FIELDS
from executor.steps.exports.numbers import series_table
from executor.steps.exports.table import names
from executor.store.arrays import plain
from executor.store.changes import Key
from executor.store.interface import Store
from executor.store.view import Batch

_POINTS = pa.schema([
    ("spec", pa.dictionary(pa.int32(), pa.string())), ("attempt", pa.dictionary(pa.int32(), pa.string())),
    ("name", pa.dictionary(pa.int32(), pa.string())), ("step", pa.int64()), ("wall_time", pa.float64()),
    ("value", pa.float64()),
])  # fmt: skip
"""A row for each point, as `evidence.series` has them, with the run that it is of."""
_TOGETHER = 1 << 18
"""Points that are written as one row group, at least."""


def write(batch: Batch, target: Path) -> None:
    """Write a row for each run: numbers as numbers, moments as timestamps (UTC), lists as JSON texts."""
    kinds: dict[str, dict[str, pa.Array]] = {name: {} for name in names(batch)}
    for (name, kind), array in batch.columns.items():
        kinds[name][kind] = array
    table = pa.table({name: _column(name, arrays) for name, arrays in kinds.items()})
    pq.write_table(table, target, compression="zstd")


def _column(name: str, kinds: Mapping[str, pa.Array]) -> pa.Array:
    """One column of one type: what is a number in one run and a text in another is a text."""
    kinds = {kind: plain(array) for kind, array in kinds.items()}
    if kinds.keys() <= {"int", "float"}:
        if name in FIELDS and FIELDS[name].kind == "time":
            return kinds["int"].cast(pa.timestamp("us", tz="UTC"))
        whole = kinds.keys() == {"int"}
        return _first([array if whole else array.cast(pa.float64(), safe=False) for array in kinds.values()])
    if kinds.keys() == {"json"} and set(pc.unique(kinds["json"]).to_pylist()) <= {"true", "false", None}:
        return pc.equal(kinds["json"], "true")
    return _first([array if kind in ("text", "json") else _words(array) for kind, array in kinds.items()])


def _first(arrays: Sequence[pa.Array]) -> pa.Array:
    """What any of the arrays has in each place: no run has two values."""
    return pc.coalesce(*arrays)


def _words(numbers: pa.Array) -> pa.Array:
    """Numbers as JSON writes them."""
    texts = [None if value is None else json.dumps(value) for value in numbers.to_pylist()]
    return pa.array(texts, pa.string())


def write_points(records: Iterator[Record], store: Store, target: Path) -> int:
    """Write every point of the series of these runs; returns how many there are. One run at a time lies beside it."""
    held, waiting, total = list[pa.Table](), 0, 0
    with pq.ParquetWriter(target, _POINTS, compression="zstd") as sink:
        for record in records:
            for table in _points(record, store, target.parent):
                held, waiting, total = [*held, table], waiting + len(table), total + len(table)
                if waiting >= _TOGETHER:
                    sink.write_table(pa.concat_tables(held).unify_dictionaries())
                    held, waiting = [], 0
        if held:
            sink.write_table(pa.concat_tables(held).unify_dictionaries())
    return total


def _points(record: Record, store: Store, scratch: Path) -> Iterator[pa.Table]:
    key = Key(record.spec_hash.hex, record.attempt)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = series_table(record, store, Path(folder))
        if path is None:
            return
        with closing(path.open("rb")) as source:
            for name, stretch in series.read(source, str(path)):
                yield _table(key, name, stretch)


def _table(key: Key, name: str, stretch: series.Stretch) -> pa.Table:
    length = len(stretch.values)
    words = [pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), length), [word])
             for word in (*key, name)]  # fmt: skip
    times: Any = pa.nulls(length, pa.float64())
    if stretch.times is not None:
        times = pa.array(stretch.times, pa.float64())
        times = pc.if_else(pc.is_nan(times), None, times)
    columns = [*words, pa.array(stretch.steps, pa.int64()), times, pa.array(stretch.values, pa.float64())]
    return pa.Table.from_arrays(columns, schema=_POINTS)
