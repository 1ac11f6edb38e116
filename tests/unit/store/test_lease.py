from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from executor.errors import StoreUnreachable
from executor.spec.canonical import Digest, sealed
from executor.store import layout
from executor.store.lease import TTL, UNKNOWN, Holder, Lease, Process
from tests.fakes import NOON, MemoryStore

KEY = layout.lease(Digest.of(b"spec"))
HERE = Process.current()
ELSEWHERE = HERE.model_copy(update={"host": "elsewhere", "boot": "another"})


class Clock:
    """Seconds of one host's own clock."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


class Host:
    """A host with its own clock and attempt ids, and one lease."""

    def __init__(self, store: MemoryStore, name: str, process: Process = HERE, wall: datetime = NOON) -> None:
        numbers = itertools.count()
        self.clock = Clock()
        self.lease = Lease(store, KEY, lambda: f"{name}-{next(numbers)}", lambda: wall, self.clock)
        self.lease._process = process


def stored(store: MemoryStore) -> Holder:
    return Holder.parse(store.contents[KEY])


def changed(data: bytes, **fields: object) -> bytes:
    """A lease that somebody wrote with other fields."""
    return sealed({**Holder.parse(data).model_dump(mode="json"), **fields})


def process_of(pid: int) -> Process:
    """A process of this machine."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return HERE.model_copy(update={"pid": pid, "born": int(words[19])})


