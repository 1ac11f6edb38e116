"""What a store can do, tried on it: each capability by what it is for, under a prefix of its own that is removed again.

Servers say that they speak S3 and leave parts of it out in silence: only what was tried is known. Trials that every
store stands are here; a backend adds its own (`ObjectStore.trials`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from executor.errors import NotFound, StoreUnreachable
from executor.facts import Finding, Severity
from executor.log import get_logger
from executor.store import layout
from executor.store.objects import ObjectStore, Seen
from executor.store.transfer import in_threads

WRITERS, ROUNDS = 16, 3
"""Conditional puts at once, and how often, when a store is examined; on first use that `FEW`, once."""
FEW = 3
KEYS = 1001
"""Keys that are listed: one more than a page has."""
_AT_ONCE, _MOST_TRIES, _PATIENCE_S = 32, 200, 30


@dataclass(frozen=True)
class Capability:
    """Something that a store should be able to do."""

    expected: str
    lacking: Severity
    """What it means when the store cannot."""
    advice: str = ""


_CONDITIONS = "use a server that keeps conditions (If-None-Match, If-Match): two runs could both become the reference"
CAPABILITIES: Mapping[str, Capability] = {
    "create": Capability("the second conditional put of a key is refused", "refuse", _CONDITIONS),
    "race": Capability("of conditional puts at the same time exactly one wins", "refuse", _CONDITIONS),
    "swap": Capability("a put in the place of a stale version is refused, and no count is lost", "refuse", _CONDITIONS),
    "checksum": Capability("a put with a wrong checksum is refused and stores nothing", "warn",
                           "what is damaged on its way there is only found when it is read: use another server"),
    "range": Capability("a part of an object is read as asked", "warn", "downloads that break off may not go on"),
    "listing": Capability(f"{KEYS:,} keys are listed, each once", "refuse",
                          "use another server: what is not listed would count as absent"),
    "credentials": Capability("a wrong secret is refused", "warn", "anybody who reaches this server can change it"),
    "multipart": Capability("an upload that is given up leaves nothing", "warn", "look for what takes room there"),
    "delete": Capability("a delete of a stale version is refused", "info"),
    "versioning": Capability("earlier contents are kept", "info"),
    "lock": Capability("objects can be locked", "info"),
}  # fmt: skip
"""By name; the finding of each is `store.<name>`."""
FIRST_USE = ("create", "race", "swap", "checksum", "range")
"""Those that decide whether results are safe: tried before a store is first used."""


@dataclass(frozen=True)
class _Trial:
    store: ObjectStore
    prefix: str
    thorough: bool

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"


def examine(store: ObjectStore, name: str, wanted: Collection[str] = tuple(CAPABILITIES)) -> list[Finding]:
    """One finding for each wanted capability that this kind of store can be asked for; `name` must be new each time.

    Not all `wanted`: fewer writers and rounds. Raises `StoreUnreachable` when the store stops to answer.
    """
    at = _Trial(store, f"{layout.PROBES}/{name}", thorough=len(wanted) == len(CAPABILITIES))
    shared = {known: lambda _, trial=trial: trial(at) for known, trial in _SHARED.items()}
    trials: dict[str, Callable[[str], Seen]] = {**shared, **store.trials()}
    try:
        return [_finding(known, at, trials[known]) for known in CAPABILITIES if known in wanted and known in trials]
    finally:
        _clean(at)


def _finding(name: str, at: _Trial, trial: Callable[[str], Seen]) -> Finding:
    wanted = CAPABILITIES[name]
    try:
        seen = trial(at.prefix)
    except (StoreUnreachable, NotFound) as error:
        at.store.server_time()  # is it this request that it cannot answer, or any?
        seen = Seen(False, f"it failed: {error.message}")
    bad = seen.good is False
    return Finding(field=f"store.{name}", expected=wanted.expected, observed=seen.text,
                   severity=wanted.lacking if bad else "info", advice=wanted.advice if bad else "")  # fmt: skip


def _clean(at: _Trial) -> None:
    try:
        keys = {one.key for one in at.store.objects(f"{at.prefix}/")}
        keys |= {one.key for one in at.store.versions(f"{at.prefix}/")}
        in_threads(at.store.purge, keys, _AT_ONCE)
    except StoreUnreachable as error:
        get_logger("store").warning("what was tried is not removed", prefix=at.prefix, problem=error.message)


def _create(at: _Trial) -> Seen:
    key = at.key("create")
    at.store.put_if_absent(key, b"first")
    taken = at.store.put_if_absent(key, b"second")
    if taken or at.store.read(key) != b"first":
        return Seen(False, "the second put was accepted: the condition is ignored")
    return Seen(True, "refused")


def _race(at: _Trial) -> Seen:
    writers, rounds = (WRITERS, ROUNDS) if at.thorough else (FEW, 1)
    keys = [at.key(f"race-{number}") for number in range(rounds)]
    won = in_threads(lambda key: _winners(at.store, key, writers), keys, rounds)  # side by side: a round can take long
    if max(won) > 1:
        return Seen(False, f"{max(won)} of {writers} puts at the same time were accepted")
    return Seen(True, f"one winner of {writers}" + (f", {rounds} times" if rounds > 1 else ""))


def _winners(store: ObjectStore, key: str, writers: int) -> int:
    """How many of that many puts of one key were accepted; a win whose answer was lost is seen by its bytes."""
    start = threading.Barrier(writers)

    def put(writer: int) -> bool:
        start.wait(_PATIENCE_S)
        return store.put_if_absent(key, b"%d" % writer)

    won = {writer for writer, accepted in enumerate(in_threads(put, range(writers), writers)) if accepted}
    return len(won | {int(store.read(key))})


def _swap(at: _Trial) -> Seen:
    key = at.key("swap")
    at.store.overwrite(key, b"first")
    before = at.store.stat(key)
    if before is None:
        return Seen(False, "what was put is not there")
    if not at.store.replace(key, b"second", before.version):
        return Seen(False, "a put in the place of the version that is there was refused")
    if at.store.put_if_version(key, b"third", before.version) or at.store.read(key) != b"second":
        return Seen(False, "a put in the place of a stale version was accepted: the condition is ignored")
    writers, times = (4, 4) if at.thorough else (2, 2)
    counted = _count(at.store, at.key("count"), writers, times)
    if counted != writers * times:
        return Seen(False, f"{writers * times} increments by {writers} writers came to {counted}")
    return Seen(True, f"refused; {counted} increments by {writers} writers add up")


def _count(store: ObjectStore, key: str, writers: int, times: int) -> int:
    """What a counter comes to when each of several writers increments it some times by swaps."""
    store.overwrite(key, b"0")

    def increment(writer: int) -> None:
        done = 0
        for _ in range(_MOST_TRIES):
            if done == times:
                return
            found = store.stat(key)  # before the read: a version older than what is read is refused
            value = int(store.read(key).split()[0])
            if found and store.replace(key, b"%d by %d, %d" % (value + 1, writer, done), found.version):
                done += 1

    in_threads(increment, range(writers), writers)
    return int(store.read(key).split()[0])


def _listing(at: _Trial) -> Seen:
    keys = [at.key(f"listing/{number:04}") for number in range(KEYS)]
    in_threads(lambda key: at.store.overwrite(key, b""), keys, _AT_ONCE)
    found = sorted(one.key for one in at.store.objects(at.key("listing/")))
    return Seen(found == keys, f"{len(found):,} of {KEYS:,} keys" if len(found) != KEYS else f"{KEYS:,} keys")


_SHARED: Mapping[str, Callable[[_Trial], Seen]] = {
    "create": _create, "race": _race, "swap": _swap, "listing": _listing,
}  # fmt: skip
