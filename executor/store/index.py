"""The index of a store: a table of all its runs in one SQLite file on this machine, made for questions about columns.

It is a cache: deleted at no loss, and never the truth. Columns lie in blocks of Arrow arrays (`columns`), so that a
question reads the columns that it names and nothing else; SQLite keeps many readers and writers apart, and every reader
sees whole runs only. `benchmarks/README.md` says what this was measured against.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from executor.errors import DiskFailed
from executor.store import arrays
from executor.store.arrays import Array, Damaged
from executor.store.changes import Key
from executor.store.view import BLOCK, DIGEST, Batch, View, count

FORMAT = 1
"""Another one whenever the file is laid out otherwise: one of before is made anew."""
_TABLES = """
CREATE TABLE run (place INTEGER PRIMARY KEY, spec BLOB NOT NULL, attempt TEXT NOT NULL, UNIQUE (spec, attempt));
CREATE TABLE file (digest BLOB, place INTEGER, PRIMARY KEY (digest, place)) WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (name, kind));
CREATE TABLE block (number INTEGER, name INTEGER, data BLOB NOT NULL, PRIMARY KEY (number, name));
CREATE TABLE waiting (spec BLOB, attempt TEXT, since TEXT, problem TEXT, PRIMARY KEY (spec, attempt)) WITHOUT ROWID;
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_NOT_OURS = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR")
"""Errors of which a new file would be no better."""


class Entry(Protocol):
    """One attempt as it goes into the index."""

    @property
    def values(self) -> Mapping[str, Any]:
        """What is known of it, by name; `spec` (64 hex digits) and `attempt` say which it is."""
        ...

    @property
    def digests(self) -> Sequence[str]:
        """Digests of its files, 64 hex digits each."""
        ...


def batch_of(entries: Sequence[Entry]) -> Batch:
    """Attempts as columns."""
    digests = [[bytes.fromhex(digest)[:DIGEST] for digest in one.digests] for one in entries]
    return Batch(arrays.gather([one.values for one in entries]), digests)


class Waiting(NamedTuple):
    """An attempt that was announced and could not be read yet."""

    key: Key
    since: str
    """Where in the feed it was announced."""
    problem: str
    """What is wrong with its record; empty when it is not there yet."""


