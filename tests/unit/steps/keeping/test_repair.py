from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from executor.errors import StoreUnreachable
from executor.evidence.record import Record
from executor.spec.canonical import Digest, sealed
from executor.spec.tree import Tree, TreeEntry
from executor.steps.keeping.audit import audit
from executor.steps.keeping.crosscheck import Fault
from executor.steps.keeping.repair import Refilled, Repaired, repair
from executor.steps.keeping.sources import Elsewhere, Files, Source, caches
from executor.store import layout
from tests.fakes import MemoryStore
from tests.unit.sites import World, a_spec

SPEC = a_spec()
WEIGHTS = Digest.of(b"weights")
RUN = layout.run(SPEC.hash)


@pytest.fixture
def ran(world: World) -> World:
    """Two attempts of one spec."""
    world.submit(SPEC)
    world.rerun(SPEC)
    return world


@pytest.fixture
def copy(ran: World) -> MemoryStore:
    """A store with the same contents."""
    other = MemoryStore()
    other.contents = dict(ran.store.contents)
    return other


def record_key(world: World, number: int) -> str:
    return f"{layout.attempt(SPEC.hash, world.records(SPEC)[number].attempt)}/record.json"


def puts(world: World, action: object) -> list[str]:
    """Keys that were written or removed since."""
    assert action is not None
    return [request.partition(" ")[2] for request in world.store.requests if request.startswith(("put", "delete"))]


def keys(found: Repaired) -> list[str]:
    return [one.key for one in found.refilled]


def test_nothing_is_touched_where_nothing_is_wrong(ran: World, copy: MemoryStore) -> None:
    ran.store.requests.clear()
    assert puts(ran, repair(ran.site, [Elsewhere(copy)])) == []


def test_a_whole_store_is_refilled_from_another_one_and_nothing_else_is_touched(ran: World, copy: MemoryStore) -> None:
    """Each object in turn, damaged and missing, and after that all that are damaged at once."""
    good = dict(ran.store.contents)
    for key in [key for key in good if key.startswith(layout.RUNS) and "/log/" not in key and "lease" not in key]:
        ran.store.contents[key] = b"?" + good[key][1:]
        ran.store.requests.clear()
        found = repair(ran.site, [Elsewhere(copy)])
        assert (keys(found), found.lost, ran.store.contents[key]) == ([key], [], good[key])
        assert puts(ran, found) == [key]
    for key in good:
        if key.startswith((layout.RUNS, layout.BLOBS)) and "/log/" not in key and "lease" not in key:
            ran.store.contents[key] = good[key][:-1]
    assert repair(ran.site, [Elsewhere(copy)]).lost == []
    assert ran.store.contents == good


@pytest.mark.parametrize("damage", [b"WEIGHTS", b"", None])
def test_a_blob_is_refilled_from_another_store(ran: World, copy: MemoryStore, damage: bytes | None) -> None:
    key = layout.blob(WEIGHTS)
    if damage is None:
        del ran.store.contents[key]
    else:
        ran.store.contents[key] = damage
    found = repair(ran.site, [Elsewhere(copy)])
    assert found.refilled == [Refilled(key, "memory:")]
    assert found.lost == []
    assert ran.store.contents[key] == b"weights"


def test_a_copy_that_is_damaged_itself_is_not_believed(ran: World, copy: MemoryStore, tmp_path: Path) -> None:
    key = layout.blob(WEIGHTS)
    ran.store.contents[key] = copy.contents[key] = b"WEIGHTS"
    found = repair(ran.site, [Elsewhere(copy)])
    assert (found.refilled, [fault.key for fault in found.lost]) == ([], [key])
    assert ran.store.contents[key] == b"WEIGHTS"
    (tmp_path / "file").write_bytes(b"weights")
    assert repair(ran.site, [Elsewhere(copy), Files([tmp_path], "a folder")]).refilled == [Refilled(key, "a folder")]


def test_a_blob_is_refilled_from_the_caches_of_this_machine(ran: World) -> None:
    staged = ran.site.home.attempts / "kept" / "staging" / "model.pt"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"weights")
    del ran.store.contents[layout.blob(WEIGHTS)]
    assert repair(ran.site, [*caches(ran.site.home)]).refilled[0].source == "this machine's caches"


def test_a_log_is_put_together_from_its_pieces(ran: World) -> None:
    log = ran.records(SPEC)[0].log
    assert log
    del ran.store.contents[layout.blob(log.digest)]
    assert [one.source for one in repair(ran.site, []).refilled] == ["pieces of the log"]
    assert ran.store.read_blob(log.digest, 100) == b"training\n"


def test_a_piece_is_cut_from_the_log(ran: World) -> None:
    attempt = ran.records(SPEC)[0].attempt
    for number, piece in enumerate((b"tra", b"in?", b"in?")):
        ran.store.contents[layout.log(SPEC.hash, attempt, number)] = piece
    assert len(repair(ran.site, []).refilled) == 2
    assert list(ran.store.log_segments(SPEC.hash, attempt)) == [b"tra", b"ini", b"ng\n"]


def test_a_spec_is_written_anew_from_its_records(ran: World) -> None:
    ran.store.contents[f"{RUN}/spec.json"] = b"{}"
    assert repair(ran.site, []).refilled == [Refilled(f"{RUN}/spec.json", "its records")]
    assert ran.store.get_spec(SPEC.hash) == SPEC.canonical()


