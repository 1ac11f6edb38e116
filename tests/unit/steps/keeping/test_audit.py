from __future__ import annotations

from pathlib import Path

import pytest

from executor.errors import StoreUnreachable
from executor.evidence.record import Record
from executor.spec.canonical import Digest, sealed
from executor.spec.tree import Tree, TreeEntry
from executor.steps.keeping.audit import Audit, Sample, audit
from executor.store import layout
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()


@pytest.fixture
def ran(world: World) -> World:
    """A store with two attempts of one spec, compared, and one of another."""
    world.submit(SPEC)
    world.rerun(SPEC)
    world.program = Program(outputs={"model.pt": b"others", "large.bin": b"x" * 5000}, prints=b"")
    world.submit(a_spec(seed=2))
    return world


def check(world: World, **options: object) -> Audit:
    return audit(world.site, **options)  # type: ignore[arg-type]


def test_a_whole_store_has_no_faults(ran: World) -> None:
    found = check(ran)
    assert found.faults == []
    assert found.unreferenced == (0, 0)
    objects = [key for key in ran.store.contents if not key.startswith(layout.PROBES)]
    assert (found.objects, found.bytes) == (len(objects), sum(len(ran.store.contents[key]) for key in objects))
    assert found.hashed == found.blobs == sum(key.startswith(layout.BLOBS) for key in objects)


def test_an_empty_store_has_none_either(world: World) -> None:
    assert check(world).as_json() == {
        "objects": 0, "bytes": 0, "blobs": 0, "hashed": 0, "damaged": [], "missing": [], "unreadable": [], "runs": [],
        "unreferenced": {"count": 0, "bytes": 0},
    }  # fmt: skip


def test_a_flipped_bit_in_any_object_is_named(ran: World) -> None:
    """In each once, somewhere else each time; every bit of documents is tried where they are parsed."""
    kept = [key for key in ran.store.contents if not key.startswith(layout.PROBES)]
    for number, key in enumerate(kept):
        data = ran.store.contents[key]
        flipped = bytearray(data or b"?")
        flipped[number * 37 % len(flipped)] ^= 1 << number % 8
        ran.store.contents[key] = bytes(flipped)
        assert key in {fault.key for fault in check(ran).faults}, (key, bytes(flipped))
        ran.store.contents[key] = data
    assert len(kept) > 15
    assert check(ran).faults == []


def faults(world: World, **options: object) -> dict[str, str]:
    return {fault.key: fault.kind for fault in check(world, **options).faults}


def records(world: World) -> list[Record]:
    return world.records(SPEC)


def test_a_damaged_blob_names_everyone_whom_it_hurts(ran: World) -> None:
    key = layout.blob(Digest.of(b"weights"))
    ran.store.contents[key] = b"WEIGHTS"
    (fault,) = check(ran).faults
    assert (fault.key, fault.kind, fault.digest, fault.size) == (key, "damaged", Digest.of(b"weights"), 7)
    assert {(hurt.attempt, hurt.role) for hurt in fault.hurts} == {
        (one.attempt, "output model.pt") for one in records(ran)
    }
    document = check(ran).as_json()
    assert [one["key"] for one in document["damaged"]] == [key]
    assert {one["attempt"] for one in document["runs"]} == {one.attempt for one in records(ran)}
    assert document["runs"][0]["hurt"] == [{"role": "output model.pt", "key": key, "kind": "damaged"}]


def test_a_blob_of_another_size_is_damaged_whether_or_not_it_is_in_the_sample(ran: World) -> None:
    key = layout.blob(Digest.of(b"weights"))
    ran.store.contents[key] = b"weight"
    assert faults(ran, sample=Sample(count=0)) == {key: "damaged"}


def test_a_missing_blob_is_missing_and_an_unreachable_store_is_no_store_without_blobs(ran: World) -> None:
    key = layout.blob(Digest.of(b"weights"))
    del ran.store.contents[key]
    assert faults(ran) == {key: "missing"}
    ran.store.down = True
    with pytest.raises(StoreUnreachable):
        check(ran)


