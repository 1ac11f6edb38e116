"""The index of a store is brought up to date, and asked. It can be deleted at any time: it is made anew from the store.

What is new is found in the feed of the store; a store without one is listed whole. Records are read as everywhere, by
their seals; one that cannot be read is remembered, told each time, and tried again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from executor.errors import CorruptObject, DiskFailed, ExecutorError, NotFound, count
from executor.evidence.row import ROW_VERSION, Row, row
from executor.log import get_logger
from executor.spec.canonical import Digest
from executor.steps.home import Home
from executor.steps.keeping import inventory
from executor.store import columns
from executor.store.arrays import Damaged
from executor.store.changes import START, Key, announced, earlier
from executor.store.index import Index, Waiting, batch_of
from executor.store.interface import Store
from executor.store.transfer import in_threads
from executor.store.view import View

T = TypeVar("T")
SHARE_FROM = 5_000
"""Whoever has read so many records one by one keeps what came of it in the store, for others."""
PATIENCE = timedelta(days=2)
"""How long a record is waited for that was announced: whoever announced it is gone by then."""
MARGIN = timedelta(hours=1)
"""How long an hour of the feed must be over before it is counted on to be complete."""
ANNOUNCED = ".announced"
"""Under this name, which nobody can ask for, an index keeps the hour in which a run was announced."""
_AT_ONCE, _TOGETHER, _TELL_FROM = 16, 2_000, 500


def index_at(home: Home, store: Store, rows: int, ending: str = "") -> Index:
    """The index of a store in the executor's folder: a file for each, and for each kind of rows."""
    name = Digest.of(store.place.encode()).hex[:16]
    return Index(home.root / "index" / f"{name}{ending}.sqlite", rows)


@dataclass(frozen=True)
class Shelf(ABC):
    """Something of a store, and its index on this machine, which is brought up to date before it is asked."""

    store: Store
    index: Index
    tell: Callable[[str], None]
    """Is told what takes a while, and what was wrong."""

    @abstractmethod
    def refresh(self) -> int:
        """Take in what is new; returns how many that were. Raises `Damaged` when only a new index would do."""

    def ask(self, question: Callable[[View], T]) -> T:
        """Bring the index up to date and put a question to it; one that is damaged is made anew first."""
        try:
            return self._ask(question)
        except Damaged as error:
            self.tell(f"the index of {self.store.url} is made anew: {error}")
            self.index.discard()
        try:
            return self._ask(question)
        except Damaged as error:
            raise DiskFailed(f"{self.index.path}: {error}", advice="check this disk") from error

    def _ask(self, question: Callable[[View], T]) -> T:
        self.refresh()
        with self.index.view() as view:
            return question(view)

    def _count(self) -> int:
        with self.index.view() as view:
            return view.count


