from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from executor.errors import DiskFailed
from executor.store import arrays
from executor.store import index as module
from executor.store import view as view_module
from executor.store.arrays import Damaged
from executor.store.changes import Key
from executor.store.index import Index, Waiting, batch_of
from executor.store.view import View


@dataclass(frozen=True)
class Run:
    """An entry."""

    spec: str
    attempt: str = "a1"
    more: dict[str, Any] = field(default_factory=dict)
    digests: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        return {"spec": self.spec, "attempt": self.attempt, **self.more}

    @property
    def key(self) -> Key:
        return Key(self.spec, self.attempt)


def a_run(number: int, **more: Any) -> Run:
    return Run(f"{number:064x}", more=more, digests=(f"{number + 1000:064x}"[::-1],))


def asked(index: Index, question: Callable[[View], Any]) -> Any:
    with index.view() as view:
        return question(view)


def rows(index: Index) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(
        index, lambda view: view.values(range(view.count), [n for n in view.names if n != "attempt"])
    )
    return found


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index" / "x.sqlite", 1)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (module, view_module):
        monkeypatch.setattr(one, "BLOCK", 4)


def test_a_new_index_is_empty(index: Index) -> None:
    assert asked(index, lambda view: (view.count, view.lengths, view.names)) == (0, (), {})
    assert index.missing([Key("0" * 64, "a")]) == [Key("0" * 64, "a")]


def test_what_was_added_is_there_by_place_by_key_and_by_file(index: Index) -> None:
    first, second = a_run(1, lr=0.5), a_run(2, lr="big")
    assert index.add(batch_of([first, second])) == 2
    assert asked(index, lambda view: view.keys([1, 0])) == [second.key, first.key]
    assert rows(index) == [{"spec": first.spec, "lr": 0.5}, {"spec": second.spec, "lr": "big"}]
    assert asked(index, lambda view: view.with_file(second.digests[0])) == [1]
    assert asked(index, lambda view: view.with_file("f" * 64)) == []
    assert asked(index, lambda view: view.of_spec(first.spec)) == [0]
    assert index.missing([first.key, Key(first.spec, "a2")]) == [Key(first.spec, "a2")]


