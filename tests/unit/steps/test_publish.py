from __future__ import annotations

from dataclasses import replace

import pytest

from executor.errors import StoreUnreachable, Unpublished
from executor.facts import Outcome
from executor.spec.canonical import Digest, unsealed
from executor.steps import publish as publishing
from executor.steps.publish import deliver, publish
from executor.steps.staging import committed, read
from executor.steps.workspace import Workspace
from executor.store import layout
from executor.store.transfer import Payload
from tests.fakes import NOON
from tests.unit.sites import World, a_spec, a_workspace, an_end

SPEC = a_spec()
FAILED = Outcome(exit_code=1, started=NOON, finished=NOON)


def publish_in(world: World, space: Workspace) -> None:
    with space.kept_on_failure(SPEC.hash):
        publish(an_end(world, space.folder.name), space, world.site)


def test_everything_that_the_record_names_is_in_the_store(world: World) -> None:
    with a_workspace(world, "a", model_pt=b"weights", same_pt=b"weights") as space:
        publish_in(world, space)
    (record,) = world.records(SPEC)
    assert world.store.missing_blobs(record.blobs()) == []
    assert world.watcher.moved[-1] == ("upload", 18, 18)
    assert (record.code, record.manifests, record.created.tzinfo is not None) == (None, {}, True)
    assert world.left == []


def test_a_reference_that_appeared_during_the_run_is_compared_with(world: World) -> None:
    first = world.submit(SPEC).record
    with a_workspace(world, "b", model_pt=b"other weights") as space:
        publish_in(world, space)
    record = world.records(SPEC)[-1]
    assert record.comparison is not None
    assert (record.comparison.reference, record.comparison.verdict) == (first.attempt, "different")
    assert world.store.reference(SPEC.hash) == first.attempt


def test_a_failure_is_neither_compared_nor_named(world: World) -> None:
    with a_workspace(world, "b") as space, space.kept_on_failure(SPEC.hash):
        record = publish(an_end(world, "b", outcome=FAILED), space, world.site)
    assert (record.status, record.comparison, world.store.reference(SPEC.hash)) == ("failed", None, None)


def test_the_result_is_safe_here_before_the_store_is_asked_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_workspace(world, "a", model_pt=b"weights") as space:
        staged: list[str] = []

        def asked(verb: str, key: str) -> None:
            staged.extend(file.path for file in read(space).record.outputs)
            raise StoreUnreachable("away")

        monkeypatch.setattr(world.store, "_request", asked)
        with pytest.raises(Unpublished, match="away; the run has ended"):
            publish_in(world, space)
    assert staged == ["model.pt"]
    assert world.left == ["a"]


# What becomes of a request is not known ------------------------------------------------------------------------------

PUTS = ("intent.json", "spec.json", "blobs/", "provenance.json", "changes/", "record.json", "reference.json")


@pytest.mark.parametrize("key", PUTS)
@pytest.mark.parametrize("arrives", [True, False])
def test_whatever_request_is_lost_a_second_delivery_ends_in_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str, arrives: bool
) -> None:
    put = world.store._put

    def lose(name: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        if key in name and arrives:
            put(name, payload, if_absent=if_absent, if_version=if_version)
        if key in name:
            raise StoreUnreachable("no answer")
        return put(name, payload, if_absent=if_absent, if_version=if_version)

    with a_workspace(world, "a", model_pt=b"weights") as space:
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "_put", lose)
            with pytest.raises(Unpublished):
                publish_in(world, space)
        before = committed(space)
        assert before is not None
        record = deliver(read(space), space, world.site)
        assert deliver(read(space), space, world.site) == record
        space.drop()
    assert world.store.get_record(SPEC.hash, "a") == before[1]
    assert record == before[0]
    assert world.store.reference(SPEC.hash) == "a"
    assert record.comparison is None, "it is not held against itself"
    assert world.store.missing_blobs(record.blobs()) == []


def test_a_record_that_was_settled_is_not_compared_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit(SPEC)
    with a_workspace(world, "b", model_pt=b"weights") as space:
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "put_blobs", lambda *_: lost())
            with pytest.raises(Unpublished):
                publish_in(world, space)
        monkeypatch.setattr(publishing, "hold", lambda *_: pytest.fail("compared"))
        record = deliver(read(space), space, world.site)
        space.drop()
    assert record.comparison is not None
    assert record.comparison.verdict == "identical"


