from __future__ import annotations

import math

import pytest

from executor.errors import NotFound
from executor.store import snapshots
from executor.store.arrays import places, values
from executor.store.changes import START, Key
from executor.store.index import batch_of
from executor.store.snapshots import Segment, chain, read, write
from executor.store.view import Batch
from tests.fakes import MemoryStore
from tests.unit.store.test_index import a_run

VERSION = 1


def batch(*numbers: int) -> Batch:
    values = {"loss": math.nan, "name": "x (y)", "hidden": [1, 2]}
    return batch_of([a_run(number, n=number, **(values if number % 2 else {})) for number in numbers])


def keep(store: MemoryStore, *stretches: tuple[str, str, int]) -> list[Segment]:
    return [write(store, batch(*range(runs)), start, until, VERSION) for start, until, runs in stretches]


def test_runs_come_back_from_a_segment_as_they_were() -> None:
    store = MemoryStore()
    kept = write(store, batch(1, 2, 3), START, "2026010112", VERSION)
    assert list(store.contents) == ["v1/index/1/0000000000-2026010112-3-1of1.parquet"]
    (found,) = read(store, kept, VERSION)
    assert found.keys == [a_run(number).key for number in (1, 2, 3)]
    assert found.digests == batch(1, 2, 3).digests
    assert found.columns.keys() == batch(1, 2, 3).columns.keys()
    assert values("int", found.columns["n", "int"], places(range(3))) == [1, 2, 3]
    assert values("json", found.columns["hidden", "json"], places([0])) == [[1, 2]]
    assert math.isnan(values("float", found.columns["loss", "float"], places([2]))[0])


def test_a_large_segment_has_several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PART", 2)
    store = MemoryStore()
    kept = write(store, batch(*range(5)), START, "2026010112", VERSION)
    assert len(store.contents) == 3
    assert [key for part in read(store, kept, VERSION) for key in part.keys] == [a_run(n).key for n in range(5)]
    del store.contents[kept.keys(VERSION)[1]]
    assert chain(store, VERSION) == []


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        ([], []),
        ([(START, "2026010100", 3)], [0]),
        ([(START, "2026010100", 3), ("2026010100", "2026010200", 1)], [0, 1]),
        ([(START, "2026010100", 3), ("2026010100", "2026010200", 1), (START, "2026010200", 4)], [2]),
        ([(START, "2026010100", 3), ("2026010112", "2026010200", 1)], [0]),
        ([(START, "2026010112", 3), ("2026010100", "2026010200", 1)], [0, 1]),
        ([("2026010100", "2026010200", 1)], []),
        ([(START, "2026010100", 3), ("2026010100", "2026010100", 1)], [0]),
        ([(START, "2026010100", 3), (START, "2026010100", 4)], [1]),
    ],
)
def test_segments_are_chained_without_a_gap(stretches: list[tuple[str, str, int]], expected: list[int]) -> None:
    store = MemoryStore()
    kept = keep(store, *stretches)
    assert chain(store, VERSION) == [kept[at] for at in expected]


def test_segments_of_another_version_and_strange_files_are_not_seen() -> None:
    store = MemoryStore()
    keep(store, (START, "2026010100", 3))
    store.contents["v1/index/1/readme.parquet"] = b""
    assert chain(store, 2) == []
    assert len(chain(store, 1)) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "other", "empty"])
def test_a_file_that_is_wrong_is_a_value_error(damage: str) -> None:
    store = MemoryStore()
    (kept,) = keep(store, (START, "2026010100", 300))
    (key,) = kept.keys(VERSION)
    data = store.contents[key]
    middle = data[:200] + bytes([data[200] ^ 1]) + data[201:]
    store.contents[key] = {"cut": data[:-9], "flip": middle, "other": b"PAR1", "empty": b""}[damage]
    with pytest.raises(ValueError, match=r"v1/index/1/0000000000-2026010100-300-1of1\.parquet"):
        list(read(store, kept, VERSION))


def test_a_file_whose_runs_have_no_proper_keys_is_a_value_error() -> None:
    store = MemoryStore()
    strange = batch(1, 2)
    columns = {**strange.columns, ("spec", "text"): batch(1, 2).columns["attempt", "text"]}
    kept = write(store, Batch(columns, strange.digests), START, "2026010100", VERSION)
    with pytest.raises(ValueError, match="spec"):
        list(read(store, kept, VERSION))


def test_a_file_that_went_meanwhile_is_not_found() -> None:
    store = MemoryStore()
    (kept,) = keep(store, (START, "2026010100", 3))
    store.contents.clear()
    with pytest.raises(NotFound):
        list(read(store, kept, VERSION))


def test_no_run_at_all_can_be_kept() -> None:
    store = MemoryStore()
    kept = write(store, Batch({}, []), START, "2026010100", VERSION)
    assert [part.keys for part in read(store, kept, VERSION)] == [[]]
    assert chain(store, VERSION) == [kept]


def test_a_key_is_a_pair_of_texts() -> None:
    assert batch(7).keys == [Key(f"{7:064x}", "a1")]