@pytest.mark.parametrize("name", ["blob", "record.json", "reference.json"])
def test_one_object_that_the_store_cannot_give_is_unreadable(
    ran: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SeaweedFS does of one that is damaged on its disk: it answers 500 for ever, and is well otherwise."""
    bad = next(key for key in ran.store.contents if key.endswith(name) or (name == "blob" and "blobs" in key))
    give = ran.store._open

    def fail(key: str) -> object:
        if key == bad:
            raise StoreUnreachable("500")
        return give(key)

    monkeypatch.setattr(ran.store, "_open", fail)
    assert faults(ran)[bad] == "unreadable"


def test_a_record_is_missing_when_others_name_it(ran: World) -> None:
    first, _ = records(ran)
    key = f"{layout.attempt(SPEC.hash, first.attempt)}/record.json"
    del ran.store.contents[key]
    assert faults(ran) == {key: "missing"}


def test_a_record_is_missing_when_its_diagnosis_is_there(ran: World) -> None:
    divergence = {"step": 1, "kind": "rng", "cause": "unknown", "reason": "because"}
    ran.store.put_diagnosis(SPEC.hash, "lost", sealed(divergence))
    assert faults(ran)[f"{layout.attempt(SPEC.hash, 'lost')}/record.json"] == "missing"


def test_a_spec_and_a_reference_are_missing_when_records_need_them(ran: World) -> None:
    for name in ("spec.json", "reference.json"):
        del ran.store.contents[f"{layout.run(SPEC.hash)}/{name}"]
    assert faults(ran) == {f"{layout.run(SPEC.hash)}/{name}": "missing" for name in ("spec.json", "reference.json")}


def test_a_run_without_a_record_needs_neither(world: World) -> None:
    world.store.put_log(SPEC.hash, "live", 0, b"running\n")
    assert faults(world) == {}


def test_a_reference_to_an_attempt_that_failed_is_damaged(ran: World) -> None:
    ran.program = Program(code=1)
    failed = ran.submit(a_spec(seed=3)).record
    key = f"{layout.run(failed.spec_hash)}/reference.json"
    ran.store.overwrite(key, sealed({"attempt": failed.attempt}))
    assert faults(ran) == {key: "damaged"}


def test_a_record_under_the_key_of_another_attempt_is_damaged(ran: World) -> None:
    first, second = records(ran)
    keys = [f"{layout.attempt(SPEC.hash, one.attempt)}/record.json" for one in (first, second)]
    ran.store.contents[keys[0]] = ran.store.contents[keys[1]]
    assert faults(ran)[keys[0]] == "damaged"


def test_a_record_that_was_changed_and_sealed_again_is_not_what_was_signed(ran: World) -> None:
    first, _ = records(ran)
    key = f"{layout.attempt(SPEC.hash, first.attempt)}/record.json"
    ran.store.contents[key] = first.model_copy(update={"metrics": {"accuracy": 1.0}}).to_json()
    (fault,) = check(ran).faults
    assert (fault.key, fault.kind) == (key, "damaged")
    assert "what was signed is not what is stored" in fault.problem


def test_a_piece_of_log_that_is_no_piece_of_the_log_is_damaged(ran: World) -> None:
    first, _ = records(ran)
    ran.store.contents[layout.log(SPEC.hash, first.attempt, 0)] = b"straining\n"
    assert faults(ran) == {layout.log(SPEC.hash, first.attempt, 0): "damaged"}


def test_pieces_of_which_one_did_not_reach_the_store_are_still_pieces(ran: World) -> None:
    first, _ = records(ran)
    ran.store.contents[layout.log(SPEC.hash, first.attempt, 0)] = b"tra"
    ran.store.contents[layout.log(SPEC.hash, first.attempt, 2)] = b"ing\n"
    assert faults(ran) == {}
    ran.store.contents[layout.log(SPEC.hash, first.attempt, 3)] = b"tra"
    assert faults(ran) == {layout.log(SPEC.hash, first.attempt, 3): "damaged"}


def test_blobs_that_nothing_needs_are_counted_and_those_that_are_announced_are_not(ran: World) -> None:
    announced = ran.store.put_bytes(b"soon")
    ran.store.overwrite(layout.intent(SPEC.hash, "next"), sealed({"blobs": [announced.hex]}))
    ran.store.put_bytes(b"of no use")
    assert check(ran).unreferenced == (1, 9)


def test_what_an_archived_image_or_data_tree_lacks_is_missing(ran: World, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    image = FolderBlobs(tmp_path / "image").image(b"layer")
    for path in (tmp_path / "image").iterdir():
        ran.store.put_bytes(path.read_bytes())
    tree = Tree((TreeEntry("train.csv", 4, ran.store.put_bytes(b"data")),))
    manifest = ran.store.put_bytes(tree.manifest())
    ran.store.create(layout.image(image), sealed({"ref": "localhost/x"}))
    ran.store.create(layout.pin(SPEC.hash, "data.digits", manifest), sealed({"ref": "digits"}))
    found = check(ran)
    assert (found.faults, found.unreferenced) == ([], (0, 0))
    lost = [layout.blob(Digest.of(b"layer")), layout.blob(Digest.of(b"data"))]
    for key in lost:
        del ran.store.contents[key]
    roles = {fault.key: [(one.spec_hash, one.role) for one in fault.hurts] for fault in check(ran).faults}
    assert roles == {lost[0]: [(None, "image layer")], lost[1]: [(SPEC.hash, "data train.csv")]}
    del ran.store.contents[layout.blob(image)]
    assert faults(ran)[layout.blob(image)] == "missing"


def test_only_the_runs_that_are_named_are_looked_at(ran: World) -> None:
    ran.store.contents[layout.blob(Digest.of(b"others"))] = b"OTHERS"
    mine = check(ran, wanted=[SPEC.hash])
    assert (mine.faults, mine.unreferenced) == ([], None)
    assert "unreferenced" not in mine.as_json()
    assert [fault.digest for fault in check(ran, wanted=[a_spec(seed=2).hash]).faults] == [Digest.of(b"others")]


def test_a_sample_is_as_large_as_it_was_asked_for_and_the_same_for_one_seed() -> None:
    digests = [Digest.of(b"%d" % number) for number in range(200)]
    assert len(Sample(count=7).of(digests)) == 7
    assert len(Sample(percent=2.5).of(digests)) == 5
    assert len(Sample(percent=0.1).of(digests)) == 1
    assert Sample(count=500).of(digests) == Sample(percent=100).of(digests) == sorted(digests)
    assert Sample(count=7, seed=1).of(digests) == Sample(count=7, seed=1).of(digests[::-1])
    assert Sample(count=7, seed=1).of(digests) != Sample(count=7, seed=2).of(digests)


def test_a_sample_reads_no_more_than_it_says(ran: World) -> None:
    ran.store.requests.clear()
    found = check(ran, sample=Sample(count=2))
    opened = [request for request in ran.store.requests if request.startswith(f"open {layout.BLOBS}")]
    logs = 3  # each is held against its pieces
    assert found.hashed == 2
    assert len(opened) <= 2 + logs


def test_progress_is_told(ran: World) -> None:
    check(ran)
    what, done, total = ran.watcher.moved[-1]
    assert (what, done) == ("hashed", total)
    assert any("blobs" in stage for stage in ran.watcher.stages)
