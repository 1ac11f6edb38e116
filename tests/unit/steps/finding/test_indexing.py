from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runs import records
from executor.errors import DiskFailed, StoreUnreachable
from executor.evidence.record import Record
from executor.spec.canonical import sealed
from executor.steps.finding import indexing
from executor.steps.finding.indexing import Library
from executor.steps.home import Home
from executor.store import snapshots
from executor.store.arrays import Damaged
from executor.store.changes import Key, announce
from executor.store.view import View
from tests.fakes import NOON, MemoryStore

RUNS = list(records(30))


def put(store: MemoryStore, run: Record, now: datetime | None = NOON) -> None:
    """Publish a record; without a `now` as before there was a feed."""
    if now:
        announce(store, run.spec_hash, run.attempt, now)
    store.put_record(run.spec_hash, run.attempt, run.to_json())


def record_key(run: Record) -> str:
    return f"v1/runs/{run.spec_hash.hex}/attempts/{run.attempt}/record.json"


def names(view: View) -> list[str]:
    return sorted(key.attempt for key in view.keys(range(view.count)))


class Desk:
    """A store, an index of it, and what was told."""

    def __init__(self, root: Path, store: MemoryStore | None = None) -> None:
        self.store, self.told = store or MemoryStore(), list[str]()
        self.library = Library.of(self.store, Home(root), self.told.append)

    @property
    def index_file(self) -> Path:
        return self.library.index.path

    def attempts(self) -> list[str]:
        return self.library.ask(names)

    def values(self, *wanted: str) -> list[dict[str, Any]]:
        return self.library.ask(lambda view: view.values(range(view.count), wanted))

    def reads(self) -> list[str]:
        """Records that were read since the last time."""
        found = [line for line in self.store.requests if line.startswith("open ") and line.endswith("record.json")]
        self.store.requests.clear()
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(params=["feed", "no feed"])
def when(request: pytest.FixtureRequest) -> datetime | None:
    """Whether runs are announced."""
    return NOON if request.param == "feed" else None


def ids(runs: list[Record]) -> list[str]:
    return sorted(run.attempt for run in runs)


def test_an_empty_store_has_an_empty_index(desk: Desk) -> None:
    assert desk.attempts() == []
    assert desk.told == []


def test_each_record_is_read_once(desk: Desk, when: datetime | None) -> None:
    for run in RUNS[:5]:
        put(desk.store, run, when)
    assert desk.attempts() == ids(RUNS[:5])
    assert len(desk.reads()) == 5
    assert desk.attempts() == ids(RUNS[:5])
    assert desk.reads() == []
    for run in RUNS[5:7]:
        put(desk.store, run, when)
    assert desk.attempts() == ids(RUNS[:7])
    assert sorted(desk.reads()) == sorted(f"open {record_key(run)}" for run in RUNS[5:7])


def test_runs_of_before_the_feed_are_found_when_the_index_is_new(desk: Desk) -> None:
    put(desk.store, RUNS[0], None)
    put(desk.store, RUNS[1])
    assert desk.attempts() == ids(RUNS[:2])


def test_with_a_feed_runs_are_no_longer_listed(desk: Desk) -> None:
    put(desk.store, RUNS[0])
    desk.attempts()
    desk.store.requests.clear()
    put(desk.store, RUNS[1])
    desk.attempts()
    assert [line for line in desk.store.requests if line.startswith("list v1/runs")] == []


def test_a_run_that_was_announced_an_hour_late_is_found(desk: Desk) -> None:
    put(desk.store, RUNS[0], NOON)
    desk.attempts()
    put(desk.store, RUNS[1], NOON - timedelta(hours=1))
    assert desk.attempts() == ids(RUNS[:2])


def test_a_record_that_comes_after_its_announcement_is_waited_for(desk: Desk) -> None:
    late = RUNS[1]
    announce(desk.store, late.spec_hash, late.attempt, NOON)
    put(desk.store, RUNS[0], NOON)
    assert desk.attempts() == ids(RUNS[:1])
    put(desk.store, RUNS[2], NOON + timedelta(hours=20))
    assert desk.attempts() == ids([RUNS[0], RUNS[2]])
    desk.store.put_record(late.spec_hash, late.attempt, late.to_json())
    assert desk.attempts() == ids(RUNS[:3])
    assert desk.library.index.waiting() == []


