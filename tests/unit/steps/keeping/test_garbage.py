from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from executor.errors import CorruptObject, HeldElsewhere, Retained, StoreUnreachable
from executor.evidence.record import Record
from executor.spec.canonical import Digest, sealed
from executor.spec.tree import Tree, TreeEntry
from executor.steps.keeping import garbage, sweeping
from executor.steps.keeping.garbage import Collected, collect
from executor.store import layout
from executor.store.local import LocalStore
from executor.store.transfer import Payload
from tests.fakes import NOON, MemoryStore
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
NOTHING, DAY, WEEK = timedelta(0), timedelta(days=1), timedelta(days=7)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LOOK_S", 0.001)


@pytest.fixture
def clocked(world: World) -> World:
    """A world whose store has a clock."""
    world.store._clock = NOON
    return world


def later(world: World, age: timedelta) -> None:
    assert world.store._clock
    world.store._clock += age


def blobs(world: World) -> set[str]:
    return {key for key in world.store.contents if key.startswith(layout.BLOBS)}


def gone(found: Collected) -> dict[str, int]:
    return {kind: total.count for kind, total in found.removed.items() if total.count}


# What is garbage ------------------------------------------------------------------------------------------------------


def test_what_a_record_needs_stays_and_all_else_goes(world: World) -> None:
    world.submit(SPEC)
    needed = blobs(world)
    world.store.put_bytes(b"of no use")
    assert collect(world.site, NOTHING).kept.count == len(needed)
    assert blobs(world) == needed


def test_documents_of_runs_and_keys_are_never_touched(world: World) -> None:
    world.submit(SPEC)
    world.program = Program(code=1)
    world.submit(a_spec(seed=2))
    world.store.put_log(Digest.of(b"lost"), "killed", 0, b"line\n")
    before = {key for key in world.store.contents if not key.startswith((layout.GC, layout.PROBES))}
    assert gone(collect(world.site, NOTHING)) == {"log": 2}
    after = set(world.store.contents)
    assert before - after == {layout.log(one.spec_hash, one.attempt, 0) for one in every_record(world)}


def every_record(world: World) -> list[Record]:
    return [Record.from_json(data, key) for key, data in world.store.contents.items() if key.endswith("/record.json")]


def test_what_was_announced_stays_for_thirty_days(clocked: World) -> None:
    digest = clocked.store.put_bytes(b"soon needed")
    intent = layout.intent(SPEC.hash, "attempt")
    clocked.store.overwrite(intent, sealed({"blobs": [digest.hex]}))
    later(clocked, timedelta(days=29))
    assert gone(collect(clocked.site, NOTHING)) == {}
    later(clocked, timedelta(days=2))
    assert gone(collect(clocked.site, NOTHING)) == {"blob": 1, "intent": 1}


def test_an_intent_that_came_true_goes_and_its_blobs_stay(world: World) -> None:
    record = world.submit(SPEC).record
    world.store.overwrite(layout.intent(SPEC.hash, record.attempt), sealed({"blobs": []}))
    needed = blobs(world)
    found = collect(world.site, NOTHING)
    assert (gone(found)["intent"], blobs(world)) == (1, needed)


def test_an_intent_that_comes_true_while_it_is_looked_at_is_a_record(clocked: World) -> None:
    world = clocked
    record = world.submit(SPEC).record
    data, key = world.store.contents, f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"
    stored, needed = data.pop(key), blobs(world)
    intent = layout.intent(SPEC.hash, record.attempt)
    world.store.overwrite(intent, sealed({"blobs": []}))
    read = world.store._open

    def commit_first(key_read: str) -> BinaryIO:
        if key_read == intent:
            data[key] = stored
            del data[intent]
        return read(key_read)

    world.store._open = commit_first  # type: ignore[method-assign, assignment]
    collect(world.site, NOTHING)
    assert blobs(world) == needed


