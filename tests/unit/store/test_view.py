from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.store import arrays
from executor.store import index as index_module
from executor.store import view as view_module
from executor.store.changes import Key
from executor.store.index import Index, batch_of
from executor.store.view import Batch
from tests.unit.store.test_index import a_run, asked


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    for module in (index_module, view_module):
        monkeypatch.setattr(module, "BLOCK", 4)
    made = Index(tmp_path / "x.sqlite", 1)
    made.add(batch_of([a_run(n, n=n, **({"odd": f"o{n}"} if n % 2 else {"odd": [n]})) for n in range(10)]))
    return made


def test_only_the_blocks_of_the_runs_that_are_told_are_read(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    decode = arrays.decode

    def counted(data: bytes) -> Any:
        read.append(data)
        return decode(data)

    monkeypatch.setattr(arrays, "decode", counted)
    with index.view() as view:
        assert view.values([9, 8], ["n"]) == [{"n": 9}, {"n": 8}]
        assert len(read) == 1
        assert view.values([0], ["n", "odd", "unknown"]) == [{"n": 0, "odd": [0]}]
        assert len(read) == 4  # `odd` has two kinds there


def test_a_name_knows_its_kinds(index: Index) -> None:
    assert asked(index, lambda view: {name: sorted(kinds) for name, kinds in view.names.items()}) == {
        "spec": ["text"], "attempt": ["text"], "n": ["int"], "odd": ["json", "text"],
    }  # fmt: skip


def test_attempts_of_a_spec_are_told_in_order(index: Index) -> None:
    one = a_run(3)
    later, earlier = ({**one.values, "attempt": name} for name in ("z9", "a0"))

    class Entry:
        digests: tuple[str, ...] = ()

        def __init__(self, values: dict[str, Any]) -> None:
            self.values = values

    index.add(batch_of([Entry(later), Entry(earlier)]))
    places = asked(index, lambda view: view.of_spec(one.spec))
    assert asked(index, lambda view: [key.attempt for key in view.keys(places)]) == ["a0", "a1", "z9"]


def test_rows_of_a_batch_can_be_chosen() -> None:
    whole = batch_of([a_run(1, n=1), a_run(2, word="w"), a_run(3, n=3)])
    assert whole.chosen([0, 1, 2]) is whole
    found = whole.chosen([2, 0])
    assert found.keys == [a_run(3).key, a_run(1).key]
    assert found.digests == [whole.digests[2], whole.digests[0]]
    assert {name for name, _ in found.columns} == {"spec", "attempt", "n"}
    assert Batch({}, []).keys == []
    assert all(isinstance(key, Key) for key in whole.keys)


def test_any_runs_leave_as_columns(index: Index) -> None:
    batch = asked(index, lambda view: view.batch([7, 2]))
    assert batch.keys == [a_run(7).key, a_run(2).key]
    assert batch.digests == batch_of([a_run(7), a_run(2)]).digests
    assert batch.columns["n", "int"].to_pylist() == [7, 2]
    assert batch.columns["odd", "text"].to_pylist() == ["o7", None]
