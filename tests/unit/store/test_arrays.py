from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.store.arrays import Damaged, decode, encode, gather, joined, kind_of, nothing, places, values

VALUES = st.one_of(
    st.booleans(), st.integers(-(2**64), 2**64), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=3)
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, "int"), (-(2**63), "int"), (2**63, "json"), (1.0, "float"), (math.nan, "float"), ("a", "text"),
     (True, "json"), ([1], "json"), ({"a": 1}, "json")],
)  # fmt: skip
def test_every_value_has_its_kind(value: object, kind: str) -> None:
    assert kind_of(value) == kind


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=20))
def test_rows_become_columns_and_nothing_is_lost(rows: list[dict[str, Any]]) -> None:
    columns = gather(rows)
    assert all(len(array) == len(rows) and array.null_count < len(rows) for array in columns.values())
    found: list[dict[str, Any]] = [{} for _ in rows]
    for (name, kind), array in columns.items():
        for row, value in zip(found, values(kind, array, places(range(len(rows)))), strict=True):
            row |= {} if value is None else {name: value}
    assert repr([sorted(row.items()) for row in found]) == repr([sorted(row.items()) for row in rows])


ARRAYS = [
    pa.array([1, 2, 3]),
    pa.array([1.5, None, math.nan]),
    pa.array(["a", "b", "a", "a", "a"]),
    pa.array(["a", None, "ccc", "d"]),
    pa.array([None] * 9 + ["x"]),
    pa.array([None] * 9 + ["x", "x", "x"]),
    pa.array([None] * 99 + [2**62]),
    pa.nulls(3, pa.float64()),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_an_array_comes_back_from_its_bytes(array: pa.Array) -> None:
    found = joined([decode(encode(array))])
    assert found.type == array.type
    assert str(found.to_pylist()) == str(array.to_pylist())  # NaN too


def test_few_values_among_many_rows_take_little_room() -> None:
    array = pa.array([None] * 30_000 + [1.0])
    assert len(encode(array)) < 2_000
    assert len(encode(pa.array(["the same words again"] * 30_000))) < 150_000


@pytest.mark.parametrize("array", ARRAYS[:5], ids=str)
def test_a_flipped_bit_anywhere_is_found(array: pa.Array) -> None:
    data = encode(array)
    for at in range(len(data)):
        bad = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        with pytest.raises(Damaged):
            decode(bad)
    with pytest.raises(Damaged):
        decode(data[:-1])


def test_bytes_with_a_right_checksum_that_are_no_array_are_refused() -> None:
    import zlib

    for body in (b"", b"no arrow", encode(pa.array([1]))[4:60]):
        with pytest.raises(Damaged):
            decode(zlib.crc32(body).to_bytes(4, "big") + body)


def test_arrays_are_joined_and_taken_from() -> None:
    words = decode(encode(pa.array(["a", "a", "a", "a", "b"])))
    assert pa.types.is_dictionary(words.type)
    whole = joined([words, nothing("text", 2), pa.array(["c"])])
    assert whole.to_pylist() == ["a", "a", "a", "a", "b", None, None, "c"]
    assert whole.take(places([7, 0])).to_pylist() == ["c", "a"]
    assert values("int", None, places([3])) == []
