"""The curves of some runs: one series of each, thinned to what a picture needs."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from executor.errors import ExecutorError, NotFound
from executor.evidence import metric_lines
from executor.evidence.record import Record
from executor.evidence.series import SeriesWriter, Stretch, Tally, known, read
from executor.evidence.smoothing import smoothed
from executor.evidence.thinning import Axis, Point, thinned
from executor.store.interface import Store
from executor.store.transfer import in_threads

MOST_POINTS = 40_000
"""Points of all curves of one picture."""
FEWEST, MOST = 60, 1_500
"""Points of one curve."""
LARGEST = 512 << 20
"""Bytes of the largest table that is read."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Curve:
    """One series of one run."""

    run: int
    """Which of the runs, from 0."""
    points: tuple[Point, ...]
    """In the order in which they were written; wall times are seconds since the first of them."""
    total: int
    """How many points it has before it is thinned."""


def curves(
    store: Store, records: Sequence[Record], metric: str, axis: Axis = "step", smooth: float = 0
) -> tuple[list[Curve], list[str]]:
    """The curves of a metric, of the runs that have it, and why others that should have it have none.

    `smooth` is the weight of `evidence/smoothing.py`. A curve has fewer points the more there are.
    """
    most = max(FEWEST, min(MOST, MOST_POINTS // max(1, len(records))))
    look = partial(_curve, store, metric=metric, axis=axis, smooth=smooth, most=most)
    found = in_threads(lambda one: look(*one), list(enumerate(records)), _AT_ONCE)
    return [one for one in found if isinstance(one, Curve)], [one for one in found if isinstance(one, str)]


def _curve(
    store: Store, run: int, record: Record, *, metric: str, axis: Axis, smooth: float, most: int
) -> Curve | str | None:
    """None when the run has no such series."""
    if metric not in record.metrics:
        return None
    key = f"series of {record.spec_hash.hex[:12]}/{record.attempt}"
    try:
        table = table_of(store, record)
        series = known(io.BytesIO(table), key).get(metric)
        if series is None:
            return None
        points = thinned(lambda: smoothed(_stretches(table, key, metric), smooth), most, axis)
    except NotFound:
        return f"{key}: the store lost them"
    except ExecutorError as error:
        return error.message
    return Curve(run, tuple(_from_start(points, axis)), series.points) if points else None


def _stretches(table: bytes, key: str, metric: str) -> Iterator[Stretch]:
    return (stretch for _, stretch in read(io.BytesIO(table), key, metric))


def _from_start(points: Sequence[Point], axis: Axis) -> Iterable[Point]:
    """Wall times of two runs share no axis: each is counted from its own first point."""
    start = min(point.x for point in points) if axis == "wall_time" else 0
    return (point._replace(x=point.x - start) for point in points)


def table_of(store: Store, record: Record) -> bytes:
    """The series of a run, a Parquet table; those of a record of before are read from its metrics files.

    Raises `NotFound` when it has none, or the store lost them.
    """
    if record.series:
        return store.read_blob(record.series.digest, LARGEST)
    files = [file for file in record.outputs if file.role == "metrics"]
    if not files:
        raise NotFound(f"{record.spec_hash.hex[:12]}/{record.attempt}: it left no series")
    sink = io.BytesIO()
    with SeriesWriter(sink, tally := Tally()) as writer:
        for file in files:
            for columns in metric_lines.columns(io.BytesIO(store.read_blob(file.digest, LARGEST)), tally):
                writer.take(columns)
    return sink.getvalue()