def test_what_is_there_is_not_added_again(index: Index) -> None:
    index.add(batch_of([a_run(1, lr=1)]))
    assert index.add(batch_of([a_run(2, n=1), a_run(1, lr=9, other=3), a_run(2, n=5)])) == 1
    assert [row.get("lr") for row in rows(index)] == [1, None]
    assert asked(index, lambda view: sorted(view.names)) == ["attempt", "lr", "n", "spec"]
    assert index.add(batch_of([a_run(1)])) == 0
    assert index.add(batch_of([])) == 0


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("sizes", [(1,) * 11, (3, 5, 2, 1), (11,), (4, 4, 3), (9, 2)])
def test_rows_lie_in_blocks_however_they_came(index: Index, sizes: tuple[int, ...]) -> None:
    runs = [a_run(n, n=n, **({"rare": f"r{n}"} if n in (2, 9) else {}), **({"late": n} if n > 6 else {}))
            for n in range(11)]  # fmt: skip
    start = 0
    for size in sizes:
        index.add(batch_of(runs[start : start + size]))
        start += size
    assert asked(index, lambda view: view.lengths) == (4, 4, 3)
    assert rows(index) == [{"spec": run.spec, **run.more} for run in runs]
    with index.view() as view:
        assert [part.to_pylist() for part in view.column("n").numbers()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        assert [part.to_pylist() for part in view.column("rare").texts()] == [
            [None, None, "r2", None], [None] * 4, [None, "r9", None],
        ]  # fmt: skip


@pytest.mark.usefixtures("small_blocks")
def test_runs_leave_as_columns_and_enter_another_index(index: Index, tmp_path: Path) -> None:
    index.add(batch_of([a_run(n, n=n, **({"even": True} if n % 2 == 0 else {})) for n in range(11)]))
    other = Index(tmp_path / "other.sqlite", 1)
    with index.view() as view:
        odd = view.batch([9, 1, 5])
        assert ("even", "json") not in odd.columns
        other.add(odd)
        other.add(view.batch(range(view.count)))
    assert [row["n"] for row in rows(other)] == [9, 1, 5, 0, 2, 3, 4, 6, 7, 8, 10]
    assert asked(other, lambda view: view.with_file(a_run(5).digests[0])) == [2]


def test_a_reader_sees_whole_runs_of_one_moment(index: Index) -> None:
    index.add(batch_of([a_run(1, n=1)]))
    with index.view() as view:
        assert view.count == 1
        index.add(batch_of([a_run(2, n=2)]))
        assert [part.to_pylist() for part in view.column("n").numbers()] == [[1]]
        assert view.with_file(a_run(2).digests[0]) == []
    assert len(rows(index)) == 2


def test_a_batch_that_fails_midway_leaves_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(batch_of([a_run(1, n=1)]))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(arrays, "encode", fail)
        with pytest.raises(KeyboardInterrupt):
            index.add(batch_of([a_run(2, n=2)]))
    assert rows(index) == [{"spec": a_run(1).spec, "n": 1}]
    assert index.add(batch_of([a_run(2, n=2)])) == 1


def test_writers_in_threads_add_every_run_once(index: Index) -> None:
    def add(start: int) -> None:
        for number in range(start, start + 20, 2):
            index.add(batch_of([a_run(number, n=number), a_run(number + 1, n=number + 1)]))

    threads = [threading.Thread(target=add, args=(start,)) for start in (0, 10, 5, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["n"] for row in rows(index)) == list(range(30))


def test_notes_are_kept_and_replaced(index: Index) -> None:
    assert index.note("cursor") == ""
    index.put_note("cursor", "b")
    index.put_note("cursor", "a")
    assert index.note("cursor") == "a"


def test_attempts_that_cannot_be_read_are_remembered_until_they_can(index: Index) -> None:
    one, other = Waiting(a_run(1).key, "20260101/05", ""), Waiting(a_run(2).key, "", "a wrong seal")
    index.wait_for([one, other])
    assert sorted(index.waiting()) == [one, other]
    index.wait_for([one._replace(problem="torn")])
    index.add(batch_of([a_run(2)]))
    assert index.waiting() == [one._replace(problem="torn")]
    index.forget([one.key])
    assert index.waiting() == []


def test_a_file_that_is_no_database_is_damaged_and_can_be_made_anew(index: Index) -> None:
    index.path.parent.mkdir(parents=True)
    index.path.write_bytes(b"no database at all, but more than a header" * 100)
    with pytest.raises(Damaged, match="not a database"):
        index.waiting()
    index.discard()
    assert index.add(batch_of([a_run(1)])) == 1


def test_a_file_that_was_cut_off_is_damaged(index: Index) -> None:
    index.add(batch_of([a_run(n) for n in range(500)]))
    data = index.path.read_bytes()
    index.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(Damaged), index.view() as view:
        view.values(range(view.count), ["spec"])


def test_damage_inside_is_found_where_it_is_read(index: Index) -> None:
    index.add(batch_of([a_run(n, word=f"w{n}") for n in range(2000)]))
    with sqlite3.connect(index.path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray(index.path.read_bytes())
    at = data.index(b"w1234w1235")
    data[at] ^= 1
    index.path.write_bytes(data)
    with index.view() as view, pytest.raises(Damaged, match="checksum"):
        view.column("word")


@pytest.mark.parametrize(("rows_version", "expected"), [(2, "version 1001, not 1002")])
def test_a_file_of_another_version_is_made_anew(index: Index, rows_version: int, expected: str) -> None:
    index.add(batch_of([a_run(1)]))
    with pytest.raises(Damaged, match=expected):
        Index(index.path, rows_version).waiting()


def test_a_place_that_cannot_be_written_is_no_damage(index: Index) -> None:
    index.path.mkdir(parents=True)
    with pytest.raises(DiskFailed, match="unable to open"):
        index.waiting()


def test_two_indexes_that_begin_at_once_become_one(index: Index) -> None:
    gate = threading.Barrier(4)

    def begin(number: int) -> None:
        gate.wait()
        index.add(batch_of([a_run(number, n=number)]))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["n"] for row in rows(index)) == [0, 1, 2, 3]


def test_a_file_that_somebody_reads_is_not_deleted_under_their_hands(index: Index) -> None:
    index.add(batch_of([a_run(1, n=1)]))
    with index.view() as view:
        thread = threading.Thread(target=index.discard)
        thread.start()
        assert [part.to_pylist() for part in view.column("n").numbers()] == [[1]]
        assert index.path.exists()
    thread.join()
    assert not index.path.exists()
    assert rows(index) == []


def test_the_commonest_names_come_first(tmp_path: Path) -> None:
    index = Index(tmp_path / "x.sqlite", 1)
    index.add(batch_of([a_run(n, rare=n) if n == 3 else a_run(n, usual=n, common=n) for n in range(5)]))
    names = asked(index, lambda view: list(view.names))
    assert names == ["attempt", "spec", "common", "usual", "rare"]