def lost() -> None:
    raise StoreUnreachable("no answer")


def test_a_result_that_waited_is_held_against_the_reference_of_its_run(world: World) -> None:
    first = world.submit(SPEC).record
    with a_workspace(world, "b", model_pt=b"other weights") as space:
        world.store.down = True
        with pytest.raises(Unpublished), space.kept_on_failure(SPEC.hash):
            publish(an_end(world, "b", reference=first, require_signed=True), space, world.site)
        world.store.down = False
        staged = read(space)
        assert staged.reference == first.attempt
        record = deliver(staged, space, world.site)
        space.drop()
    assert record.comparison is not None
    assert record.comparison.verdict == "different"
    assert record.comparison.files[0].explanation is not None


def test_nothing_is_held_against_a_reference_that_nobody_looked_at(world: World) -> None:
    world.submit(SPEC)
    with a_workspace(world, "b", model_pt=b"weights") as space, space.kept_on_failure(SPEC.hash):
        record = publish(an_end(world, "b", require_signed=True), space, world.site)
    assert record.comparison is None


def test_a_reference_whose_files_are_damaged_is_compared_with_by_its_digests(world: World) -> None:
    first = world.submit(SPEC).record
    trace = world.store.put_bytes(b"no trace")
    damaged = first.model_copy(update={"trace": first.log and first.log.model_copy(update={"digest": trace})})
    with a_workspace(world, "b", model_pt=b"weights") as space, space.kept_on_failure(SPEC.hash):
        record = publish(an_end(world, "b", reference=damaged), space, world.site)
    assert record.comparison is not None
    assert record.comparison.verdict == "identical"


# Collectors --------------------------------------------------------------------------------------------------------


def test_what_will_be_counted_on_is_said_before_any_blob_is_looked_for(world: World) -> None:
    said: list[bytes] = []
    request = world.store._request

    def watch(verb: str, key: str) -> None:
        if key.startswith(layout.BLOBS):
            said.append(world.store.contents.get(layout.intent(SPEC.hash, "a"), b""))
        request(verb, key)

    world.store._request = watch  # type: ignore[method-assign]
    with a_workspace(world, "a", model_pt=b"weights") as space:
        publish_in(world, space)
    (record,) = world.records(SPEC)
    (intent,) = set(said)
    body, expected, observed = unsealed(intent)
    assert expected == observed is not None
    assert all(digest.hex in body.decode() for digest in record.blobs())
    assert layout.intent(SPEC.hash, "a") not in world.store.contents


def test_a_sweep_that_is_on_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def wait(store: object) -> None:
        seen.append(layout.intent(SPEC.hash, "a") in world.store.contents)
        assert not any(key.startswith(layout.BLOBS) for key in world.store.contents)

    monkeypatch.setattr(publishing, "wait_for_sweep", wait)
    with a_workspace(world, "a", model_pt=b"weights") as space:
        publish_in(world, space)
    assert seen == [True]


def test_what_vanishes_before_the_record_protects_it_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_record = world.store.put_record

    def collected(spec_hash: Digest, attempt: str, data: bytes) -> None:
        del world.store.contents[layout.blob(Digest.of(b"weights"))]
        put_record(spec_hash, attempt, data)

    monkeypatch.setattr(world.store, "put_record", collected)
    with a_workspace(world, "a", model_pt=b"weights") as space:
        publish_in(world, space)
    assert world.store.has_blob(Digest.of(b"weights"))


def test_an_intent_that_cannot_be_taken_back_does_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.store, "remove", lambda key: lost())
    with a_workspace(world, "a", model_pt=b"weights") as space:
        publish_in(world, space)
    assert world.left == []
    assert world.store.attempts(SPEC.hash) == ["a"]


def test_a_varied_run_is_delivered_and_never_the_reference(world: World) -> None:
    ended = an_end(world, "a")
    with a_workspace(world, "a") as space, space.kept_on_failure(SPEC.hash):
        publish(replace(ended, how=replace(ended.how, varied={"cpus": "1"})), space, world.site)
    assert (world.store.attempts(SPEC.hash), world.store.reference(SPEC.hash)) == (["a"], None)