@dataclass(frozen=True)
class Library(Shelf):
    """The runs of a store."""

    @classmethod
    def of(cls, store: Store, home: Home, tell: Callable[[str], None]) -> Library:
        """The index of a store on this machine."""
        return cls(store, index_at(home, store, ROW_VERSION), tell)

    def problems(self) -> list[Waiting]:
        """Attempts whose records are wrong: no answer counts them."""
        return [one for one in self.index.waiting() if one.problem]

    def rebuild(self) -> int:
        """Make the index anew from the records alone, whatever others have kept; returns how many runs there are."""
        self.index.discard()
        return self.refresh(borrow=False)

    def refresh(self, *, borrow: bool = True) -> int:
        """Take in what is new; returns how many runs that were. Raises `Damaged` when only a new index would do."""
        if borrow and not self.index.note("cursor") and not self._count():
            self._borrow()
        cursor, last = self.index.note("cursor"), self.index.note("last")
        changes = announced(self.store, cursor)
        wanted = {one.key: one.since for one in self.index.waiting()} | {one.key: one.hour for one in changes}
        if last and Key(*last.split()) not in wanted:
            raise Damaged("the store no longer has what was read of it")
        if not cursor:
            wanted = dict.fromkeys(self._listed(), "") | wanted
        new = self._take_in([(key, wanted[key]) for key in self.index.missing(wanted)])
        if changes and " ".join(changes[-1].key) != last:
            self.index.put_note("last", " ".join(changes[-1].key))
            self.index.put_note("cursor", changes[-1].hour)
            self._give_up(changes[-1].hour)
            if new >= SHARE_FROM:
                self._share(changes[-1].hour)
        return new

    def _listed(self) -> list[Key]:
        """Every attempt that has a record, of a store whose feed has not been read yet, or that has none."""
        before = self._count()
        listed = [Key(run.spec_hash.hex, attempt.name) for run in inventory.runs(self.store)
                  for attempt in run.attempts.values() if attempt.finished]  # fmt: skip
        if len(listed) - len(self.index.missing(listed)) < before:
            raise Damaged("the store no longer has what was read of it")
        return listed

    def _take_in(self, wanted: list[tuple[Key, str]]) -> int:
        """Read records and add them, some thousands at a time: what is interrupted goes on there."""
        if len(wanted) >= _TELL_FROM:
            self.tell(f"reading {count(len(wanted), 'run')} of {self.store.url}")
        new = 0
        for start in range(0, len(wanted), _TOGETHER):
            found = in_threads(self._read, wanted[start : start + _TOGETHER], _AT_ONCE)
            new += self.index.add(batch_of([one for one in found if isinstance(one, Row)]))
            if waiting := [one for one in found if isinstance(one, Waiting)]:
                self.index.wait_for(waiting)
        return new

    def _read(self, wanted: tuple[Key, str]) -> Row | Waiting:
        from executor.steps.history import read  # records take a while to import: only when there is a new one

        key, since = wanted
        try:
            found = row(read(self.store, Digest(key.spec), key.attempt))
            return replace(found, values={**found.values, ANNOUNCED: since.replace("/", "")}) if since else found
        except NotFound:
            return Waiting(key, since, "")
        except CorruptObject as error:
            return Waiting(key, since, error.message)
        except (ValueError, TypeError, AttributeError, KeyError) as error:  # sealed, and yet no record of ours
            return Waiting(key, since, f"{self.store.attempt_url(Digest(key.spec), key.attempt)}: {error}")

    def _give_up(self, hour: str) -> None:
        """No longer wait for records that were announced long before `hour` and never came."""
        oldest = earlier(hour, PATIENCE)
        gone = [one.key for one in self.index.waiting() if not one.problem and one.since < oldest]
        if gone:
            self.index.forget(gone)

    # Snapshots ----------------------------------------------------------------------------------------------------

    def _borrow(self) -> None:
        """Begin with what others have kept of the store; what cannot be used is read record by record."""
        from executor.store import snapshots  # Parquet takes a while to import

        for segment in snapshots.chain(self.store, self.index.rows):
            self.tell(f"reading the index that {self.store.url} keeps: {count(segment.runs, 'run')}")
            try:
                for batch in snapshots.read(self.store, segment, self.index.rows):
                    self.index.add(batch)
            except (ValueError, NotFound) as error:
                get_logger("indexing").warning("a part of the index cannot be used", problem=str(error))
                return
            self.index.put_note("cursor", f"{segment.until[:8]}/{segment.until[8:]}")

    def _share(self, hour: str) -> None:
        """Keep in the store what was read one by one; small segments are merged into larger ones."""
        try:
            with self.index.view() as view:
                self._write(view, earlier(hour, MARGIN).replace("/", ""))
        except ExecutorError as error:  # such as a reader who may not write
            get_logger("indexing").warning("the index is not shared", problem=error.message)

    def _write(self, view: View, until: str) -> None:
        from executor.store import snapshots

        segments = snapshots.chain(self.store, self.index.rows)
        start = segments[-1].until if segments else START
        runs = len(_stretch(view, start, until))
        if runs < SHARE_FROM:
            return
        while segments and segments[-1].runs <= 2 * runs:
            start, runs = segments[-1].start, runs + segments.pop().runs
        snapshots.write(self.store, view.batch(_stretch(view, start, until)), start, until, self.index.rows)


def _stretch(view: View, start: str, until: str) -> list[int]:
    """Runs that were announced from one hour on and before another; from the very start also those that never were."""
    announced_at = view.column(ANNOUNCED)
    late = announced_at.compare(">=", until)
    if start == START:
        return columns.places(columns.opposite(late))
    return columns.places(columns.both(announced_at.compare(">=", start), columns.opposite(late)))
