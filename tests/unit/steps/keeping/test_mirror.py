from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from executor.errors import StoreUnreachable, UsageError
from executor.spec.canonical import Digest, sealed
from executor.spec.tree import Tree, TreeEntry
from executor.steps.keeping import sweeping
from executor.steps.keeping.audit import audit
from executor.steps.keeping.garbage import collect
from executor.steps.keeping.mirror import Failure, mirror
from executor.steps.keeping.sweeping import sweeping as sweep
from executor.store import layout
from executor.store.changes import CHANGES, announced
from tests.fakes import NOON, MemoryStore
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
WEIGHTS = Digest.of(b"weights")


class Other(MemoryStore):
    """A second store in memory."""

    def __init__(self) -> None:
        super().__init__(clock=NOON)
        self.between: Callable[[str], None] = lambda request: None

    @property
    def place(self) -> str:
        return "another memory"

    def _request(self, verb: str, key: str) -> None:
        super()._request(verb, key)
        self.between(f"{verb} {key}")


@pytest.fixture
def ran(world: World) -> World:
    """Two attempts of one spec, and one of another."""
    world.submit(SPEC)
    world.rerun(SPEC)
    world.program = Program(outputs={"model.pt": b"others"})
    world.submit(a_spec(seed=2))
    return world


def evidence(store: MemoryStore) -> dict[str, bytes]:
    """All that should be in both, by key."""
    kept = (layout.BLOBS, layout.KEYS, layout.IMAGES)
    return {key: data for key, data in store.contents.items()
            if layout.is_evidence(key) or key.startswith(kept) or layout.pinned(key)}  # fmt: skip


def written(store: MemoryStore) -> list[str]:
    return [request for request in store.requests if request.startswith("put") and "intent" not in request]


def test_everything_is_copied_and_nothing_that_passes(ran: World) -> None:
    target = Other()
    done = mirror(ran.site, target)
    assert evidence(target) == evidence(ran.store)
    assert (done.attempts, done.failures, done.verified) == (3, [], True)
    blobs = {key: data for key, data in target.contents.items() if key.startswith(layout.BLOBS)}
    assert (done.blobs, done.bytes) == (len(blobs), sum(map(len, blobs.values())))
    told = {f"{one.key.spec}/attempts/{one.key.attempt}" for one in announced(target)}
    assert told == {key.removeprefix("v1/runs/").removesuffix("/record.json") for key in target.contents
                    if key.endswith("record.json")}  # fmt: skip
    assert {key for key in target.contents if not key.startswith(CHANGES)} == set(evidence(target))
    assert audit(replace(ran.site, store=target)).faults == []


def test_a_second_copy_writes_nothing(ran: World) -> None:
    target = Other()
    mirror(ran.site, target)
    target.requests.clear()
    done = mirror(ran.site, target)
    assert (done.attempts, done.blobs, done.documents) == (3, 0, 0)
    assert written(target) == []


def test_one_run_is_copied_alone(ran: World) -> None:
    target = Other()
    assert mirror(ran.site, target, [SPEC.hash]).attempts == 2
    assert list(target.spec_hashes()) == [SPEC.hash]
    assert {key for key in target.contents if key.startswith(layout.KEYS)}