def test_a_reference_is_named_again_by_those_that_were_compared_with_it(ran: World) -> None:
    first = ran.records(SPEC)[0].attempt
    ran.store.contents[f"{RUN}/reference.json"] = sealed({"attempt": first}).replace(b"2026", b"1026")
    assert repair(ran.site, []).refilled == [Refilled(f"{RUN}/reference.json", "its records")]
    assert ran.store.reference(SPEC.hash) == first


def test_a_reference_that_could_be_one_of_several_is_not_guessed(world: World) -> None:
    for _ in range(2):
        record = world.submit(SPEC, force=True).record
    alone = record.model_copy(update={"comparison": None, "attempt": "20260101T120000Z-99999999"})
    for key in [key for key in world.store.contents if "attempts/" in key]:
        del world.store.contents[key]
    for one in (alone, alone.model_copy(update={"attempt": "20260101T120000Z-88888888"})):
        world.store.put_record(SPEC.hash, one.attempt, one.to_json())
    world.store.contents[f"{RUN}/reference.json"] = b"?"
    assert [fault.key for fault in repair(world.site, []).lost] == [f"{RUN}/reference.json"]


def test_a_record_is_taken_from_another_store_only_if_it_is_what_was_signed(ran: World, copy: MemoryStore) -> None:
    key = record_key(ran, 0)
    true, record = ran.store.contents[key], ran.records(SPEC)[0]
    lie = record.model_copy(update={"metrics": {"accuracy": 1.0}}).to_json()
    ran.store.contents[key], copy.contents[key] = b"?", lie
    assert [fault.key for fault in repair(ran.site, [Elsewhere(copy)]).lost] == [key]
    ran.store.contents[key], copy.contents[key] = lie, true
    ran.store.requests.clear()
    found = repair(ran.site, [Elsewhere(copy)])
    assert (keys(found), found.lost) == ([key], [])
    assert puts(ran, found) == [key]  # its signature was right all the time


def test_a_record_that_came_back_leads_to_more_that_is_lost(ran: World, copy: MemoryStore) -> None:
    for key in (record_key(ran, 0), record_key(ran, 1), layout.blob(WEIGHTS)):
        ran.store.contents.pop(key)
    found = repair(ran.site, [Elsewhere(copy)], [SPEC.hash])
    assert found.lost == []
    assert layout.blob(WEIGHTS) in keys(found)


def test_all_of_archived_data_comes_back(ran: World, copy: MemoryStore) -> None:
    tree = Tree((TreeEntry("train.csv", 4, copy.put_bytes(b"data")),))
    manifest = copy.put_bytes(tree.manifest())
    ran.store.create(layout.pin(SPEC.hash, "data.digits", manifest), sealed({"ref": "digits"}))
    found = repair(ran.site, [Elsewhere(copy)])
    assert (found.lost, set(keys(found))) == ([], {layout.blob(manifest), layout.blob(Digest.of(b"data"))})


def test_notes_of_who_works_now_are_not_evidence(ran: World) -> None:
    record = ran.records(SPEC)[0]
    true = layout.intent(SPEC.hash, record.attempt)
    for key in (layout.lease(SPEC.hash), true, layout.CANDIDATES, layout.intent(SPEC.hash, "another")):
        ran.store.contents[key] = b"?"
    found = repair(ran.site, [])
    assert set(keys(found)) == {layout.lease(SPEC.hash), true, layout.CANDIDATES}
    assert [fault.key for fault in found.lost] == [layout.intent(SPEC.hash, "another")]


def test_what_no_source_has_is_handed_on_once(ran: World) -> None:
    del ran.store.contents[layout.blob(WEIGHTS)]
    asked: list[list[str]] = []

    def last(faults: Sequence[Fault], records: Mapping[tuple[Digest, str], Record]) -> list[Refilled]:
        asked.append([fault.key for fault in faults])
        assert len(records) == 2
        ran.store.put_bytes(b"weights")
        return [Refilled(layout.blob(WEIGHTS), "a rerun")]

    found = repair(ran.site, [], None, last)
    assert (found.refilled, found.lost) == ([Refilled(layout.blob(WEIGHTS), "a rerun")], [])
    assert asked == [[layout.blob(WEIGHTS)]]


def test_a_store_that_does_not_keep_what_it_is_given_is_not_believed(
    ran: World, copy: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran.store.contents[layout.blob(WEIGHTS)] = b"WEIGHTS"
    monkeypatch.setattr(ran.store, "_put", lambda *args, **options: True)
    found = repair(ran.site, [Elsewhere(copy)])
    assert (found.refilled, len(found.lost)) == ([], 1)


def test_a_source_out_of_reach_is_an_error_and_no_source_without_copies(ran: World, copy: MemoryStore) -> None:
    del ran.store.contents[layout.blob(WEIGHTS)]
    copy.down = True
    with pytest.raises(StoreUnreachable):
        repair(ran.site, [Elsewhere(copy)])


def test_the_json_says_from_where_and_what_is_lost(ran: World) -> None:
    ran.store.contents[f"{RUN}/spec.json"] = b"{}"
    del ran.store.contents[layout.blob(WEIGHTS)]
    document = repair(ran.site, [Source()]).as_json()
    assert document["refilled"] == [{"key": f"{RUN}/spec.json", "source": "its records"}]
    ((lost),) = document["lost"]
    assert (lost["key"], lost["kind"], len(lost["runs"])) == (layout.blob(WEIGHTS), "missing", 2)
    assert len(audit(replace(ran.site)).faults) == 1
