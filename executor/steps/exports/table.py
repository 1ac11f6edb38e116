"""Runs as a table with a row for each and all columns: what CSV and Parquet are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from executor.evidence.record import Record
from executor.evidence.row import FIELDS, row
from executor.steps.finding.indexing import ANNOUNCED
from executor.steps.finding.search import meant
from executor.store import columns
from executor.store.index import batch_of
from executor.store.view import Batch, View

_TOGETHER = 4_096
"""Rows of a table that are held as Python's values at a time."""


def found(view: View, text: str, now: datetime) -> Batch:
    """Every run of an index that an expression is true of, the newest first; raises `QueryError`."""
    mask, _ = meant(view, text, now)
    order = [(view.column("created").numbers(), "descending")]
    return _told(view.batch(columns.leading(mask, order, columns.total(mask))))


def of(records: Sequence[Record]) -> Batch:
    """These runs, in this order."""
    return _told(batch_of([row(record) for record in records]))


def _told(batch: Batch) -> Batch:
    """Without what the index keeps for itself."""
    return Batch({key: one for key, one in batch.columns.items() if key[0] != ANNOUNCED}, batch.digests)


def names(batch: Batch) -> list[str]:
    """Names of the columns: spec and attempt, the other fields in their order, then families by name."""
    there = {name for name, _ in batch.columns}
    first = [name for name in dict.fromkeys(("spec", "attempt", *FIELDS)) if name in there]
    return [*first, *sorted(there.difference(first))]


def rows(batch: Batch) -> Iterator[dict[str, Any]]:
    """What each run has, by name; moments are microseconds since 1970."""
    for start in range(0, len(batch.digests), _TOGETHER):
        some: list[dict[str, Any]] = [{} for _ in batch.digests[start : start + _TOGETHER]]
        for (name, kind), array in batch.columns.items():
            for one, value in zip(some, array[start : start + _TOGETHER].to_pylist(), strict=True):
                if value is not None:
                    one[name] = json.loads(value) if kind == "json" else value
        yield from some
