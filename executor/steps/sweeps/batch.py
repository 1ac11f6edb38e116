"""A sweep is run: its points one after the other, each answered from the store when it has succeeded before.

A point that fails is counted, and the next one runs. What is out of reach for one is out of reach for all: there the
sweep ends, and a later start goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from executor.errors import ExecutorError, Interrupted, Unreachable
from executor.evidence.interval import estimate
from executor.evidence.point import label
from executor.evidence.record import Record
from executor.evidence.summary import Run, Summary, best, rows
from executor.spec.model import Spec
from executor.spec.points import Point, Points
from executor.steps.sweeps.sampling import Sampling

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


class Answer(Protocol):
    """What came of a submit."""

    @property
    def record(self) -> Record:
        """The attempt that was stored."""
        ...

    @property
    def cached(self) -> bool:
        """Whether it was in the store and nothing ran."""
        ...

    @property
    def url(self) -> str:
        """Where it is."""
        ...


@dataclass(frozen=True)
class Counts:
    """How far a sweep has come."""

    total: int
    done: int = 0
    """Runs that gave a result now."""
    cached: int = 0
    """Runs that the store, or an earlier point of the sweep, answered."""
    failed: int = 0

    @property
    def left(self) -> int:
        """Runs that were not begun."""
        return self.total - self.done - self.cached - self.failed

    def plus(self, run: Run) -> Counts:
        """The same with one more run."""
        kind = "failed" if run.status != "succeeded" else "cached" if run.cached else "done"
        return replace(self, **{kind: getattr(self, kind) + 1})

    def __str__(self) -> str:
        return f"{self.done} done, {self.cached} cached, {self.failed} failed"


@dataclass
class Batch:
    """Runs the points of one sweep, and keeps what came of them."""

    points: Points
    submit: Callable[[Spec], Answer]
    """Runs one spec, or answers from the store."""
    tell: Callable[[str], None]
    """Takes a line before each run: which it is, and how far the whole is."""
    stopped: Callable[[], bool] = lambda: False
    """Whether the user wants an end; asked after each run."""
    stop_on_failure: bool = False
    """Whether the first run without a result ends the sweep."""
    runs: list[Run] = field(default_factory=list)
    """In the order in which they were asked for."""
    counts: Counts = Counts(0)
    ended: bool = False
    """Whether no further run is to begin."""
    _known: dict[str, Run] = field(default_factory=dict)
    _best: Run | None = None

    def run(self, points: Sequence[Point]) -> list[Run]:
        """Run points until one ends the sweep; a spec that came before has the same answer."""
        begun = len(self.runs)
        for point in points:
            if not self.ended:
                self._take(self._again(point) or self._first(point))
        return self.runs[begun:]

    def summary(self, sampler: str | None = None) -> Summary:
        """All that came of it."""
        asked, found = self.points.sweep.asked.objective, rows(self.runs)
        return Summary(
            file=self.points.sweep.path, total=self.counts.total, done=self.counts.done, cached=self.counts.cached,
            failed=self.counts.failed, left=self.counts.left,
            metric=asked.metric if asked else None, direction=asked.direction if asked else None,
            best=best(found, asked.metric, asked.direction) if asked else None,
            rows=found, runs=tuple(self.runs), sampler=sampler,
        )  # fmt: skip

    def _again(self, point: Point) -> Run | None:
        known = self._known.get(point.spec.hash.hex)
        return known.model_copy(update={"cached": True}) if known and known.status == "succeeded" else known

    def _first(self, point: Point) -> Run:
        self.tell(self._progress(point))
        run = _attempted(self.submit, point)
        self._known[run.spec_hash] = run
        self.ended = (
            run.status == "interrupted"
            or self.stopped()
            or run.code == Unreachable.exit_code
            or (self.stop_on_failure and run.status != "succeeded")
        )
        return run

    def _take(self, run: Run) -> None:
        self.runs.append(run)
        self.counts = self.counts.plus(run)
        if (asked := self.points.sweep.asked.objective) and _better(run, self._best, asked.metric, asked.direction):
            self._best = run

    def _progress(self, point: Point) -> str:
        at = f"{len(self.runs) + 1} of {self.counts.total}: {label({**point.values, 'seed': point.spec.seed})}"
        if (asked := self.points.sweep.asked.objective) and (run := self._best):
            where = label({**run.values, "seed": run.seed})
            return f"{at} · {self.counts} · best {asked.metric} {run.metrics[asked.metric]:g} at {where}"
        return f"{at} · {self.counts}"


def sweep(batch: Batch) -> Summary:
    """Run every point of grid and list, or as many as a sampler chooses."""
    asked = batch.points.sweep.asked
    if asked.sampler is None or asked.objective is None:
        listed = batch.points.listed()
        batch.counts = Counts(len(listed))
        batch.run(listed)
        return batch.summary()
    sampling = Sampling(asked.sampler, asked.objective)
    batch.counts = Counts(batch.points.count)
    for chosen in sampling.batches():
        results = [_result(batch.run(batch.points.of(row)), batch.points) for row in chosen]
        if batch.ended:
            break
        sampling.tell(results)
    return batch.summary(f"optuna {sampling.version} {asked.sampler.kind}")


def _result(runs: Iterable[Run], points: Points) -> float | None:
    """The mean of a metric over the seeds of a point; none when one of them gave no result.

    Raises `SpecError` when a run succeeded without the metric: no other would have it.
    """
    asked = points.sweep.asked.objective
    values = []
    for run in runs:
        if asked is None or run.status != "succeeded":
            return None
        if asked.metric not in run.metrics:
            there = ", ".join(f"`{name}`" for name in sorted(run.metrics)) or "none"
            raise points.sweep.refused([(("objective", "metric"), f"run {run.spec_hash[:12]} has no such metric: "
                                         f"there is {there}")])  # fmt: skip
        values.append(run.metrics[asked.metric])
    return estimate(values).mean if values else None


def _attempted(submit: Callable[[Spec], Answer], point: Point) -> Run:
    spec = point.spec
    blank = Run(values=dict(point.values), seed=spec.seed, spec_hash=spec.hash.hex, status="refused")
    try:
        answer = submit(spec)
    except (KeyboardInterrupt, Interrupted):
        return _with(blank, status="interrupted", reason="interrupted before it was kept", code=EXIT_INTERRUPTED)
    except ExecutorError as error:
        return _with(blank, reason=error.message, code=error.exit_code)
    record = answer.record
    codes = {"succeeded": 0, "interrupted": EXIT_INTERRUPTED}
    return _with(
        blank, status=record.status, cached=answer.cached, attempt=record.attempt, exit_code=record.outcome.exit_code,
        reason=record.outcome.reason, code=codes.get(record.status, EXIT_FAILED), metrics=dict(record.metrics),
        runtime_s=record.outcome.runtime_s, store=answer.url,
    )  # fmt: skip


def _with(run: Run, **found: object) -> Run:
    return run.model_copy(update=found)


def _better(run: Run, other: Run | None, metric: str, direction: str) -> bool:
    value = run.metrics.get(metric, math.nan)
    if run.status != "succeeded" or math.isnan(value):
        return False
    if other is None:
        return True
    return value > other.metrics[metric] if direction == "maximize" else value < other.metrics[metric]