@dataclass(frozen=True)
class Index:
    """One index file. Each call opens it, so that several processes and threads can use it at a time.

    Every call raises `Damaged` for a file that must be made anew.
    """

    path: Path
    rows: int
    """Version of what the rows hold; a file with those of another one must be made anew."""

    def discard(self) -> None:
        """Delete the file once nobody has it open: it will be made anew."""
        with self._held(fcntl.LOCK_EX):  # else a new file could meet the write-ahead log of the old one
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def add(self, batch: Batch) -> int:
        """Add attempts, those that are there already left out; returns how many are new. All of them or none."""
        with self._writing() as database:
            keys = batch.keys
            fresh = [at for key, at in {key: at for at, key in enumerate(keys)}.items() if _absent(database, key)]
            start = count(database)
            rows = [(place, *_stored(keys[at])) for place, at in enumerate(fresh, start)]
            files = {(digest, place) for place, at in enumerate(fresh, start) for digest in batch.digests[at]}
            database.executemany("INSERT INTO run VALUES (?, ?, ?)", rows)
            database.executemany("INSERT INTO file VALUES (?, ?)", sorted(files))
            _append(database, start, batch.chosen(fresh).columns, len(fresh))
            if database.execute("SELECT 1 FROM waiting LIMIT 1").fetchone():
                database.executemany("DELETE FROM waiting WHERE spec = ? AND attempt = ?", map(_stored, keys))
            return len(fresh)

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of these attempts that are not in the index."""
        with self._reading() as database:
            return [key for key in dict.fromkeys(keys) if _absent(database, key)]

    def wait_for(self, found: Iterable[Waiting]) -> None:
        """Remember attempts that could not be read."""
        rows = [(*_stored(one.key), one.since, one.problem) for one in found]
        with self._writing() as database:
            database.executemany("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)", rows)

    def forget(self, keys: Iterable[Key]) -> None:
        """No longer wait for these attempts."""
        with self._writing() as database:
            database.executemany("DELETE FROM waiting WHERE spec = ? AND attempt = ?", map(_stored, keys))

    def waiting(self) -> list[Waiting]:
        """Attempts that could not be read so far."""
        with self._reading() as database:
            rows = database.execute("SELECT spec, attempt, since, problem FROM waiting").fetchall()
            return [Waiting(Key(spec.hex(), attempt), since, problem) for spec, attempt, since, problem in rows]

    def note(self, key: str) -> str:
        """What was noted under a key; empty when nothing was."""
        with self._reading() as database:
            row = database.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
            return str(row[0]) if row else ""

    def put_note(self, key: str, value: str) -> None:
        """Note something in the place of what was noted."""
        with self._writing() as database:
            database.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    @contextmanager
    def view(self) -> Iterator[View]:
        """All runs as they are now; whatever is added meanwhile is not seen."""
        with self._reading() as database:
            yield View(database)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("BEGIN")
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("PRAGMA cache_size = -100000")  # KiB: keys come in any order
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")

    @contextmanager
    def _held(self, how: int) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, how)
            yield

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._held(fcntl.LOCK_SH), closing(
                sqlite3.connect(self.path, timeout=60, isolation_level=None)
            ) as database:  # fmt: skip
                self._prepare(database)
                yield database
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "").startswith(_NOT_OURS):
                raise DiskFailed(f"{self.path}: {error}", advice="check this disk, and who may write there") from error
            raise Damaged(str(error)) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Lay out a new file; `Damaged` for one of another version."""
        wanted = FORMAT * 1000 + self.rows
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, wanted):
            raise Damaged(f"it has version {version}, not {wanted}")
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose what came last, which is read again
        if version == wanted:
            return
        database.execute("PRAGMA page_size = 8192")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() == (0,):  # else somebody was faster
            for statement in _TABLES.strip().split("\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {wanted}")
        database.execute("COMMIT")


def _stored(key: Key) -> tuple[bytes, str]:
    return bytes.fromhex(key.spec), key.attempt


def _absent(database: sqlite3.Connection, key: Key) -> bool:
    query = "SELECT 1 FROM run WHERE spec = ? AND attempt = ?"
    return database.execute(query, _stored(key)).fetchone() is None


def _append(
    database: sqlite3.Connection, start: int, added: Mapping[tuple[str, str], Array], length: int
) -> None:  # fmt: skip
    """Write rows from the place `start` on into their blocks; what the last block holds already comes first in it."""
    ids = {(name, kind): number for number, name, kind in database.execute("SELECT id, name, kind FROM name")}
    for key in sorted(added.keys() - ids.keys(), key=lambda key: (added[key].null_count, key)):  # the commonest first
        ids[key] = int(database.execute("INSERT INTO name (name, kind) VALUES (?, ?)", key).lastrowid or 0)
    kinds = {number: kind for (_, kind), number in ids.items()}
    new = {ids[key]: array for key, array in added.items()}
    taken = 0
    while taken < length:
        number, held = divmod(start + taken, BLOCK)
        more = min(BLOCK - held, length - taken)
        there = dict(database.execute("SELECT name, data FROM block WHERE number = ?", (number,))) if held else {}
        for one in new.keys() | there.keys():
            before = arrays.decode(there[one]) if one in there else arrays.nothing(kinds[one], held)
            after = new[one][taken : taken + more] if one in new else arrays.nothing(kinds[one], more)
            whole = arrays.joined([before, after])
            if whole.null_count < len(whole):
                row = (number, one, arrays.encode(whole))
                database.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", row)
        taken += more
