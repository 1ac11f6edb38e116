"""One spec is run by one executor at a time: who comes second waits, watches, and is given the result.

The lease saves work and never stops any: a store that does not answer, or a lease that was lost, is told, and the run
goes on. Its result is then held against whatever reference there is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executor.errors import ExecutorError, HeldElsewhere
from executor.evidence.record import Record
from executor.facts import Finding
from executor.log import get_logger
from executor.spec.canonical import Digest
from executor.steps.site import Site
from executor.store import layout
from executor.store import lease as leases
from executor.store.lease import Holder, Lease

SHORTEST_S, LONGEST_S = 0.2, 2.0
"""Seconds between two looks of who waits: at first, and later."""


Find = Callable[[Digest], Record | None]
"""Gives the result of a spec that counts, if there is one."""


class Free:
    """An attempt without a lease.

    Such as a rerun: that several hosts repeat one spec at the same time is what people want.
    """

    def __init__(self, attempt: str) -> None:
        self._attempt = attempt

    @property
    def attempt(self) -> str:
        """Id of the attempt that is to run."""
        return self._attempt

    def findings(self) -> tuple[Finding, ...]:
        """What the record should say of the lease."""
        return ()

    def release(self) -> None:
        """Let others run the spec."""


class Held(Free):
    """A spec that is ours to run: its lease is renewed until it is released."""

    def __init__(self, lease: Lease, known: Record | None) -> None:
        self._lease, self._released = lease, threading.Event()
        self._lost: Holder | None = None
        self._beaten = time.monotonic()
        self.known = known
        """The result that there is, also one that came while we waited."""

    @property
    def attempt(self) -> str:
        """Id of the attempt that is to run."""
        return self._lease.attempt

    @property
    def inherited(self) -> bool:
        """Whether others had the lease before: they may have left something."""
        return self._lease.inherited

    def findings(self) -> tuple[Finding, ...]:
        """A warning when somebody else has the lease; the store is asked only when a beat was missed."""
        if time.monotonic() - self._beaten > leases.TTL / 2:
            self._beat()
        if self._lost is None:
            return ()
        return (Finding(
            field="lease", expected="this attempt's to its end", observed=f"taken over by {_who(self._lost)}",
            severity="warn", advice="was this machine suspended? both ran: `executor show` says whether they agree",
        ),)  # fmt: skip

    def release(self) -> None:
        """Let others run the spec, once; when the store does not answer they see for themselves that we are gone."""
        if not self._released.is_set():
            self._released.set()
            _tried(self._lease.release, "released")

    def keep(self) -> None:
        """Renew the lease from now on, in a thread of its own."""
        self._beaten = time.monotonic()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()

    def _renew(self) -> None:
        while not self._lost and not self._released.wait(leases.TTL / 4):
            self._beat()

    def _beat(self) -> None:
        def renew() -> None:
            self._lost = self._lost or self._lease.renew()
            self._beaten = time.monotonic()

        _tried(renew, "renewed")


def _tried(action: Callable[[], None], what: str) -> None:
    try:
        action()
    except ExecutorError as error:
        get_logger("lease").warning(f"the lease is not {what}", problem=error.message)


@contextmanager
def hold(spec_hash: Digest, site: Site, known: Record | None, find: Find, *, wait: bool, force: bool) -> Iterator[Held]:
    """Hold the lease of a spec while inside.

    When others hold it, they are waited for, or until there is a result unless `force`: then it is `known`, and the
    lease need not be ours. Raises `HeldElsewhere` when not to `wait`.
    """
    lease = Lease(site.store, layout.lease(spec_hash), site.new_attempt, site.now)
    held = Held(lease, known)
    try:
        held.known = _result_or_turn(lease, spec_hash, site, find, wait=wait, force=force) or known
        if lease.inherited and held.known is None:
            held.known = find(spec_hash)
        held.keep()
        yield held
    finally:
        held.release()


def _result_or_turn(
    lease: Lease, spec_hash: Digest, site: Site, find: Find, *, wait: bool, force: bool
) -> Record | None:
    """Wait until the spec has a result, or the lease is ours."""
    watch, pause = _Watch(spec_hash, site), SHORTEST_S
    while holder := lease.take():
        if not wait:
            raise _held_elsewhere(spec_hash, holder)
        watch.look(holder)
        time.sleep(pause * _jitter(lease.attempt, pause))
        pause = min(1.5 * pause, LONGEST_S)
        if not force and site.store.reference(spec_hash) and (record := find(spec_hash)):
            watch.look(holder)
            return record
    watch.end()
    return None


def _jitter(attempt: str, pause: float) -> float:
    """Between a half and one, from the random digits of an attempt: those who wait together do not ask together."""
    return 0.5 + int(Digest.of(f"{attempt} {pause}".encode()).hex[:4], 16) / 0x1FFFF


class _Watch:
    """Shows who holds a spec, and what their program prints."""

    def __init__(self, spec_hash: Digest, site: Site) -> None:
        self._hash, self._site = spec_hash, site
        self._attempt, self._segment = "", 0

    def look(self, holder: Holder) -> None:
        """Show what is new."""
        if holder.attempt != self._attempt:
            self._attempt, self._segment = holder.attempt, 0
            self._site.reporter.stage(f"{_who(holder)} runs this spec since {_since(holder)}: waiting for its result")
        for piece in self._site.store.log_segments(self._hash, holder.attempt, self._segment):
            self._site.reporter.log(piece)
            self._segment += 1

    def end(self) -> None:
        """Say that nobody holds it any more, if somebody did."""
        if self._attempt:
            self._site.reporter.stage("the spec is free")


def _who(holder: Holder) -> str:
    return f"{holder.process.host} (process {holder.process.pid}, attempt {holder.attempt})"


def _since(holder: Holder) -> str:
    return f"{holder.started:%Y-%m-%d %H:%M:%S} UTC"


def _held_elsewhere(spec_hash: Digest, holder: Holder) -> HeldElsewhere:
    return HeldElsewhere(
        f"{spec_hash.hex[:12]}: {_who(holder)} runs this spec since {_since(holder)}",
        holder={
            "host": holder.process.host, "pid": holder.process.pid, "attempt": holder.attempt,
            "since": holder.started.isoformat(),
        },
        advice=f"wait for it without --no-wait; `executor logs -f {spec_hash.hex[:12]}` shows what it prints",
    )  # fmt: skip
