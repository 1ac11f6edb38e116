"""One collector at a time, and publishers that wait for it.

Who publishes writes its intent, waits while a sweep is on that began before, and only then asks what is missing and
sends. Who collects looks at records and intents only after its sweep can be seen. So a sweep either sees an intent, or
is waited for: no blob is removed between the moment that it is counted on and the record. No clocks are compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from executor.errors import HeldElsewhere, NotFound, StoreUnreachable
from executor.log import get_logger
from executor.store import layout
from executor.store.lease import TTL, Holder, Lease
from executor.store.objects import ObjectStore

BEAT_S, LOOK_S = 5.0, 0.2
"""Seconds between two signs of life of a sweep, and between two looks of who waits for its end."""


class Sweep:
    """A sweep that is on, as its collector sees it; `clock` is monotonic, in seconds."""

    def __init__(self, lease: Lease, clock: Callable[[], float]) -> None:
        self._lease, self._clock = lease, clock
        self._beaten, self._lost = clock(), False

    @property
    def holds(self) -> bool:
        """Whether others still wait for us; once False, for ever: they take us for dead after twice that time."""
        if self._clock() - self._beaten > TTL / 2:
            self._lost = True
        return not self._lost

    def beat(self) -> None:
        """Say that we are still there, if we are."""
        if not self.holds:
            return
        now = self._clock()
        try:
            self._lost = self._lease.renew() is not None
        except StoreUnreachable as error:
            get_logger("garbage").warning("the sweep is not renewed", problem=error.message)
        else:
            self._beaten = now


@contextmanager
def sweeping(
    store: ObjectStore, new_attempt: Callable[[], str], now: Callable[[], datetime],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sweep]:  # fmt: skip
    """Be the one who sweeps; raises `HeldElsewhere` when another collector is at work."""
    lease = Lease(store, layout.SWEEP, new_attempt, now, clock)
    _take(lease)
    sweep, done = Sweep(lease, clock), threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            sweep.beat()

    beating = threading.Thread(target=beat, name="sweep", daemon=True)
    beating.start()
    try:
        yield sweep
    finally:
        done.set()
        beating.join()
        try:
            lease.release()
        except StoreUnreachable as error:  # others see for themselves that nothing beats any more
            get_logger("garbage").warning("the sweep is not marked as done", problem=error.message)


def _take(lease: Lease) -> None:
    first = lease.take()
    while first is not None:
        time.sleep(LOOK_S)
        found = lease.take()
        if found is None:
            return
        if found != first:
            raise HeldElsewhere(
                f"{found.process.host} (process {found.process.pid}) collects garbage here now",
                holder={"host": found.process.host, "pid": found.process.pid, "since": found.started.isoformat()},
                advice="wait for its end: one collector is enough",
            )


def wait_for_sweep(store: ObjectStore, clock: Callable[[], float] = time.monotonic) -> None:
    """Return when the sweep that is on now, if any, has ended or is dead; one that begins later is none of ours."""
    seen, since, first = b"", 0.0, ""
    while data := _said(store):
        holder = Holder.parse(data)
        first = first or holder.attempt
        if data != seen:
            seen, since = data, clock()
        if holder.state == "released" or holder.attempt != first or holder.process.ended() or clock() - since > TTL:
            return
        time.sleep(LOOK_S)


def _said(store: ObjectStore) -> bytes:
    try:
        return store.read(layout.SWEEP)
    except NotFound:
        return b""
