from __future__ import annotations

import itertools
import json
import threading
from datetime import UTC, datetime

import pytest

from executor.errors import HeldElsewhere, StoreUnreachable
from executor.spec.canonical import sealed
from executor.steps.keeping import sweeping as module
from executor.steps.keeping.sweeping import Sweep, sweeping, wait_for_sweep
from executor.store import layout
from executor.store.lease import TTL, Lease, Process
from tests.fakes import MemoryStore

_numbers = itertools.count(1)
ELSEWHERE = Process(host="other", boot="another start", pid=7, born=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    monkeypatch.setattr(module, "BEAT_S", 0.001)


class Clock:
    """Stands still, but for what a test adds, and `step` at each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds, self.step = 0.0, step

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


def new_attempt() -> str:
    return f"sweep-{next(_numbers)}"


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def said(store: MemoryStore) -> dict[str, object]:
    found: dict[str, object] = json.loads(store.contents[layout.SWEEP])
    return found


def taken_elsewhere(store: MemoryStore, beat: int = 0, state: str = "held", attempt: str = "there") -> None:
    """A sweep of another machine, of which nothing can be seen but its document."""
    document = {"state": state, "attempt": attempt, "epoch": 1, "beat": beat, "started": now().isoformat(),
                "process": ELSEWHERE.model_dump()}  # fmt: skip
    store.contents[layout.SWEEP] = sealed(document)


def test_a_sweep_can_be_seen_while_it_is_on_and_is_marked_as_done() -> None:
    store = MemoryStore()
    with sweeping(store, new_attempt, now) as sweep:
        assert said(store)["state"] == "held"
        assert sweep.holds
    assert said(store)["state"] == "released"


def test_a_sweep_that_failed_is_marked_as_done_too() -> None:
    store = MemoryStore()
    with pytest.raises(RuntimeError), sweeping(store, new_attempt, now):
        raise RuntimeError
    assert said(store)["state"] == "released"


def test_it_beats_while_it_is_on() -> None:
    store = MemoryStore()
    with sweeping(store, new_attempt, now):
        first = said(store)["beat"]
        while said(store)["beat"] == first:
            pass


def test_a_second_collector_is_told_who_is_at_work() -> None:
    store = MemoryStore()
    with (
        sweeping(store, new_attempt, now),
        pytest.raises(HeldElsewhere, match="collects garbage") as told,
        sweeping(store, new_attempt, now),
    ):
        pass
    assert told.value.holder["pid"] == Process.current().pid


def test_a_sweep_that_shows_no_life_is_taken_over() -> None:
    store = MemoryStore()
    taken_elsewhere(store)
    with sweeping(store, new_attempt, now, Clock(step=1.0)):
        assert said(store)["epoch"] == 2


def test_who_lost_the_sweep_holds_nothing() -> None:
    store = MemoryStore()
    lease = Lease(store, layout.SWEEP, new_attempt, now)
    assert lease.take() is None
    sweep = Sweep(lease, Clock())
    taken_elsewhere(store)
    sweep.beat()
    assert not sweep.holds


def holds(sweep: Sweep) -> bool:
    return sweep.holds


def test_who_was_silent_for_half_of_the_time_holds_nothing_any_more() -> None:
    store, clock = MemoryStore(), Clock()
    lease = Lease(store, layout.SWEEP, new_attempt, now)
    lease.take()
    sweep = Sweep(lease, clock)
    clock.seconds = TTL / 2
    assert holds(sweep)
    store.down = True
    sweep.beat()  # in vain
    store.down = False
    clock.seconds += 1
    assert not holds(sweep)
    sweep.beat()
    assert not holds(sweep)  # others may have stopped to wait by now
    assert said(store)["beat"] == 0


def test_a_store_that_goes_away_at_the_end_is_no_failure() -> None:
    store = MemoryStore()
    with sweeping(store, new_attempt, now):
        store.down = True
    store.down = False
    assert said(store)["state"] == "held"


def test_nobody_is_waited_for_where_nobody_sweeps() -> None:
    store = MemoryStore()
    wait_for_sweep(store)
    taken_elsewhere(store, state="released")
    wait_for_sweep(store)


def test_a_sweep_is_waited_for_to_its_end() -> None:
    store, ended = MemoryStore(), threading.Event()

    def wait() -> None:
        wait_for_sweep(store)
        ended.set()

    with sweeping(store, new_attempt, now):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not ended.wait(0.05)
    assert ended.wait(10)
    waiting.join()


def test_a_sweep_that_began_later_is_not_waited_for() -> None:
    store = MemoryStore()
    taken_elsewhere(store)
    looks = itertools.count()

    def clock() -> float:
        if next(looks) == 5:
            taken_elsewhere(store, attempt="another")
        return 0.0

    wait_for_sweep(store, clock)
    assert said(store)["attempt"] == "another"


def test_a_sweep_without_life_is_not_waited_for_for_ever() -> None:
    store = MemoryStore()
    taken_elsewhere(store)
    clock = Clock(step=1.0)
    wait_for_sweep(store, clock)
    assert clock.seconds > TTL


def test_a_sweep_that_beats_is_waited_for_however_long() -> None:
    store = MemoryStore()
    taken_elsewhere(store)
    beats = itertools.count(1)

    def clock() -> float:
        beat = next(beats)
        taken_elsewhere(store, beat, state="held" if beat < 100 else "released")
        return beat * TTL / 3

    wait_for_sweep(store, clock)
    assert next(beats) > 100


def test_a_sweep_whose_process_is_gone_is_not_waited_for() -> None:
    store = MemoryStore()
    process = Process.current().model_copy(update={"born": 1})
    document = {"state": "held", "attempt": "killed", "epoch": 1, "beat": 0, "started": now().isoformat(),
                "process": process.model_dump()}  # fmt: skip
    store.contents[layout.SWEEP] = sealed(document)
    wait_for_sweep(store, Clock())


def test_a_store_that_does_not_answer_is_no_store_without_a_sweep() -> None:
    store = MemoryStore()
    store.down = True
    with pytest.raises(StoreUnreachable):
        wait_for_sweep(store)
