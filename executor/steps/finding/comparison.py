"""A comparison as JSON and as a table for spreadsheets: what the command line and the dashboard give alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from executor.evidence.held import ABSENT, Held
from executor.evidence.record import Record
from executor.evidence.versus import Delta, Row, Versus
from executor.steps.finding.sheet import lines, plain_value
from executor.steps.finding.versus import CodeChange


def rows_of(found: Versus, *, everything: bool) -> tuple[Row, ...]:
    """The fields that are told."""
    return found.rows if everything else found.differing


def as_json(found: Versus, baseline: int, code: Sequence[CodeChange], *, everything: bool) -> dict[str, Any]:
    """The comparison as one document: an absent value is null, and its run is named under `missing`."""
    return {
        "runs": [{"spec_hash": one.spec_hash.hex, "attempt": one.attempt, "name": one.hints.name,
                  "status": one.status} for one in found.records],
        "baseline": baseline,
        "rows": [_row(row, baseline) for row in rows_of(found, everything=everything)],
        "hidden": 0 if everything else found.hidden,
        "code": [asdict(change) for change in code],
    }  # fmt: skip


def _row(row: Row, baseline: int) -> dict[str, Any]:
    return {
        "group": row.group, "name": row.name, "differs": row.differs, "values": list(map(_plain, row.values)),
        "missing": [at for at, value in enumerate(row.values) if value is ABSENT],
        "deltas": [delta and {name: plain_value("", value) for name, value in asdict(delta).items()}
                   for delta in row.deltas(baseline)],
    }  # fmt: skip


def as_csv(found: Versus, baseline: int, *, everything: bool) -> str:
    """A line for each field: its group and name, what each run has, and how far it is from the baseline."""
    runs = list(map(title, found.records))
    others = [at for at in range(len(runs)) if at != baseline]
    head = ["group", "field", *runs, *(f"{runs[at]} minus {runs[baseline]}" for at in others)]
    return lines(head, (
        [row.group, row.name, *map(_plain, row.values), *(_absolute(row.deltas(baseline)[at]) for at in others)]
        for row in rows_of(found, everything=everything)
    ))  # fmt: skip


def title(record: Record) -> str:
    """A run in one word and its hash."""
    return f"{record.hints.name} {record.spec_hash.hex[:12]}/{record.attempt}"


def _plain(value: Held) -> Any:
    return None if value is ABSENT else plain_value("", value)


def _absolute(delta: Delta | None) -> float | None:
    return delta.absolute if delta else None
