from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor.engine.interface import LogSink
from executor.errors import HeldElsewhere, StoreUnreachable
from executor.run import Options, Result, submit
from executor.steps import holding
from executor.steps.holding import LONGEST_S, SHORTEST_S, hold
from executor.store import layout
from executor.store import lease as leases
from executor.store.lease import Holder, Lease, Process
from executor.store.objects import ObjectStore
from tests.fakes import NOON
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
KEY = layout.lease(SPEC.hash)
OTHER = Holder(
    state="held", attempt="other-1", epoch=1, beat=0, started=NOON,
    process=Process(host="elsewhere", boot="another", pid=7, born=1),
)  # fmt: skip


def stored(world: World) -> Holder:
    return Holder.parse(world.store.contents[KEY])


def give(world: World, holder: Holder) -> None:
    world.store.contents[KEY] = holder.to_json()


def results(folder: Path) -> dict[str, bytes]:
    """What another executor leaves in the store when it has run the spec."""
    other = World(folder)
    other.submit(SPEC)
    return {key: data for key, data in other.store.contents.items() if key != KEY}


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens during each sleep of who waits; no sleep is taken."""
    events: list[Callable[[], object]] = []

    def sleep(seconds: float) -> None:
        assert SHORTEST_S / 2 <= seconds <= LONGEST_S
        events.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    return events


def ask(world: World, **options: Any) -> Result:
    return submit(SPEC, world.site, Options(**options))


# Alone ----------------------------------------------------------------------------------------------------------------


def test_a_run_holds_the_lease_and_lets_it_go(world: World) -> None:
    seen: list[Holder] = []

    def program(work: Path, log: LogSink) -> int:
        seen.append(stored(world))
        return Program()(work, log)

    world.engine.program = program
    record = world.submit(SPEC).record
    assert (seen[0].state, seen[0].attempt, seen[0].process) == ("held", record.attempt, Process.current())
    assert (stored(world).state, stored(world).attempt) == ("released", record.attempt)


def test_it_costs_few_requests(world: World) -> None:
    world.submit(SPEC)
    assert sum(KEY in request for request in world.store.requests) <= 6


def test_an_answer_from_the_store_needs_no_lease(world: World) -> None:
    world.submit(SPEC)
    world.store.requests.clear()
    assert world.submit(SPEC).cached
    assert not any(KEY in request for request in world.store.requests)


def test_whatever_ends_the_run_lets_the_lease_go(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        raise KeyboardInterrupt

    world.engine.program = program
    with pytest.raises(KeyboardInterrupt):
        world.submit(SPEC)
    assert stored(world).state == "released"


def test_an_interrupted_run_lets_it_go_before_its_result_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(work: Path, log: LogSink) -> int:
        world.site.stop.event.set()
        return 143

    def put_blobs(*words: Any) -> None:
        states.append(stored(world).state)
        put(*words)

    states: list[str] = []
    world.engine.program, put = program, world.store.put_blobs
    monkeypatch.setattr(world.store, "put_blobs", put_blobs)
    assert world.submit(SPEC).record.status == "interrupted"
    assert set(states) == {"released"}


# Others -------------------------------------------------------------------------------------------------------------


def test_who_does_not_wait_is_told_who_runs_it(world: World) -> None:
    give(world, OTHER)
    with pytest.raises(HeldElsewhere, match=r"elsewhere \(process 7, attempt other-1\) runs this spec since") as caught:
        ask(world, wait=False)
    assert caught.value.exit_code == 7
    assert caught.value.as_json()["holder"] == {
        "host": "elsewhere", "pid": 7, "attempt": "other-1", "since": NOON.isoformat(),
    }  # fmt: skip
    assert (stored(world), world.engine.plans) == (OTHER, [])


def test_who_waits_sees_the_log_and_is_given_the_result(
    world: World, tmp_path: Path, sleeps: list[Callable[[], object]]
) -> None:
    there = results(tmp_path / "other")
    there[layout.log(SPEC.hash, "other-1", 2)] = b"three\n"
    give(world, OTHER)
    world.store.put_log(SPEC.hash, "other-1", 0, b"one\n")
    sleeps += [
        lambda: world.store.put_log(SPEC.hash, "other-1", 1, b"two\n"),
        lambda: None,
        lambda: world.store.contents.update(there),
    ]
    result = world.submit(SPEC)
    assert (result.cached, result.record.status) == (True, "succeeded")
    assert world.watcher.printed == b"one\ntwo\nthree\n"
    assert world.watcher.stages == [
        "elsewhere (process 7, attempt other-1) runs this spec since 2026-01-01 12:00:00 UTC: waiting for its result"
    ]
    assert (stored(world), world.engine.plans) == (OTHER, [])


def test_who_waited_in_vain_runs_it(world: World, sleeps: list[Callable[[], object]]) -> None:
    give(world, OTHER)
    sleeps += [lambda: None, lambda: give(world, OTHER.model_copy(update={"state": "released"}))]
    result = world.submit(SPEC)
    assert (result.cached, result.record.status) == (False, "succeeded")
    assert (stored(world).attempt, stored(world).epoch) == (result.record.attempt, 2)
    assert world.watcher.stages[1] == "the spec is free"


def test_the_log_of_the_next_holder_is_shown_from_its_start(world: World, sleeps: list[Callable[[], object]]) -> None:
    give(world, OTHER)
    world.store.put_log(SPEC.hash, "other-1", 0, b"one\n")
    world.store.put_log(SPEC.hash, "other-2", 0, b"again\n")
    sleeps += [
        lambda: give(world, OTHER.model_copy(update={"attempt": "other-2", "epoch": 2})),
        lambda: give(world, OTHER.model_copy(update={"attempt": "other-2", "epoch": 2, "state": "released"})),
    ]
    world.submit(SPEC)
    assert world.watcher.printed == b"one\nagain\ntraining\n"


def test_a_result_that_came_between_the_look_and_the_lease_is_the_answer(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, take = results(tmp_path / "other"), Lease.take

    def late(lease: Lease) -> Holder | None:
        world.store.contents.update(there)
        give(world, OTHER.model_copy(update={"state": "released"}))
        return take(lease)

    monkeypatch.setattr(Lease, "take", late)
    assert world.submit(SPEC).cached
    assert (stored(world).state, world.engine.plans) == ("released", [])


def test_who_forces_a_run_waits_for_its_turn_and_is_compared(
    world: World, tmp_path: Path, sleeps: list[Callable[[], object]]
) -> None:
    there = results(tmp_path / "other")
    give(world, OTHER)
    sleeps += [
        lambda: world.store.contents.update(there),
        lambda: give(world, OTHER.model_copy(update={"state": "released"})),
    ]
    world.site = replace(world.site, new_attempt=lambda: "20270101T000000Z-00000001")
    result = ask(world, force=True)
    assert not result.cached
    assert result.record.comparison is not None
    assert result.record.comparison.verdict == "identical"


def test_a_rerun_waits_for_nobody(world: World) -> None:
    world.submit(SPEC)
    give(world, OTHER)
    assert world.rerun(SPEC).record.comparison is not None
    assert stored(world) == OTHER


def test_a_wait_ends_at_once_with_ctrl_c_and_leaves_the_lease_alone(
    world: World, sleeps: list[Callable[[], object]]
) -> None:
    give(world, OTHER)
    sleeps.append(world.site.stop.ask)
    with pytest.raises(KeyboardInterrupt):
        world.submit(SPEC)
    assert stored(world) == OTHER


def test_what_was_left_by_who_was_killed_meanwhile_is_removed(world: World, sleeps: list[Callable[[], object]]) -> None:
    give(world, OTHER)

    def killed() -> None:
        (world.site.home.attempts / "other-1").mkdir()
        give(world, OTHER.model_copy(update={"process": Process.current().model_copy(update={"born": 1})}))

    sleeps.append(killed)
    record = world.submit(SPEC).record
    assert (world.engine.removed, world.left) == (["other-1", record.attempt], [])


def test_those_who_wait_do_not_ask_together() -> None:
    paces = {holding._jitter(f"attempt-{number}", 2.0) for number in range(50)}
    assert len(paces) > 45
    assert 0.5 <= min(paces) < 0.6
    assert 0.9 < max(paces) <= 1.0


# In doubt -----------------------------------------------------------------------------------------------------------


def test_the_lease_beats_while_it_is_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TTL", 0.04)
    with hold(SPEC.hash, world.site, None, lambda _: None, wait=True, force=False):
        until(lambda: stored(world).beat > 3)
    beats = stored(world).beat
    assert stored(world).state == "released"
    time.sleep(0.05)
    assert stored(world).beat == beats


def test_a_lease_that_was_lost_is_told_in_the_record_and_the_result_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program(work: Path, log: LogSink) -> int:
        give(world, OTHER.model_copy(update={"epoch": 2}))
        monkeypatch.setattr(leases, "TTL", 0.0)  # as after a long suspension: a beat was missed
        return Program()(work, log)

    world.engine.program = program
    record = world.submit(SPEC).record
    (one,) = (finding for finding in record.findings if finding.field == "lease")
    assert (one.severity, one.observed) == ("warn", "taken over by elsewhere (process 7, attempt other-1)")
    assert world.store.reference(SPEC.hash) == record.attempt
    assert stored(world).state == "held"


def test_a_store_that_does_not_answer_stops_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def document(*_: object) -> tuple[bytes, str]:
        raise StoreUnreachable("no answer")

    monkeypatch.setattr(leases, "TTL", 0.02)
    monkeypatch.setattr(ObjectStore, "document", document)

    def program(work: Path, log: LogSink) -> int:
        until(lambda: "not renewed" in capsys.readouterr().err)
        return Program()(work, log)

    world.engine.program = program
    record = world.submit(SPEC).record
    assert record.status == "succeeded"
    assert not [finding for finding in record.findings if finding.field == "lease"]
    assert "warning: the lease is not released problem=no answer" in capsys.readouterr().err


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
