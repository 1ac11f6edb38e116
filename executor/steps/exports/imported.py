"""Runs of other trackers, kept as history: beside our runs, under keys and in an index of their own.

    v1/imported/<source>/<id>/run.json              what the tracker said of a run, sealed
    v1/imported/<source>/<id>/<sha256>.parquet      every point of its metrics

Nothing here vouches for them. They have no spec, no record and no reference: no command that runs, compares, verifies
or ranks ever reads them. The id is a digest of where they came from, so that each comes once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from executor.errors import CorruptObject
from executor.evidence.row import Row, flat, microseconds
from executor.facts import Fact
from executor.spec.canonical import Digest, canonical_bytes, sealed, unsealed
from executor.spec.scalars import DigestField
from executor.steps.finding.indexing import Shelf, index_at
from executor.steps.home import Home
from executor.store import layout
from executor.store.arrays import Damaged
from executor.store.changes import Key
from executor.store.index import batch_of
from executor.store.interface import Store
from executor.store.transfer import in_threads

ROWS = 1
"""Another one whenever rows of the same run come out otherwise."""
_AT_ONCE, _TOGETHER = 16, 2_000


class Imported(Fact):
    """One run of another tracker, as it said."""

    version: Literal[1] = 1
    source: str
    """Which tracker: `mlflow`."""
    place: str
    """Its URL, without user and password."""
    experiment: str
    run_id: str
    """As it is called there."""
    name: str
    status: str
    """In the tracker's own words, such as `FINISHED`."""
    user: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    params: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    """Final values."""
    tags: dict[str, str] = Field(default_factory=dict)
    artifacts: dict[str, int] = Field(default_factory=dict)
    """Path and bytes of each file, which stay where they are."""
    artifacts_at: str = ""
    """Where that is."""
    artifacts_problem: str = ""
    """Why they are not all named; empty when they are."""
    series: DigestField | None = None
    """Digest of the table of every point; none when there is none."""
    imported: datetime
    """When it was brought here, UTC."""
    imported_by: str
    executor: str
    """Version of the program that did."""

    @property
    def id(self) -> Digest:
        """What it is kept under: no spec hash, and never the same as one."""
        return identity(self.source, self.place, self.run_id)

    def to_json(self) -> bytes:
        """The bytes that are stored, sealed."""
        return sealed(json.loads(self.model_dump_json()))

    @classmethod
    def from_json(cls, data: bytes, key: str) -> Imported:
        """Read stored bytes; raises `CorruptObject` for what is none, is changed, or lies under another key."""
        body, expected, observed = unsealed(data)
        if expected is None or expected != observed:
            raise CorruptObject(key, expected=f"an imported run with {expected}", observed=str(observed))
        try:
            found = cls.model_validate_json(body)
        except ValidationError as error:
            raise CorruptObject(
                key, expected="an imported run", observed=f"{error.error_count()} wrong fields"
            ) from error
        if not key.endswith(layout.imported(found.source, found.id)):
            raise CorruptObject(key, expected="the run of its key", observed=f"{found.place}, run {found.run_id}")
        return found


def identity(source: str, place: str, run_id: str) -> Digest:
    """One digest for one run of one tracker."""
    return Digest.of(b"executor/imported/v1\n" + canonical_bytes([source, place, run_id]))


def known(store: Store, source: str) -> set[Digest]:
    """The runs of a tracker that are here."""
    found = (one.key.removesuffix("/run.json") for one in store.objects(f"{layout.IMPORTED}/{source}/")
             if one.key.endswith("/run.json"))  # fmt: skip
    return {Digest(key.rpartition("/")[2]) for key in found}


def keep(store: Store, run: Imported, table: Path | None) -> None:
    """Keep a run: its points first, what is said of it last; what is there already stays."""
    if table and run.series:
        store.create(layout.imported_series(run.source, run.id, run.series), table.read_bytes())
    store.create(layout.imported(run.source, run.id), run.to_json())


def read(store: Store, source: str, name: Digest) -> Imported:
    """One run; raises `NotFound`, `CorruptObject`."""
    key = layout.imported(source, name)
    return Imported.from_json(store.read(key), f"{store.url}/{key}")


def row(run: Imported) -> Row:
    """What can be asked of it. Its id stands where runs of ours have a spec hash, its source where they have an id."""
    return Row(run.id.hex, run.source, {name: value for name, value in _values(run) if value not in (None, "")})


def _values(run: Imported) -> Iterator[tuple[str, Any]]:
    yield from (("spec", run.id.hex), ("attempt", run.source), ("source", run.source), ("place", run.place))
    yield from (("name", run.name), ("group", run.experiment), ("run_id", run.run_id), ("ended", run.status))
    yield from (("submitter", run.user), ("imported_by", run.imported_by))
    yield "created", microseconds(run.finished or run.started or run.imported)
    if run.started and run.finished:
        yield "runtime_s", (run.finished - run.started).total_seconds()
    for family in ("params", "metrics", "tags"):
        yield from flat(family, getattr(run, family))


@dataclass(frozen=True)
class Imports(Shelf):
    """The imported runs of a store; one that cannot be read is told, and no answer counts it."""

    @classmethod
    def of(cls, store: Store, home: Home, tell: Callable[[str], None]) -> Imports:
        """Their index lies beside that of our runs, a file of its own."""
        return cls(store, index_at(home, store, ROWS, "-imported"), tell)

    def refresh(self) -> int:
        """Take in what is new, and see whether all that was read is still there."""
        listed = [Key(name.hex, source) for source in ("mlflow",) for name in sorted(known(self.store, source))]
        new, taken = self.index.missing(listed), 0
        for start in range(0, len(new), _TOGETHER):
            found = in_threads(self._read, new[start : start + _TOGETHER], _AT_ONCE)
            taken += self.index.add(batch_of([row(run) for run in found if run]))
        if self._count() > len(listed):
            raise Damaged("the store no longer has what was read of it")
        return taken

    def _read(self, key: Key) -> Imported | None:
        try:
            return read(self.store, key.attempt, Digest(key.spec))
        except CorruptObject as error:
            self.tell(error.message)
            return None
