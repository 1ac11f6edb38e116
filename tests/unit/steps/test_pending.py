from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from executor.engine.interface import LogSink
from executor.errors import NotFound, Unpublished
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.pending import STALE, Delivery, chosen, deliver_all, discard_all
from executor.steps.staging import RESULT
from executor.steps.workspace import reopen_workspace, unpublished
from executor.store import layout
from tests.fakes import NOON, MemoryStore
from tests.unit.engine.repos import commit_all, make_repo
from tests.unit.sites import Program, World, a_spec, a_workspace

SPEC = a_spec()


def leave(world: World, spec: Spec = SPEC) -> str:
    """Run a spec whose store goes away while it runs; gives the attempt that waits then."""

    def program(work: Path, log: LogSink) -> int:
        world.store.down = True
        return Program()(work, log)

    before, world.engine.program = set(world.left), program
    with pytest.raises(Unpublished):
        world.submit(spec, force=True)
    world.store.down = False
    world.engine.program = Program()
    del world.store.contents[layout.lease(spec.hash)]  # as if its process had ended
    (attempt,) = set(world.left) - before
    return attempt


def deliver(world: World, *attempts: str) -> list[Delivery]:
    return list(deliver_all(attempts or unpublished(world.site.home), world.site))


def test_results_that_wait_are_brought_to_the_store(world: World) -> None:
    attempts = [leave(world), leave(world, a_spec(seed=2))]
    found = deliver(world)
    assert [(one.attempt, one.state, one.exit_code) for one in found] == [(a, "published", 0) for a in attempts]
    assert found[0].store == world.store.attempt_url(SPEC.hash, attempts[0])
    assert (found[0].name, found[0].spec_hash) == ("digits", SPEC.hash.hex)
    (record,) = world.records(SPEC)
    assert world.store.missing_blobs(record.blobs()) == []
    assert world.store.reference(SPEC.hash) == attempts[0]
    assert world.left == []
    assert world.submit(SPEC).cached


def test_the_second_of_two_that_waited_is_held_against_the_first(world: World) -> None:
    first, second = leave(world), leave(world)
    deliver(world)
    one, other = world.records(SPEC)
    assert (one.attempt, one.comparison) == (first, None)
    assert other.comparison is not None
    assert (other.attempt, other.comparison.reference, other.comparison.verdict) == (second, first, "identical")


def test_the_code_of_a_result_waits_with_it(world: World, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", **{"train.py": "print(1)\n"})
    spec = a_spec(code={"commit": commit_all(repo), "repo": str(repo)})
    leave(world, spec)
    for cached in world.site.home.code.iterdir():
        cached.unlink()
    deliver(world)
    (record,) = world.records(spec)
    assert record.code is not None
    assert world.store.has_blob(record.code.digest)


def test_a_store_that_is_still_away_is_asked_once_and_everything_stays(world: World) -> None:
    attempts = [leave(world), leave(world, a_spec(seed=2))]
    world.store.down = True
    world.store.requests.clear()
    found = deliver(world)
    assert [(one.state, one.error, one.exit_code) for one in found] == [("waiting", "Unpublished", 6)] * 2
    assert len(world.store.requests) == 1
    assert world.left == attempts
    world.store.down = False
    assert [one.state for one in deliver(world)] == ["published", "published"]


def test_a_result_that_is_meant_for_another_store_is_left_for_it(world: World) -> None:
    attempt = leave(world)
    other = MemoryStore()
    other.url = "other:"
    (found,) = deliver_all([attempt], replace(world.site, store=other))
    assert (found.state, found.exit_code) == ("elsewhere", 0)
    assert "meant for memory:, not for other:" in found.message
    assert "--store memory:" in found.advice
    assert [key for key in other.contents if "runs" in key] == []
    assert world.left == [attempt]


def test_a_result_that_somebody_else_delivers_is_left_to_them(world: World) -> None:
    attempt = leave(world)
    with reopen_workspace(world.site.home, attempt):
        (found,) = deliver(world, attempt)
    assert (found.state, found.exit_code) == ("failed", 7)
    assert world.left == [attempt]


def test_a_file_that_was_changed_while_it_waited_is_not_stored(world: World) -> None:
    attempt = leave(world)
    folder = world.site.home.attempts / attempt
    (folder / "staging" / "model.pt").write_bytes(b"weighty")
    (found,) = deliver(world)
    assert (found.state, found.error, found.exit_code) == ("failed", "CorruptObject", 5)
    assert str(folder) in found.advice
    assert world.store.attempts(SPEC.hash) == []
    assert not world.store.has_blob(Digest.of(b"weights"))
    assert world.left == [attempt]


def test_one_that_cannot_be_delivered_does_not_keep_the_others(world: World) -> None:
    bad, good = leave(world), leave(world, a_spec(seed=2))
    path = world.site.home.attempts / bad / RESULT
    path.write_text(json.dumps({"version": 1}))
    found = deliver(world)
    assert [(one.attempt, one.state) for one in found] == [(bad, "failed"), (good, "published")]
    assert found[0].exit_code == 5


def test_a_folder_in_which_nothing_was_written_down_is_the_users(world: World) -> None:
    with a_workspace(world, "a") as space:
        space.keep()
    (found,) = deliver(world)
    assert (found.state, found.exit_code) == ("failed", 2)
    assert "before anything was written down" in found.message
    assert world.left == ["a"]
    (found,) = discard_all(["a"], world.site.home)
    assert (found.state, found.exit_code, world.left) == ("discarded", 0, [])


def test_a_result_that_nobody_wants_is_thrown_away(world: World) -> None:
    kept, unwanted = leave(world), leave(world)
    (found,) = discard_all([unwanted], world.site.home)
    assert (found.attempt, found.state, found.name, found.spec_hash) == (unwanted, "discarded", "digits", SPEC.hash.hex)
    assert world.left == [kept]
    with reopen_workspace(world.site.home, kept):
        (found,) = discard_all([kept], world.site.home)
    assert (found.state, found.exit_code, world.left) == ("failed", 7, [kept])


def test_the_user_names_attempts_or_folders(world: World) -> None:
    attempt = leave(world)
    home = world.site.home
    assert chosen(home, [attempt, str(home.attempts / attempt)]) == [attempt, attempt]
    for name in ("20260101T000000Z-ffffffff", "..", "", "/"):
        with pytest.raises(NotFound):
            chosen(home, [name])


def test_old_uploads_are_given_up_when_the_store_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime] = []

    def abort_stale(before: datetime) -> int:
        asked.append(before)
        return 0

    monkeypatch.setattr(world.store, "abort_stale", abort_stale)
    leave(world)
    deliver(world)
    (before,) = asked
    assert before - (NOON - STALE) < STALE / 7


def test_a_record_that_had_arrived_before_is_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put_reference = world.store.put_reference

    def lost(*_: object) -> None:
        world.store.down = True
        world.store._request("put", "reference")

    monkeypatch.setattr(world.store, "put_reference", lost)
    with pytest.raises(Unpublished):
        world.submit(SPEC)
    world.store.down = False
    monkeypatch.setattr(world.store, "put_reference", put_reference)
    (before,) = world.records(SPEC)
    (found,) = deliver(world)
    assert (found.state, world.records(SPEC)) == ("published", [before])
    assert world.store.reference(SPEC.hash) == before.attempt
    assert layout.intent(SPEC.hash, before.attempt) not in world.store.contents