def test_images_and_data_that_are_kept_are_copied_too(ran: World, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    image = FolderBlobs(tmp_path / "image").image(b"layer")
    for path in (tmp_path / "image").iterdir():
        ran.store.put_bytes(path.read_bytes())
    manifest = ran.store.put_bytes(Tree((TreeEntry("train.csv", 4, ran.store.put_bytes(b"data")),)).manifest())
    ran.store.create(layout.image(image), sealed({"ref": "localhost/x"}))
    ran.store.create(layout.pin(SPEC.hash, "data.digits", manifest), sealed({"ref": "digits"}))
    target = Other()
    assert mirror(ran.site, target).failures == []
    assert evidence(target) == evidence(ran.store)
    alone = Other()
    mirror(ran.site, alone, [SPEC.hash])
    assert alone.has_blob(Digest.of(b"data"))
    assert not alone.has_blob(Digest.of(b"layer"))


def test_another_record_of_the_same_attempt_is_refused_before_anything_is_written(ran: World) -> None:
    target = Other()
    record = ran.records(SPEC)[0]
    target.put_record(SPEC.hash, record.attempt, b"another")
    before = dict(target.contents)
    with pytest.raises(UsageError, match=record.attempt):
        mirror(ran.site, target)
    assert target.contents == before


def test_the_store_itself_is_no_other_store(ran: World) -> None:
    with pytest.raises(UsageError, match="the store itself"):
        mirror(ran.site, ran.store)


def test_another_reference_stays_and_the_same_one_is_named_once_its_attempt_is_there(ran: World) -> None:
    target, (first, second) = Other(), ran.records(SPEC)
    target.put_reference(SPEC.hash, second.attempt)
    mirror(ran.site, target)
    assert target.reference(SPEC.hash) == second.attempt
    del ran.store.contents[layout.blob(first.outputs[0].digest)]
    target = Other()
    mirror(ran.site, target)
    assert target.reference(SPEC.hash) is None


@pytest.mark.parametrize("damage", [b"WEIGHTS", None])
def test_an_attempt_of_which_something_is_lost_is_not_copied_and_all_else_is(ran: World, damage: bytes | None) -> None:
    key = layout.blob(WEIGHTS)
    if damage is None:
        del ran.store.contents[key]
    else:
        ran.store.contents[key] = damage
    target = Other()
    done = mirror(ran.site, target)
    assert (done.attempts, [one.key for one in done.failures]) == (1, [key])
    assert key not in target.contents
    assert target.attempts(SPEC.hash) == []
    assert len(target.attempts(a_spec(seed=2).hash)) == 1


@pytest.mark.parametrize("name", ["record.json", "provenance.json", "spec.json"])
def test_a_damaged_document_is_not_copied_and_its_attempt_neither(ran: World, name: str) -> None:
    record = ran.records(SPEC)[0]
    folder = layout.run(SPEC.hash) if name == "spec.json" else layout.attempt(SPEC.hash, record.attempt)
    ran.store.contents[f"{folder}/{name}"] = b"?" + ran.store.contents[f"{folder}/{name}"]
    target = Other()
    done = mirror(ran.site, target)
    assert f"{folder}/{name}" in {one.key for one in done.failures}
    assert f"{folder}/{name}" not in target.contents
    assert record.attempt not in target.attempts(SPEC.hash)


def test_what_did_not_arrive_whole_is_told_and_without_verification_is_not_looked_at(ran: World) -> None:
    class Lossy(Other):
        def _request(self, verb: str, key: str) -> None:
            super()._request(verb, key)
            if verb == "open" and key == layout.blob(WEIGHTS):
                self.contents[key] = b"WEIGHTS"

    done = mirror(ran.site, target := Lossy())
    assert [one.key for one in done.failures] == [f"{target.url}/{layout.blob(WEIGHTS)}"]
    assert target.attempts(SPEC.hash) == []
    done = mirror(ran.site, target := Lossy(), verify=False)
    assert (done.failures, done.verified) == ([], False)
    assert not any(request == f"open {layout.blob(WEIGHTS)}" for request in target.requests)


def test_a_copy_that_was_cut_off_goes_on_where_it_was(ran: World) -> None:
    target, left = Other(), 8

    def cut(request: str) -> None:
        nonlocal left
        left -= request.startswith("put")
        if left < 0:
            raise StoreUnreachable("cut off")

    target.between = cut
    with pytest.raises(StoreUnreachable):
        mirror(ran.site, target)
    target.between = lambda _: None
    there = {key for key in target.contents if key.startswith(layout.BLOBS)}
    assert there
    target.requests.clear()
    assert mirror(ran.site, target).failures == []
    assert evidence(target) == evidence(ran.store)
    assert not there & {request.removeprefix("put ") for request in written(target)}


def test_a_collector_over_there_is_waited_for(ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LOOK_S", 0.001)
    target, waits, done = Other(), threading.Event(), threading.Event()
    target.between = lambda request: waits.set() if request == f"open {layout.SWEEP}" else None

    def copy() -> None:
        mirror(ran.site, target)
        done.set()

    thread = threading.Thread(target=copy)
    with sweep(target, ran.site.new_attempt, ran.site.now):
        waits.clear()
        thread.start()
        assert waits.wait(30)
        assert not any(key.endswith("record.json") for key in target.contents)
    thread.join()
    assert done.is_set()


def test_a_collector_that_comes_meanwhile_takes_nothing_that_is_needed(ran: World) -> None:
    target, passes, one = Other(), 0, threading.Lock()

    def between(request: str) -> None:
        nonlocal passes
        if request.startswith(f"put {layout.BLOBS}"):
            with one:
                passes += 1
                assert collect(replace(ran.site, store=target), timedelta(0)).removed["blob"].count == 0

    target.between = between
    assert mirror(ran.site, target).failures == []
    assert passes == 3
    assert evidence(target) == evidence(ran.store)


def test_the_json_tells_what_failed(ran: World) -> None:
    del ran.store.contents[layout.blob(WEIGHTS)]
    document = mirror(ran.site, Other()).as_json()
    assert document["failures"] == [vars(Failure(layout.blob(WEIGHTS), document["failures"][0]["problem"]))]
    assert (document["attempts"], document["verified"]) == (1, True)
