"""Values of many runs as Arrow arrays, and arrays as bytes: how the index keeps them.

A name has a column for each kind of value that is held under it (`KINDS`), because a parameter may be a number in one
run and a text in another.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Array: TypeAlias = "pa.Array"
KINDS: Mapping[str, pa.DataType] = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "json": pa.string()}
"""What a column can hold. `json` is for true and false, lists, and whole numbers that need more than 64 bits."""
INT64 = range(-(2**63), 2**63)
"""Whole numbers that a column of the kind `int` can hold."""
_SPARSE = 4
"""A column with a value in fewer than one of so many rows is kept as places and values."""


class Damaged(Exception):
    """Bytes of the index are not what was written: it has to be made anew."""


def kind_of(value: object) -> str:
    """Which kind of column a value goes into."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return "json"
    if isinstance(value, int):
        return "int" if value in INT64 else "json"
    return "float" if isinstance(value, float) else "text"


def gather(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], pa.Array]:
    """Columns by name and kind, of rows that map names to values."""
    found: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for at, row in enumerate(rows):
        for name, value in row.items():
            kind = kind_of(value)
            places, values = found.setdefault((name, kind), ([], []))
            places.append(at)
            values.append(json.dumps(value) if kind == "json" else value)
    return {
        key: _spread(pa.array(places, pa.int32()), pa.array(values, KINDS[key[1]]), len(rows))
        for key, (places, values) in found.items()
    }


def encode(array: pa.Array) -> bytes:
    """A part of a column as bytes: a checksum, then an Arrow stream."""
    values, columns = array, {}
    if (len(array) - array.null_count) * _SPARSE < len(array):
        places = pc.indices_nonzero(array.is_valid())
        values, columns = array.take(places), {"place": places.cast(pa.int32())}
    if pa.types.is_string(values.type):
        words = values.dictionary_encode()
        values = words if 2 * len(words.dictionary) < len(values) else values
    batch = pa.record_batch({"value": values, **columns})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema.with_metadata({"length": str(len(array))})) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return zlib.crc32(data).to_bytes(4, "big") + data


def decode(data: bytes) -> pa.Array:
    """A part of a column from its bytes; raises `Damaged`."""
    body = memoryview(data)[4:]
    if zlib.crc32(body).to_bytes(4, "big") != data[:4]:
        raise Damaged("a checksum is wrong")
    try:
        reader = pa.ipc.open_stream(pa.py_buffer(body))
        batch, length = reader.read_next_batch(), int(reader.schema.metadata[b"length"])
    except (pa.ArrowException, OSError, KeyError) as error:  # of another version of Arrow, perhaps
        raise Damaged(str(error)) from error
    values = batch.column("value")
    return _spread(batch.column("place"), values, length) if batch.num_columns > 1 else values


def _spread(places: pa.Array, values: pa.Array, length: int) -> pa.Array:
    """An array of that length with `values` at `places`, null elsewhere."""
    if len(values) == length:
        return values
    if pa.types.is_dictionary(values.type):
        codes = pc.scatter(values.indices, places, max_index=length - 1)
        return pa.DictionaryArray.from_arrays(codes, values.dictionary)
    return pc.scatter(values, places, max_index=length - 1)


def joined(arrays: Iterable[pa.Array]) -> pa.Array:
    """Several arrays of one column as one."""
    return pa.concat_arrays(list(map(plain, arrays)))


def plain(array: pa.Array) -> pa.Array:
    """The same without a dictionary."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def places(rows: Sequence[int]) -> Array:
    """Rows as what an array's `take` takes."""
    return pa.array(rows, pa.int64())


def nothing(kind: str, length: int) -> Array:
    """So many rows without a value."""
    return pa.nulls(length, KINDS[kind])


def values(kind: str, part: pa.Array | None, rows: Array) -> list[Any]:
    """What a part has at these `places`, None where there is nothing; of no part, nothing."""
    found = [] if part is None else part.take(rows).to_pylist()
    return [value and json.loads(value) for value in found] if kind == "json" else found