def test_all_of_an_archived_image_stays(world: World, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    image = FolderBlobs(tmp_path / "image").image(b"layer")
    for path in (tmp_path / "image").iterdir():
        world.store.put_bytes(path.read_bytes())
    three = len(blobs(world))
    world.store.create(layout.image(image), sealed({"ref": "localhost/x"}))
    assert gone(collect(world.site, NOTHING)) == {}
    world.store.remove(layout.image(image))
    world.store.create(layout.pin(SPEC.hash, "image", image), sealed({"ref": "localhost/x"}))
    assert gone(collect(world.site, NOTHING)) == {}
    world.store.remove(layout.pin(SPEC.hash, "image", image))
    assert gone(collect(world.site, NOTHING)) == {"blob": three}


def test_all_of_archived_data_stays(world: World) -> None:
    tree = Tree((TreeEntry("train.csv", 4, world.store.put_bytes(b"data")),))
    manifest = world.store.put_bytes(tree.manifest())
    world.store.create(layout.pin(SPEC.hash, "data.digits", manifest), sealed({"ref": "digits"}))
    assert gone(collect(world.site, NOTHING)) == {}
    world.store.remove(layout.pin(SPEC.hash, "data.digits", manifest))
    assert gone(collect(world.site, NOTHING)) == {"blob": 2}


def test_old_probes_go_and_fresh_ones_are_at_work(clocked: World) -> None:
    clocked.store.overwrite(f"{layout.PROBES}/1", b"x")
    assert gone(collect(clocked.site, NOTHING)) == {}
    later(clocked, DAY)
    assert gone(collect(clocked.site, NOTHING)) == {"probe": 1}


def test_unfinished_uploads_are_ended_a_day_after_they_began(clocked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime] = []

    def abort_stale(before: datetime) -> int:
        asked.append(before)
        return 3

    monkeypatch.setattr(clocked.store, "abort_stale", abort_stale)
    assert collect(clocked.site, NOTHING).uploads == collect(clocked.site, WEEK).uploads == 3
    assert asked == [NOON - DAY, NOON - WEEK]


# What cannot be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", ["record.json", "intent.json"])
def test_a_document_that_cannot_be_read_stops_it_before_anything_is_removed(clocked: World, damaged: str) -> None:
    world = clocked
    record = world.submit(SPEC).record
    world.store.put_bytes(b"of no use")
    attempt = record.attempt if damaged == "record.json" else "another"
    world.store.overwrite(f"{layout.attempt(SPEC.hash, attempt)}/{damaged}", b'{"broken')
    before = blobs(world)
    with pytest.raises(CorruptObject) as stopped:
        collect(world.site, NOTHING)
    assert "nothing was removed" in stopped.value.advice
    assert blobs(world) == before


def test_a_manifest_that_is_missing_stops_it_too(world: World) -> None:
    world.store.create(layout.image(Digest.of(b"lost")), sealed({"ref": "localhost/x"}))
    world.store.put_bytes(b"of no use")
    with pytest.raises(CorruptObject, match="expected a manifest"):
        collect(world.site, NOTHING)
    assert len(blobs(world)) == 1


def test_a_store_out_of_reach_loses_nothing(world: World) -> None:
    world.store.put_bytes(b"of no use")
    world.store.down = True
    with pytest.raises(StoreUnreachable):
        collect(world.site, NOTHING)
    assert len(blobs(world)) == 1


# Two passes -----------------------------------------------------------------------------------------------------------


def test_the_second_pass_removes_what_the_first_found(clocked: World) -> None:
    clocked.store.put_bytes(b"of no use")
    assert collect(clocked.site, WEEK).waiting.count == 1  # too young
    later(clocked, WEEK)
    assert gone(collect(clocked.site, WEEK)) == {}  # found for the first time
    later(clocked, DAY)
    assert gone(collect(clocked.site, WEEK)) == {}  # not half a grace ago
    later(clocked, 3 * DAY)
    assert gone(collect(clocked.site, WEEK)) == {"blob": 1}
    assert collect(clocked.site, WEEK).waiting.count == 0


def test_what_was_needed_in_between_is_a_first_find_again(clocked: World) -> None:
    digest = clocked.store.put_bytes(b"of no use")
    later(clocked, WEEK)
    collect(clocked.site, WEEK)
    clocked.store.overwrite(layout.intent(SPEC.hash, "attempt"), sealed({"blobs": [digest.hex]}))
    later(clocked, 4 * DAY)
    collect(clocked.site, WEEK)
    clocked.store.remove(layout.intent(SPEC.hash, "attempt"))
    assert gone(collect(clocked.site, WEEK)) == {}
    later(clocked, 4 * DAY)
    assert gone(collect(clocked.site, WEEK)) == {"blob": 1}


def test_a_list_of_candidates_that_cannot_be_read_is_begun_anew(clocked: World) -> None:
    clocked.store.put_bytes(b"of no use")
    later(clocked, WEEK)
    collect(clocked.site, WEEK)
    clocked.store.contents[layout.CANDIDATES] = clocked.store.contents[layout.CANDIDATES].replace(b"2026", b"1026")
    later(clocked, WEEK)
    assert gone(collect(clocked.site, WEEK)) == {}


def test_a_dry_run_says_what_would_go_and_changes_nothing(world: World) -> None:
    world.submit(SPEC)
    digest = world.store.put_bytes(b"of no use")
    before = dict(world.store.contents)
    found = collect(world.site, NOTHING, dry_run=True)
    assert layout.blob(digest) in found.keys
    assert gone(found) == {"blob": 1, "log": 1}
    assert world.store.contents == before
    assert not any(request.startswith(("put", "delete")) for request in world.store.requests[-100:] if "gc" in request)
    assert set(found.keys) == set(collect(world.site, NOTHING).keys)


def test_the_json_has_totals_by_kind(world: World) -> None:
    world.store.put_bytes(b"of no use")
    document = collect(world.site, NOTHING).as_json()
    assert document["removed"]["blobs"] == {"count": 1, "bytes": 9}
    assert (document["dry_run"], document["cut_short"], len(document["keys"])) == (False, False, 1)


# Who is in the way ----------------------------------------------------------------------------------------------------


def test_what_the_store_must_keep_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store.put_bytes(b"of no use")

    def locked(key: str) -> None:
        raise Retained(key)

    monkeypatch.setattr(world.store, "purge", locked)
    found = collect(world.site, NOTHING)
    assert (found.retained.count, gone(found)) == (1, {})


def beat_often(sweep: sweeping.Sweep) -> None:
    for _ in range(50):
        sweep.beat()
        time.sleep(0.005)


def test_one_collector_is_enough(world: World) -> None:
    with sweeping.sweeping(world.store, world.site.new_attempt, world.site.now) as sweep:
        beating = threading.Thread(target=beat_often, args=(sweep,))
        beating.start()
        with pytest.raises(HeldElsewhere):
            collect(world.site, NOTHING)
        beating.join()


def test_a_sweep_that_is_lost_removes_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        world.store.put_bytes(b"%d" % number)
    monkeypatch.setattr(sweeping.Sweep, "holds", property(lambda _: len(blobs(world)) > 2))
    monkeypatch.setattr(garbage, "_AT_ONCE", 1)
    found = collect(world.site, NOTHING)
    assert (len(blobs(world)), found.cut_short) == (2, True)


def test_a_blob_that_was_put_again_meanwhile_stays(clocked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = clocked.store.put_bytes(b"of no use")
    later(clocked, DAY)
    stat = clocked.store._stat
    monkeypatch.setattr(clocked.store, "_stat", lambda key: (s := stat(key)) and s._replace(modified=NOON + DAY))
    assert gone(collect(clocked.site, NOTHING)) == {}
    assert clocked.store.has_blob(digest)


# While others publish -------------------------------------------------------------------------------------------------


class Watched(MemoryStore):
    """Says when a record is there without a blob of its, and lets a test in between any two requests."""

    def __init__(self) -> None:
        super().__init__(clock=NOON)
        self.referenced: set[str] = set()
        self.violations: list[str] = []
        self.between: Callable[[str], None] = lambda request: None

    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        done = super()._put(key, payload, if_absent=if_absent, if_version=if_version)
        if key.endswith("/record.json"):
            needed = {layout.blob(digest) for digest in Record.from_json(self.contents[key], key).blobs()}
            self.violations += sorted(needed - self.contents.keys())
            self.referenced |= needed
        return done

    def _delete(self, key: str) -> None:
        super()._delete(key)
        self.violations += [key] if key in self.referenced else []

    def _request(self, verb: str, key: str) -> None:
        super()._request(verb, key)
        self.between(f"{verb} {key}")


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[threading.Thread]:
    """Does something in another thread; what it raises is raised at the end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_who_announces_while_a_sweep_is_on_sends_after_it(world: World) -> None:
    """The collector has marked; the blob that the publisher finds there is about to be removed."""
    store = Watched()
    world.site = replace(world.site, store=store)
    store.put_bytes(b"weights")  # what the program will leave: the publisher would not send it
    marked, waits = threading.Event(), threading.Event()

    def between(request: str) -> None:
        if request == f"list {layout.BLOBS}/f":
            marked.set()
            assert waits.wait(30)
        elif request == f"open {layout.SWEEP}" and marked.is_set():
            waits.set()

    store.between = between
    with meanwhile(lambda: collect(world.site, NOTHING)):
        assert marked.wait(30)
        record = world.submit(SPEC).record
    assert store.violations == []
    assert store.missing_blobs(record.blobs()) == []
    assert waits.is_set()


def test_who_announced_before_a_sweep_is_seen_by_it(world: World) -> None:
    """The publisher has found a blob there and not yet sent the rest; a whole collection passes."""
    store = Watched()
    world.site = replace(world.site, store=store)
    store.put_bytes(b"weights")
    collected: list[Collected] = []

    def between(request: str) -> None:
        if request.startswith(f"put {layout.BLOBS}") and not collected:
            collected.append(Collected(dry_run=False, removed={}))
            collected.append(collect(world.site, NOTHING))

    store.between = between
    record = world.submit(SPEC).record
    assert store.violations == []
    assert store.missing_blobs(record.blobs()) == []
    assert len(collected) == 2


def test_without_the_wait_the_same_would_lose_a_blob(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: this is what the wait is for."""
    monkeypatch.setattr("executor.steps.publish.wait_for_sweep", lambda _: None)
    store = Watched()
    world.site = replace(world.site, store=store)
    store.put_bytes(b"weights")
    marked, committed = threading.Event(), threading.Event()

    def between(request: str) -> None:
        if request == f"list {layout.BLOBS}/f":
            marked.set()
            assert committed.wait(30)

    store.between = between
    with meanwhile(lambda: collect(world.site, NOTHING)):
        assert marked.wait(30)
        world.submit(SPEC)
        committed.set()
    assert store.violations == [layout.blob(Digest.of(b"weights"))]


def publish_many(world: World, number: int, puts: Callable[[bytes], object]) -> list[Record]:
    """Publish results whose contents lie there as garbage already."""
    records = []
    for one in range(number):
        world.program = Program(outputs={"model.pt": b"weights %d" % one, "shared": b"%d" % (one % 3)}, prints=b"")
        puts(b"weights %d" % one)
        records.append(world.submit(a_spec(seed=one)).record)
    return records


@contextmanager
def collecting(world: World) -> Iterator[list[Collected]]:
    """A collector that works all the time; what came of each of its passes."""
    passes, done = list[Collected](), threading.Event()

    def keep_collecting() -> None:
        while not done.is_set():
            passes.append(collect(world.site, NOTHING))

    with meanwhile(keep_collecting):
        try:
            yield passes
        finally:
            done.set()


def test_no_record_ever_lacks_a_blob_however_the_two_meet_in_memory(world: World) -> None:
    store = Watched()
    world.site = replace(world.site, store=store)
    chance = random.Random(7)
    store.between = lambda _: time.sleep(chance.random() * 0.0005)
    with collecting(world) as passes:
        records = publish_many(world, 40, store.put_bytes)
    assert store.violations == []
    assert [store.missing_blobs(record.blobs()) for record in records] == [[]] * 40
    assert len(passes) > 10


def test_no_record_ever_lacks_a_blob_however_the_two_meet_in_a_folder(world: World, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    world.site = replace(world.site, store=store, now=lambda: datetime.now(NOON.tzinfo))
    with collecting(world) as passes:
        records = publish_many(world, 30, store.put_bytes)
    assert [store.missing_blobs(record.blobs()) for record in records] == [[]] * 30
    assert len(passes) > 10