def test_a_record_that_never_comes_is_given_up(desk: Desk) -> None:
    announce(desk.store, RUNS[1].spec_hash, RUNS[1].attempt, NOON)
    put(desk.store, RUNS[0], NOON)
    desk.attempts()
    assert [one.key.attempt for one in desk.library.index.waiting()] == [RUNS[1].attempt]
    put(desk.store, RUNS[2], NOON + timedelta(days=3))
    desk.attempts()
    assert desk.library.index.waiting() == []
    assert desk.library.problems() == []


def test_one_wrong_record_hides_no_other_and_is_told_until_it_is_repaired(desk: Desk, when: datetime | None) -> None:
    for run in RUNS[:3]:
        put(desk.store, run, when)
    key = record_key(RUNS[1])
    good = desk.store.contents[key]
    desk.store.contents[key] = good.replace(b'"succeeded"', b'"Succeeded"').replace(b'"failed"', b'"Failed"')
    for _ in range(2):
        assert desk.attempts() == ids([RUNS[0], RUNS[2]])
        (problem,) = desk.library.problems()
        assert problem.key == Key(RUNS[1].spec_hash.hex, RUNS[1].attempt)
        assert "stored bytes are wrong" in problem.problem
    desk.store.contents[key] = good
    assert desk.attempts() == ids(RUNS[:3])
    assert desk.library.problems() == []


@pytest.mark.parametrize("spec", [{"gpu": "H100"}, {"params": 3, "seed": [1]}, {"data": {"x": {"y": object}}}])
def test_a_sealed_record_with_a_strange_spec_does_no_harm_and_is_told(desk: Desk, spec: dict[str, Any]) -> None:
    run = RUNS[0]
    document = json.loads(run.model_dump_json()) | {"spec": json.loads(json.dumps(spec, default=str))}
    announce(desk.store, run.spec_hash, run.attempt, NOON)
    desk.store.put_record(run.spec_hash, run.attempt, sealed(document))
    put(desk.store, RUNS[1])
    assert desk.attempts() == ids([RUNS[1]])
    assert "expected a record, found" in desk.library.problems()[0].problem


@pytest.mark.parametrize("garbage", [b"not a database" * 100, b"SQLite format 3\0" + b"\0" * 4096])
def test_a_damaged_index_is_made_anew_and_says_so(desk: Desk, garbage: bytes) -> None:
    put(desk.store, RUNS[0])
    desk.attempts()
    desk.library.index.discard()
    desk.index_file.write_bytes(garbage)
    assert desk.attempts() == ids(RUNS[:1])
    assert [line.partition(":")[0] for line in desk.told] == ["the index of memory"]
    assert "is made anew" in desk.told[0]


def test_an_index_that_was_deleted_is_made_anew_in_silence(desk: Desk) -> None:
    put(desk.store, RUNS[0])
    desk.attempts()
    desk.library.index.discard()
    assert desk.attempts() == ids(RUNS[:1])
    assert desk.told == []


def test_damage_that_a_question_meets_is_healed_and_the_question_asked_again(desk: Desk) -> None:
    put(desk.store, RUNS[0])
    asked = []

    def question(view: View) -> int:
        asked.append(view.count)
        if len(asked) == 1:
            raise Damaged("a checksum is wrong")
        return view.count

    assert desk.library.ask(question) == 1
    assert desk.told == ["the index of memory: is made anew: a checksum is wrong"]


def test_damage_that_comes_back_is_the_disks(desk: Desk) -> None:
    def question(_: View) -> None:
        raise Damaged("a checksum is wrong")

    with pytest.raises(DiskFailed, match="a checksum is wrong"):
        desk.library.ask(question)


def test_a_store_that_was_emptied_is_noticed(desk: Desk, when: datetime | None) -> None:
    for run in RUNS[:3]:
        put(desk.store, run, when)
    desk.attempts()
    desk.store.contents.clear()
    put(desk.store, RUNS[5], when)
    assert desk.attempts() == ids(RUNS[5:6])
    assert desk.told == ["the index of memory: is made anew: the store no longer has what was read of it"]


def test_each_store_has_an_index_of_its_own(tmp_path: Path) -> None:
    one, other = Desk(tmp_path), Desk(tmp_path)
    other.store.url = "memory:other"
    other = Desk(tmp_path, other.store)
    assert one.index_file != other.index_file
    assert one.index_file.parent == tmp_path / "index"


def test_a_store_that_does_not_answer_is_unreachable_not_empty(desk: Desk) -> None:
    put(desk.store, RUNS[0])
    desk.attempts()
    desk.store.down = True
    with pytest.raises(StoreUnreachable):
        desk.attempts()
    desk.store.down = False
    assert desk.attempts() == ids(RUNS[:1])