def ended_process() -> Process:
    """One of this machine that has run and is gone."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        process = process_of(child.pid)
        assert not process.ended()
        assert child.stdin
        child.stdin.close()
        child.wait()
    return process


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_lease_that_nobody_has_is_taken_in_one_request(store: MemoryStore) -> None:
    one = Host(store, "one")
    assert one.lease.take() is None
    assert store.requests == [f"put {KEY}"]
    assert not one.lease.inherited
    found = stored(store)
    assert (found.state, found.attempt, found.epoch, found.beat) == ("held", "one-0", 1, 0)
    assert (found.process, found.started) == (HERE, NOON)


def test_who_comes_second_is_told_who_has_it(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    holder = two.lease.take()
    assert holder
    assert (holder.attempt, holder.process.host) == ("one-0", "elsewhere")
    assert stored(store).attempt == "one-0"


def test_a_released_lease_is_taken_with_the_next_epoch(store: MemoryStore) -> None:
    one, two = Host(store, "one"), Host(store, "two")
    one.lease.take()
    one.lease.release()
    assert (stored(store).state, KEY in store.contents) == ("released", True)
    assert two.lease.take() is None
    assert two.lease.inherited
    assert (stored(store).attempt, stored(store).epoch) == (two.lease.attempt, 2)


def test_each_change_of_hands_has_an_attempt_of_its_own(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    assert two.lease.take() is not None
    one.lease.release()
    assert two.lease.take() is None
    assert two.lease.attempt == "two-1"


def test_a_lease_that_beats_is_never_taken(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    for beat in range(1, 20):
        assert two.lease.take() is not None
        two.clock.now += TTL / 2
        assert one.lease.renew() is None
        assert stored(store).beat == beat
    assert stored(store).attempt == "one-0"


def test_a_lease_is_stolen_only_after_it_was_seen_unchanged_for_its_whole_time(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    two.clock.now += 10 * TTL
    assert two.lease.take() is not None, "what happened before it looked does not count"
    two.clock.now += TTL
    assert two.lease.take() is not None
    two.clock.now += 1
    assert two.lease.take() is None
    assert (stored(store).attempt, stored(store).epoch) == (two.lease.attempt, 2)


@pytest.mark.parametrize("year", [1970, 2500])
def test_wall_clocks_decide_nothing(store: MemoryStore, year: int) -> None:
    one, two = Host(store, "one", ELSEWHERE, NOON.replace(year=year)), Host(store, "two")
    one.lease.take()
    for _ in range(5):
        assert two.lease.take() is not None
        two.clock.now += TTL / 6


def test_the_lease_of_a_process_of_this_machine_that_is_gone_is_taken_at_once(store: MemoryStore) -> None:
    one, two = Host(store, "one", ended_process()), Host(store, "two")
    one.lease.take()
    assert two.lease.take() is None
    assert stored(store).epoch == 2


def test_the_owner_finds_that_its_lease_is_lost_and_leaves_it_alone(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    two.lease.take()
    two.clock.now += TTL + 1
    two.lease.take()
    holder = one.lease.renew()
    assert holder
    assert holder.attempt == two.lease.attempt
    one.lease.release()
    assert (stored(store).attempt, stored(store).state) == (two.lease.attempt, "held")


def test_of_two_that_steal_at_once_one_has_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = Host(store, "one", ELSEWHERE), Host(store, "two", ELSEWHERE), Host(store, "three")
    one.lease.take()
    two.lease.take()
    three.lease.take()
    two.clock.now += TTL + 1
    three.clock.now += TTL + 1
    swap = store.replace

    def meanwhile(key: str, data: bytes, version: str) -> bool:
        monkeypatch.setattr(store, "replace", swap)
        assert two.lease.take() is None  # between the look and the swap of the other
        return swap(key, data, version)

    monkeypatch.setattr(store, "replace", meanwhile)
    holder = three.lease.take()
    assert holder
    assert holder.attempt == two.lease.attempt == stored(store).attempt
    assert stored(store).epoch == 2


def test_a_beat_after_the_release_does_not_hold_it_again(store: MemoryStore) -> None:
    one = Host(store, "one")
    one.lease.take()
    one.lease.release()
    assert one.lease.renew() is None
    assert stored(store).state == "released"


def test_a_beat_that_comes_between_does_not_keep_it_from_being_released(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Host(store, "one")
    one.lease.take()
    swap = store.replace

    def meanwhile(key: str, data: bytes, version: str) -> bool:
        monkeypatch.setattr(store, "replace", swap)
        one.lease.renew()
        return swap(key, data, version)

    monkeypatch.setattr(store, "replace", meanwhile)
    one.lease.release()
    assert (stored(store).state, stored(store).beat) == ("released", 1)


def test_a_lease_that_somebody_removed_is_made_again(store: MemoryStore) -> None:
    one, two = Host(store, "one", ELSEWHERE), Host(store, "two")
    one.lease.take()
    del store.contents[KEY]
    assert one.lease.renew() is None
    assert stored(store).attempt == "one-0"
    assert two.lease.take() is not None
    del store.contents[KEY]
    assert two.lease.take() is not None  # who had it
    assert two.lease.take() is None
    holder = one.lease.renew()
    assert holder
    assert holder.attempt == two.lease.attempt
    del store.contents[KEY]
    two.lease.release()
    assert KEY not in store.contents


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"[]",
        lambda data: data.replace(b'"one-0"', b'"one-1"'),
        lambda data: sealed({"state": "held"}),
        lambda data: sealed({**Holder.parse(data).model_dump(mode="json"), "attempt": "../../x"}),
        lambda data: sealed(
            {**Holder.parse(data).model_dump(mode="json"), "process": {**HERE.model_dump(), "pid": -1}}
        ),
    ],
)
def test_a_lease_that_cannot_be_read_is_waited_out(store: MemoryStore, damage: Callable[[bytes], bytes]) -> None:
    one, two = Host(store, "one"), Host(store, "two")
    one.lease.take()
    store.contents[KEY] = damage(store.contents[KEY])
    assert two.lease.take() == UNKNOWN
    two.clock.now += TTL + 1
    assert two.lease.take() is None
    assert stored(store).attempt == two.lease.attempt


def test_a_store_that_does_not_answer_is_said_so(store: MemoryStore) -> None:
    one = Host(store, "one")
    store.down = True
    for ask in (one.lease.take, one.lease.renew, one.lease.release):
        with pytest.raises(StoreUnreachable):
            ask()


# Processes ----------------------------------------------------------------------------------------------------------


def test_this_process_lives() -> None:
    assert (HERE.pid, HERE.ended()) == (os.getpid(), False)
    assert HERE.boot
    assert HERE.born > 0


def test_a_process_that_was_killed_and_is_not_yet_reaped_has_ended() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = process_of(child.pid)
    assert not process.ended()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.ended()
    child.wait()


def test_another_process_of_the_same_number_is_another() -> None:
    assert HERE.model_copy(update={"born": HERE.born + 1}).ended()


@pytest.mark.parametrize("boot", ["", "another"])
def test_of_a_process_of_another_machine_nothing_is_known(boot: str) -> None:
    assert not ended_process().model_copy(update={"boot": boot}).ended()


def test_a_process_that_hides_is_not_called_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not HERE.model_copy(update={"born": 1}).ended()
