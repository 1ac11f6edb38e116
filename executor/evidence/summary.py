"""What a sweep found: a row for each point with its metrics over all seeds, and the best of them. Pure: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from executor.evidence.interval import Estimate, estimate
from executor.facts import Fact
from executor.spec.canonical import canonical_bytes

Direction = Literal["maximize", "minimize"]
State = Literal["succeeded", "failed", "interrupted", "refused"]


class Run(Fact):
    """What came of one point with one seed."""

    values: dict[str, Any]
    """The parameters that vary, by name such as `params.lr`."""
    seed: int
    spec_hash: str
    """64 hex digits."""
    status: State
    """`refused` when nothing ran: the environment, the store or the engine did not allow it."""
    cached: bool = False
    """True when the store answered."""
    attempt: str | None = None
    """None when nothing was recorded."""
    exit_code: int | None = None
    """Of the program."""
    reason: str = ""
    """Why it gave no result."""
    code: int = 0
    """Exit code that this run alone would have ended with."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Final values."""
    runtime_s: float | None = None
    store: str | None = None
    """Where the attempt is."""


class Row(Fact):
    """A point with all of its seeds."""

    values: dict[str, Any]
    """The parameters that vary, by name."""
    spec_hashes: tuple[str, ...]
    """One for each seed."""
    failed: int
    """How many of them gave no result."""
    metrics: dict[str, Estimate]
    """Final values over the seeds that gave a result."""


class Summary(Fact):
    """A sweep as a whole, as far as it came."""

    file: str
    total: int
    """Runs that were asked for, at most: a sampler can choose a point twice."""
    done: int
    """How many ran now and gave a result."""
    cached: int
    """How many the store answered."""
    failed: int
    left: int
    """How many were not begun."""
    metric: str | None
    """What the best point is the best at."""
    direction: Direction | None
    best: Row | None
    rows: tuple[Row, ...]
    """In the order of the file, or of the sampler."""
    runs: tuple[Run, ...]
    sampler: str | None = None
    """Who chose the points, with its version."""


def rows(runs: Iterable[Run]) -> tuple[Row, ...]:
    """A row for each point, in the order of its first run; a spec that a sampler chose twice counts once."""
    points: dict[bytes, dict[str, Run]] = {}
    for run in runs:
        points.setdefault(canonical_bytes(run.values), {}).setdefault(run.spec_hash, run)
    return tuple(_row(list(of_point.values())) for of_point in points.values())


def _row(runs: Sequence[Run]) -> Row:
    whole = [run.metrics for run in runs if run.status == "succeeded"]
    names = dict.fromkeys(name for metrics in whole for name in metrics)
    return Row(
        values=runs[0].values,
        spec_hashes=tuple(run.spec_hash for run in runs),
        failed=len(runs) - len(whole),
        metrics={name: estimate([metrics[name] for metrics in whole if name in metrics]) for name in names},
    )


def best(found: Iterable[Row], metric: str, direction: Direction) -> Row | None:
    """The row whose mean is best, the first of equals; NaN never is.

    A point all of whose seeds have the metric goes before one that lost some: the lost ones may have been its worst.
    """
    ordered = ranked(found, metric, direction)
    return ordered[0] if ordered and _judged(ordered[0], metric) else None


def ranked(found: Iterable[Row], metric: str, direction: Direction) -> list[Row]:
    """Rows from the best to the worst, those that lost seeds after the whole ones, those without a number last."""
    sign = -1 if direction == "maximize" else 1

    def key(row: Row) -> tuple[int, float]:
        if not _judged(row, metric):
            return 2, 0.0
        return int(row.metrics[metric].n < len(row.spec_hashes)), sign * row.metrics[metric].mean

    return sorted(found, key=key)


def _judged(row: Row, metric: str) -> bool:
    return metric in row.metrics and not math.isnan(row.metrics[metric].mean)
