"""Who works on something now: one small object that is only ever replaced by compare and swap.

A lease saves work, it protects nothing: which result counts is decided by the conditional put of the reference. No
clocks are compared: a lease is dead when its bytes have not changed for `TTL` seconds of our own monotonic clock, or
when the process that it names ran on this machine and is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from executor.errors import NotFound
from executor.facts import Fact
from executor.spec.canonical import sealed, unsealed
from executor.store import layout
from executor.store.objects import ObjectStore

TTL = 60.0
"""Seconds without a beat after which others may take a lease; its owner beats four times in them."""
_TRIES = 3
"""How often a swap is tried: each failure means that somebody else has just written."""


class Process(Fact):
    """One process of one machine, as long as that machine is up."""

    host: str
    """Name of the machine, for people."""
    boot: str
    """The kernel's id of this start of the machine and of our process numbers; empty when it cannot be told."""
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]
    born: int
    """When it began, in clock ticks since the machine started: a later process of this number has another."""

    @classmethod
    def current(cls) -> Process:
        """The one that asks."""
        pid = os.getpid()
        _, born = _stat(pid)
        return cls(host=os.uname().nodename, boot=_boot(), pid=pid, born=born)

    def ended(self) -> bool:
        """True when it ran on this machine and is gone; False also when that cannot be seen from here."""
        if not self.boot or self.boot != _boot():
            return False
        try:
            os.kill(self.pid, 0)
            state, born = _stat(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # another user's, who may hide it
            return False
        return state in "ZX" or born != self.born


def _boot() -> str:
    """Also of the namespace of process numbers: within a container the same number is another process."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int]:
    """State letter and birth of a process; its name, between parentheses, can hold anything."""
    words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return words[0], int(words[19])


class Holder(Fact):
    """What a lease says."""

    state: Literal["held", "released"]
    attempt: Annotated[str, Field(pattern=f"^{layout.ATTEMPT.pattern}$")]
    """Id of the attempt that runs; random, so it names the owner too."""
    epoch: int
    """One more each time that the lease changes hands."""
    beat: int
    """One more each time that its owner says it is still there."""
    process: Process
    started: datetime
    """When the owner took it, by the owner's clock: for people, nothing is decided by it."""

    def to_json(self) -> bytes:
        """The bytes of the lease."""
        return sealed(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, data: bytes) -> Holder:
        """Read a lease; one that cannot be read is held by nobody knows whom, and waited out like any other."""
        body, expected, observed = unsealed(data)
        try:
            return cls.model_validate_json(body) if expected == observed else UNKNOWN
        except ValidationError:
            return UNKNOWN


UNKNOWN = Holder(
    state="held", attempt="unknown", epoch=0, beat=0, started=datetime.min,  # noqa: DTZ901 - of no zone, and no time
    process=Process(host="an unknown host", boot="", pid=1, born=0),
)  # fmt: skip
"""What is read from a lease that somebody damaged."""


class Lease:
    """The lease at `key`, as one process sees it; `clock` is monotonic, in seconds.

    Every method that asks the store raises `StoreUnreachable` when it does not answer.
    """

    def __init__(
        self, store: ObjectStore, key: str, new_attempt: Callable[[], str], now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._store, self._key = store, key
        self._new_attempt, self._now, self._clock = new_attempt, now, clock
        self._process = Process.current()
        self._seen: bytes | None = None
        self._since = 0.0
        self.attempt = ""
        """The attempt that was last written into the lease, or tried to; empty before the first try."""
        self.inherited = False
        """Whether others had the lease before us: then there may be a result by now."""

    def take(self) -> Holder | None:
        """Take the lease when it is free, released or dead; none when it is ours now, else who has it."""
        if self._seen is None:  # most specs are nobody's: one request
            found = self._begin(self._new_attempt())
            if found is None:
                return None
            self._seen, self._since = found, self._clock()
        holder = Holder.parse(self._seen)
        for _ in range(_TRIES):
            try:
                found, version = self._store.document(self._key)
            except NotFound:  # somebody removed it: the next look begins anew
                self._seen = None
                return holder
            holder = self._look(found)
            if not self._free(holder):
                return holder
            self.inherited = True
            if self._store.replace(self._key, self._ours(self._new_attempt(), holder.epoch + 1), version):
                return None
        return holder

    def renew(self) -> Holder | None:
        """Say that we are still there; gives who has the lease by now when it was taken from us."""
        try:
            found, version = self._store.document(self._key)
        except NotFound:
            taken = self._begin(self.attempt)
            return None if taken is None else Holder.parse(taken)
        holder = Holder.parse(found)
        if holder.attempt != self.attempt:
            return holder
        if holder.state == "held":
            beat = holder.model_copy(update={"beat": holder.beat + 1})
            self._store.replace(self._key, beat.to_json(), version)
        return None

    def release(self) -> None:
        """Let others have it, unless they have it already."""
        for _ in range(_TRIES):
            try:
                found, version = self._store.document(self._key)
            except NotFound:
                return
            holder = Holder.parse(found)
            if holder.attempt != self.attempt or holder.state == "released":
                return
            if self._store.replace(self._key, holder.model_copy(update={"state": "released"}).to_json(), version):
                return

    def _begin(self, attempt: str) -> bytes | None:
        """Make the lease; none when it is ours, else what is there."""
        ours = self._ours(attempt, epoch=1)
        found = self._store.create(self._key, ours)
        return None if found == ours else found

    def _ours(self, attempt: str, epoch: int) -> bytes:
        self.attempt = attempt
        return Holder(state="held", attempt=attempt, epoch=epoch, beat=0, process=self._process,
                      started=self._now()).to_json()  # fmt: skip

    def _look(self, found: bytes) -> Holder:
        if found != self._seen:
            self._seen, self._since = found, self._clock()
        return Holder.parse(found)

    def _free(self, holder: Holder) -> bool:
        return holder.state == "released" or holder.process.ended() or self._clock() - self._since > TTL
