"""`find`, `best`, `claim` and `history`: which runs, over everybody's runs in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from executor.cli.listing import (
    LONGEST,
    Asked,
    answer,
    asking,
    cell,
    ended,
    library_of,
    plain_row,
    question,
    run_table,
    tell,
    told_names,
    told_problems,
)
from executor.cli.output import cut, emit, number, say, shared, show, table
from executor.errors import NotFound, count

if TYPE_CHECKING:
    from executor.steps.finding.indexing import Library
    from executor.steps.finding.leaderboard import Board, Place

F = TypeVar("F", bound=Callable[..., Any])


def limit_option(most: int) -> Callable[[F], F]:
    """The option `--limit`."""
    return click.option("--limit", type=click.IntRange(min=1), default=most, show_default=True, metavar="N",
                        help="Show at most so many.")  # fmt: skip


@click.command("find")
@click.argument("expression", metavar="[EXPR]", default="")
@click.option("--names", "only_names", is_flag=True, help="List the names that can be asked for instead.")
@asking
@shared
@question
def find_command(expression: str, only_names: bool, store: str | None, as_json: bool, **words: Any) -> int:
    """Find the runs of which EXPR is true, such as "accuracy >= 0.9 and params.optimizer == 'adam'".

    Comparisons are ==, !=, <, <=, >, >=, ~ (a regular expression), in (1, 2), not in; they are joined by and, or, not
    and parentheses. Texts stand in quotes. `created > 7d` is the last seven days. A run that lacks a value is found by
    `== null` alone.
    """
    asked = Asked(expression, **words)
    asked.parsed()
    library = library_of(store)
    if only_names:
        return _list_names(library, as_json=as_json)
    found, _ = answer(library, asked, as_json=as_json)
    if as_json:
        emit({"total": found.total, "runs": [plain_row(row, told_names(found, asked)) for row in found.rows]})
    else:
        tell(library, found, asked)
    return ended(library, found)


@click.command("best")
@click.argument("metric", metavar="METRIC")
@click.option("--lowest", is_flag=True, help="The lowest value is the best.")
@click.option("--where", metavar="EXPR", default="", help="Only runs of which this is true, as in `find`.")
@click.option("--per", type=click.Choice(["spec", "config", "experiment", "name"]), default="spec", show_default=True,
              help="One line for each: config is all but seed and GPU, experiment all but the GPU.")  # fmt: skip
@click.option("--per-experiment", is_flag=True, help="The same as --per experiment.")
@limit_option(10)
@shared
@question
def best_command(
    metric: str, lowest: bool, where: str, per: str, per_experiment: bool, limit: int, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """The leaderboard of METRIC over all successful runs: value, who, spec, seeds, whether reruns agree, parameters."""
    from executor.cli.wiring import now
    from executor.evidence.grammar import parse
    from executor.steps.finding.leaderboard import PER, best

    parse(where)
    library = library_of(store)
    group = next(one for one in PER if one == ("experiment" if per_experiment else per))
    board = library.ask(
        lambda view: best(view, library.store, metric, now(), where=where, per=group, lowest=lowest, limit=limit)
    )
    if as_json:
        emit({"metric": board.metric, "lowest": lowest, "per": group, "runs": board.runs,
              "best": [_place(place, board.metric) for place in board.places]})  # fmt: skip
    elif not board.places:
        say(f"no successful run in {library.store.url} has {metric}")
    else:
        head = (board.metric.partition(".")[2].upper() or board.metric.upper(), "SPEC", "NAME", "WHO", "WHEN (UTC)",
                "SEEDS", "MEAN", "REPRODUCED", "PARAMETERS")  # fmt: skip
        rows = [(*_line(place), _parameters(place, board)) for place in board.places]
        told = len(head) if board.varying else -1
        show(table([row[:told] for row in rows], head[:told]))
        if len(rows) == limit < board.runs:
            say(f"the best {limit} of {count(board.runs, 'run')}; --limit shows more")
    return told_problems(library)


@click.command("claim")
@click.argument("claim", metavar="CLAIM")
@limit_option(20)
@shared
@question
def claim_command(claim: str, limit: int, store: str | None, as_json: bool) -> int:
    """Which runs stand behind a number that somebody quotes, such as "accuracy=0.91".

    A run stands behind it when its value, rounded to as many digits, is that number. When there is none the exit code
    is 2.
    """
    from executor.cli.wiring import now
    from executor.steps.finding.behind import SHOWN, Claim, behind

    Claim.parse(claim)
    library = library_of(store)
    found = library.ask(lambda view: behind(view, library.store, claim, now(), limit))
    name = found.claim.name
    if not found.total:
        near = f"; the nearest are {' and '.join(map(number, found.near))}" if found.near else ""
        percent = found.claim.number > 1 and max(found.near, default=2) <= 1
        raise NotFound(f"no run in {library.store.url} stands behind {claim}{near}",
                       advice=f"per cent are written so: {claim}%" if percent else
                       "a number without a record does not count: ask for its spec hash")  # fmt: skip
    shown = (name, *SHOWN)
    if as_json:
        emit({"metric": name, "low": found.claim.low, "high": found.claim.high, "total": found.total,
              "runs": [plain_row(row, shown) for row in found.rows]})  # fmt: skip
    else:
        show(run_table([{**row, name: number(row[name])} for row in found.rows], shown))
        say(f"{count(found.total, 'run')} with {name} from {number(found.claim.low)} to {number(found.claim.high)}")
    return told_problems(library)


@click.command("history")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@shared
@question
def history_command(file: Path, store: str | None, as_json: bool) -> int:
    """Which runs made FILE: those that left the same bytes, by their sha256. When there is none the exit code is 2."""
    from executor.spec.canonical import Digest
    from executor.steps.finding.behind import made

    with file.open("rb") as stream:
        digest = Digest.of_stream(stream)[0]
    library = library_of(store)
    found = library.ask(lambda view: made(view, library.store, digest))
    if not found:
        raise NotFound(f"{file}: no run in {library.store.url} left these bytes ({digest})",
                       advice="a file that was changed or saved again has other bytes")  # fmt: skip
    if as_json:
        emit({"file": str(file), "digest": str(digest), "runs": [
            {"spec_hash": one.record.spec_hash.hex, "attempt": one.record.attempt, "name": one.record.hints.name,
             "submitter": one.record.hints.submitter, "status": one.record.status, "path": one.file.path,
             "role": one.file.role, "created": one.record.created.isoformat(),
             "store": library.store.attempt_url(one.record.spec_hash, one.record.attempt)} for one in found
        ]})  # fmt: skip
    else:
        show(table([
            (one.record.spec_hash.hex[:12], one.record.hints.name, cell("submitter", one.record.hints.submitter),
             one.record.attempt, one.record.status, one.file.path, one.file.role) for one in found
        ], ("SPEC", "NAME", "WHO", "ATTEMPT", "STATUS", "PATH", "ROLE")))  # fmt: skip
    return told_problems(library)


def _list_names(library: Library, *, as_json: bool) -> int:
    from executor.evidence.row import FIELDS
    from executor.steps.finding.search import askable

    rows = [(name, str(field.kind), field.about) for name, field in FIELDS.items()]
    rows += library.ask(lambda view: [(name, " or ".join(sorted(held)), "") for name, held in askable(view).items()])
    if as_json:
        emit([dict(zip(("name", "kind", "about"), row, strict=True)) for row in rows])
    else:
        show(table(rows, ("NAME", "KIND", "WHAT IT IS")))
    return told_problems(library)


def _place(place: Place, metric: str) -> dict[str, Any]:
    from executor.steps.finding.sheet import plain_value

    run = plain_row(place.run, [name for name in place.run if name != metric])
    over = {name: plain_value(name, value) for name, value in vars(place.over_seeds).items()}
    return {"value": place.value, **run, "runs": place.runs, "seeds": place.seeds, "over_seeds": over,
            "verdicts": dict(place.verdicts)}  # fmt: skip


def _line(place: Place) -> tuple[str, ...]:
    from executor.evidence.interval import written

    run, mean = place.run, written(place.over_seeds)
    return (number(place.value), run["spec"][:12], run["name"], cell("submitter", run.get("submitter", run["host"])),
            cell("created", run["created"]), str(place.seeds), mean if place.seeds > 1 else "",
            _reproduced(place.verdicts))  # fmt: skip


def _parameters(place: Place, board: Board) -> str:
    """Those in which the lines differ."""
    from executor.evidence.point import label

    return cut(label({name: place.run[name] for name in board.varying if name in place.run}), 2 * LONGEST)


def _reproduced(verdicts: Mapping[str, int]) -> str:
    """How often it was run again, and what came of it."""
    words = [f"{verdicts[verdict]} {verdict}" for verdict in ("identical", "close", "different") if verdict in verdicts]
    return ", ".join(words) or "not tried"
