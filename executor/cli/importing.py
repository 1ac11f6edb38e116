"""`import`: runs of other trackers, kept as history that nothing here vouches for."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli.listing import EXIT_CORRUPT, cell, head
from executor.cli.output import as_option, emit, say, shared, show, table
from executor.errors import UsageError, count

if TYPE_CHECKING:
    from executor.steps.exports.tracking import Tracking
    from executor.steps.finding.search import Found
    from executor.store.view import View

SHOWN = ("name", "group", "submitter", "created", "ended")
"""What is told of each imported run when no columns are named."""
MOST_REASONS = 5
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody is told that it is used
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is away is not waited for for minutes
    "MLFLOW_ALLOW_FILE_STORE": "true",  # folders of before it had a database
}
"""Variables that MLflow's client reads when it is imported; those that the user has set stay."""


def mlflow_at(place: str | None) -> Tracking:
    """MLflow at a URL or a folder, or where `MLFLOW_TRACKING_URI` says."""
    from executor.steps.exports.tracking import Tracking

    place = place or os.environ.get("MLFLOW_TRACKING_URI")
    if not place:
        raise UsageError(
            "which MLflow server?", advice="name it, such as http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    return Tracking.open(_folder(Path(place)) if Path(place).is_dir() else place)


def _folder(path: Path) -> str:
    """The URL of a folder of runs; raises `UsageError` for any other: MLflow would begin one there."""
    if not any(path.glob("*/meta.yaml")):
        raise UsageError(f"{path}: no runs of MLflow are there", advice="name the folder that is called mlruns")
    return path.absolute().as_uri()


@click.group("import")
def import_command() -> None:
    """Runs of other trackers, kept beside ours as history that nothing here vouches for."""


@import_command.command("mlflow")
@click.argument("place", metavar="[URL|FOLDER]", required=False)
@click.option("--experiment", metavar="NAME", help="Only the runs of this experiment.")
@as_option
@shared
def mlflow_command(
    place: str | None, experiment: str | None, who: str | None, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """Read the runs of an MLflow server, or of a folder of MLflow runs; each comes once, and is never changed."""
    import executor
    from executor.cli.wiring import now, submitter
    from executor.cli.wiring import store as open_store
    from executor.steps.exports.mlflow_runs import Wish, bring

    tracking, target = mlflow_at(place), open_store(store)
    with tempfile.TemporaryDirectory() as scratch:
        wish = Wish(submitter(who), now(), executor.__version__, Path(scratch))
        done = bring(tracking, target, wish, experiment)
    if as_json:
        emit({"source": "mlflow", "place": tracking.url, **vars(done)})
    else:
        show(f"{count(len(done.new), 'run')} of {tracking.url} kept as history")
        for left_out, why in ((done.known, "here already"), (done.running, "not ended yet"), (done.ours, "ours")):
            if left_out:
                say(f"{count(left_out, 'run')} left out: {why}")
        for why, times in Counter(done.unlisted.values()).most_common(MOST_REASONS):
            say(f"{count(times, 'run')} without a whole list of files: {why}")
    return 0


@import_command.command("find")
@click.argument("expression", metavar="[EXPR]", default="")
@click.option("--sort", metavar="[-]NAME", default="", help="The lowest first, with `-` the highest.")
@click.option("--columns", metavar="A,B", default="", help="Tell these of each run; `all` tells everything.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@shared
def find_command(
    expression: str, sort: str, columns: str, limit: int, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """Find imported runs of which EXPR is true, as in `find`; our own runs are never among them, nor these among them.

    There are source, place, name, group (the experiment), run_id, ended, submitter, created, runtime_s, imported_by,
    params.*, metrics.* and tags.*.
    """
    from executor.cli.wiring import home, now
    from executor.cli.wiring import store as open_store
    from executor.evidence.grammar import parse
    from executor.steps.exports.imported import Imports
    from executor.steps.finding.search import find
    from executor.steps.finding.sheet import plain_value

    def ask(view: View) -> Found:
        every = [name for name in view.names if name not in ("spec", "attempt")]
        usual = [name for name in SHOWN if name in every]
        names = every if columns == "all" else columns.split(",") if columns else usual
        return find(view, expression, now(), sort=sort.removeprefix("-"), ascending=not sort.startswith("-"),
                    limit=limit, show=names)  # fmt: skip

    parse(expression)
    wrong: list[str] = []
    imports = Imports.of(open_store(store), home(), wrong.append)
    found = imports.ask(ask)
    told = tuple(dict.fromkeys((*found.columns, *found.used)))
    if as_json:
        emit({"total": found.total, "imported": [
            {"id": one["spec"], "source": one["attempt"], **{name: plain_value(name, one.get(name)) for name in told}}
            for one in found.rows
        ]})  # fmt: skip
    elif found.rows:
        show(table([(f"{one['attempt']}:{one['spec'][:12]}", *(cell(name, one.get(name)) for name in told))
                    for one in found.rows], ("IMPORTED", *map(head, told))))  # fmt: skip
    else:
        say(f"no imported run is found in {imports.store.url}")
    for problem in wrong:
        say(f"executor: {problem}")
    return EXIT_CORRUPT if wrong else 0
