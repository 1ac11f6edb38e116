"""`submit --sweep`: every point of a sweep, its progress, and what came of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from executor.cli.notifying import tell
from executor.cli.output import emit, say, show, table
from executor.cli.running import ready
from executor.errors import count

if TYPE_CHECKING:
    from executor.evidence.interval import Estimate
    from executor.evidence.summary import Row, Summary
    from executor.run import Options
    from executor.spec.model import Spec
    from executor.spec.sweep import SweepFile
    from executor.steps.notify import Webhook
    from executor.steps.site import Site

F = TypeVar("F", bound=Callable[..., Any])
MOST_ROWS, MOST_METRICS, MOST_FAILURES = 20, 5, 10
EXIT_INTERRUPTED = 130


def sweep_options(function: F) -> F:
    """Options of `submit` that belong to sweeps."""
    for option in (
        click.option("--stop-on-failure", is_flag=True, help="End a sweep at the first run without a result."),
        click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Allow a sweep so many runs."),
        click.option("--sweep", "sweep_file", type=click.Path(path_type=Path), metavar="FILE",
                     help="Run every point of this sweep file."),
    ):  # fmt: skip
        function = option(function)
    return function


def submit_sweep(
    path: Path, site: Site, options: Options, *, locking: bool, most: int | None, stop_on_failure: bool,
    hook: Webhook | None = None, as_json: bool,
) -> int:  # fmt: skip
    """Run the sweep in a file; returns the exit code: that of the first run without a result, else 0."""
    from executor.run import submit
    from executor.spec.points import MOST_POINTS, Points
    from executor.spec.sweep import load_sweep
    from executor.steps import notify
    from executor.steps.sweeps.batch import Batch, sweep
    from executor.telemetry import traced

    file = load_sweep(path)
    points = Points(file, _base(file, path, site, locking=locking))
    points.limit(most or MOST_POINTS)
    batch = Batch(
        points, submit=lambda spec: traced("submit", spec.hash, site.reporter, partial(submit, spec, site, options)),
        tell=lambda line: say(f"sweep {line}"),
        stopped=site.stop.event.is_set, stop_on_failure=stop_on_failure,
    )  # fmt: skip
    summary = sweep(batch)
    tell(hook, partial(notify.swept, summary))
    if as_json:
        emit(json.loads(summary.model_dump_json()))
    else:
        show(text(summary))
    left_out = EXIT_INTERRUPTED if summary.left else 0
    return next((run.code for run in summary.runs if run.code), left_out)


def _base(file: SweepFile, path: Path, site: Site, *, locking: bool) -> Spec:
    """The spec that a sweep varies, pinned; a draft is locked beside itself when that was asked for."""
    from executor.spec.file import located

    named, folder = file.asked.spec, path.parent.absolute()
    if not isinstance(named, str):
        return located(named, folder)
    return ready(folder / named, site, path, locking=locking)


def text(summary: Summary) -> str:
    """A sweep for people: a row for each point, the best first where something is to be the best."""
    from executor.evidence.point import label, short
    from executor.evidence.summary import ranked

    counts = f"{summary.done} done, {summary.cached} cached, {summary.failed} failed"
    lines = [f"sweep {summary.file}: {count(summary.total, 'run')}: {counts}" + _left(summary)]
    rows, metrics = list(summary.rows), _metrics(summary)
    if summary.metric and summary.direction:
        rows = ranked(rows, summary.metric, summary.direction)
    if rows:
        names = list(rows[0].values)
        head = [*(short(name) for name in names), *metrics, "runs"]
        lines.append(table([_cells(row, names, metrics) for row in rows[:MOST_ROWS]], head))
    if len(rows) > MOST_ROWS:
        lines.append(f"… and {count(len(rows) - MOST_ROWS, 'more point')}; --json has all")
    lines += _failures(summary)
    if summary.best and summary.metric:
        hashes = " ".join(digits[:12] for digits in summary.best.spec_hashes[:MOST_METRICS])
        found = interval(summary.best.metrics[summary.metric])
        lines.append(f"best {summary.metric} {found}: {label(summary.best.values) or 'the spec itself'}  ({hashes})")
    elif summary.metric:
        lines.append(f"no run has the metric {summary.metric}: there is no best point")
    return "\n".join(lines)


def _left(summary: Summary) -> str:
    return f", {summary.left} not begun" if summary.left else ""


def _metrics(summary: Summary) -> list[str]:
    """The metrics that have a column: the one that counts first."""
    names = dict.fromkeys([summary.metric] if summary.metric else [])
    names |= dict.fromkeys(name for row in summary.rows for name in row.metrics)
    return list(names)[:MOST_METRICS]


def _cells(row: Row, names: list[str], metrics: list[str]) -> list[str]:
    from executor.evidence.point import written

    values = [written(row.values[name]) for name in names]
    shown = [interval(row.metrics[name]) if name in row.metrics else "–" for name in metrics]
    runs = len(row.spec_hashes)
    return [*values, *shown, f"{runs - row.failed} of {runs}" if row.failed else str(runs)]


def _failures(summary: Summary) -> list[str]:
    """Why runs gave no result, each run once."""
    from executor.evidence.point import label

    failed = {run.spec_hash: run for run in summary.runs if run.status != "succeeded"}
    lines = []
    for run in list(failed.values())[:MOST_FAILURES]:
        why = run.reason or f"exit status {run.exit_code}"
        lines.append(f"{run.status}  {run.spec_hash[:12]}  {label({**run.values, 'seed': run.seed})}: {why}")
    if len(failed) > MOST_FAILURES:
        lines.append(f"… and {len(failed) - MOST_FAILURES} more without a result")
    return lines


def interval(found: Estimate) -> str:
    """A mean over seeds, and how many there are."""
    from executor.evidence.interval import written

    return written(found) + (f" (n={found.n})" if found.n > 1 else "")