def test_reading_goes_on_where_it_was_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_TOGETHER", 4)
    for run in RUNS[:10]:
        put(desk.store, run)
    reading, count = desk.store.get_record, 0

    def fail(*words: Any) -> bytes:
        nonlocal count
        count += 1
        if count > 6:
            raise StoreUnreachable("memory: gone")
        return reading(*words)

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "get_record", fail)
        with pytest.raises(StoreUnreachable):
            desk.attempts()
    desk.reads()
    assert desk.attempts() == ids(RUNS[:10])
    assert len(desk.reads()) == 6


def test_what_takes_a_while_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_TELL_FROM", 3)
    for run in RUNS[:3]:
        put(desk.store, run)
    desk.attempts()
    assert desk.told == ["reading 3 runs of memory:"]


# Snapshots ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "SHARE_FROM", 5)


def kept(store: MemoryStore) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in store.contents if key.startswith("v1/index/"))


def at(hour: float) -> datetime:
    return NOON + timedelta(hours=hour)


@pytest.mark.usefixtures("eager")
def test_a_new_machine_starts_from_what_another_one_read(desk: Desk, tmp_path: Path) -> None:
    put(desk.store, RUNS[20], None)
    for number, run in enumerate(RUNS[:9]):
        put(desk.store, run, at(number))
    whole = desk.attempts()
    assert kept(desk.store) == ["0000000000-2026010119-8-1of1.parquet"]  # 7 hours that are over, and the old one
    desk.reads()
    other = Desk(tmp_path / "other", desk.store)
    assert other.attempts() == whole
    assert len(other.reads()) == 2
    wanted = ("name", "created", "metrics.accuracy", "params.hidden", "params.amp", "seed")
    assert sorted(map(repr, other.values(*wanted))) == sorted(map(repr, desk.values(*wanted)))
    assert other.told == ["reading the index that memory: keeps: 8 runs"]


@pytest.mark.usefixtures("eager")
def test_segments_grow_and_few_are_left_to_read(desk: Desk, tmp_path: Path) -> None:
    for number, run in enumerate(RUNS):
        put(desk.store, run, at(number))
        if number % 6 == 5:
            desk.attempts()
    chain = snapshots.chain(desk.store, desk.library.index.rows)
    assert chain[0].start == "0000000000"
    assert len(chain) <= 3
    assert sum(one.runs for one in chain) >= 20
    desk.reads()
    other = Desk(tmp_path / "other", desk.store)
    assert other.attempts() == ids(RUNS)
    assert len(set(other.reads())) + sum(one.runs for one in chain) == 30


@pytest.mark.usefixtures("eager")
def test_segments_of_several_writers_hold_every_run(tmp_path: Path) -> None:
    store = MemoryStore()
    desks = [Desk(tmp_path / f"{number}", store) for number in range(3)]
    for number, run in enumerate(RUNS):
        put(store, run, at(number / 3))
        if number % 6 == 5:
            desks[number // 6 % 3].attempts()
    for desk in desks:
        assert desk.attempts() == ids(RUNS)
    assert Desk(tmp_path / "new", store).attempts() == ids(RUNS)


@pytest.mark.usefixtures("eager")
def test_a_segment_that_is_wrong_is_not_used(desk: Desk, tmp_path: Path) -> None:
    for number, run in enumerate(RUNS[:9]):
        put(desk.store, run, at(number))
    desk.attempts()
    (key,) = [key for key in desk.store.contents if key.startswith("v1/index/")]
    desk.store.contents[key] = desk.store.contents[key][:-20]
    assert Desk(tmp_path / "other", desk.store).attempts() == ids(RUNS[:9])


@pytest.mark.usefixtures("eager")
def test_who_may_not_write_reads_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, run in enumerate(RUNS[:9]):
        put(desk.store, run, at(number))

    def refuse(*_: object) -> bytes:
        raise StoreUnreachable("memory: access denied")

    monkeypatch.setattr(desk.store, "create", refuse)
    assert desk.attempts() == ids(RUNS[:9])
    assert kept(desk.store) == []


@pytest.mark.usefixtures("eager")
def test_a_rebuild_reads_every_record_whatever_others_have_kept(desk: Desk) -> None:
    for number, run in enumerate(RUNS[:9]):
        put(desk.store, run, at(number))
    desk.attempts()
    desk.reads()
    assert desk.library.rebuild() == 9
    assert len(desk.reads()) == 9
    assert desk.attempts() == ids(RUNS[:9])
