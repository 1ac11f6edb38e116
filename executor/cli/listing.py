"""Runs as a table, JSON or CSV: what `ls` and `find` share, and how every command tells runs."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from executor.cli.output import cut, say, show, table
from executor.errors import count

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.steps.finding.indexing import Library
    from executor.steps.finding.search import Found
    from executor.store.view import View

F = TypeVar("F", bound=Callable[..., Any])
ALWAYS = ("name", "submitter", "created", "status", "verdict", "runtime_s")
"""What is told of each run when no columns are named."""
IN_TABLE = 50
"""Runs of a table when no limit is named; JSON and CSV have them all."""
WIDTH = 100
"""Columns of a line where nobody looks: a terminal has its own."""
MOST_METRICS = 100
"""Metrics that the usual table looks at: those that came first, the commonest of them first."""
LONGEST, LEAST = 24, 40
"""Characters of a name in the usual table, and those that its metrics have at least."""
EXIT_CORRUPT = 5
_METRICS = "metrics."


def asking(function: F) -> F:
    """Options that say which runs are meant, in which order, and what is told of them."""
    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N",
                     help=f"At most so many; {IN_TABLE} in a table, all of them in JSON and CSV by default."),
        click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout."),
        click.option("--columns", metavar="A,B", default="", help="Tell these of each run; `all` tells everything."),
        click.option("--sort", metavar="[-]NAME", default="",
                     help="The lowest first, with `-` the highest; by default the newest first."),
        click.option("--since", metavar="TIME", default="", help="Only runs from then on: 7d, 12h, 2026-01-31."),
        click.option("--status", type=click.Choice(["succeeded", "failed", "interrupted"]),
                     help="Only runs that ended so."),
        click.option("--name", metavar="TEXT", default="", help="Only runs with this in their name."),
    ):  # fmt: skip
        function = option(function)
    return function


@dataclass(frozen=True)
class Asked:
    """What the user asks for."""

    expression: str
    name: str
    status: str | None
    since: str
    sort: str
    columns: str
    as_csv: bool
    limit: int | None

    def parsed(self) -> None:
        """Raise `QueryError` for what cannot be read: that needs no store."""
        from executor.evidence.grammar import parse

        for text in (self.expression, *self.also):
            parse(text)

    @property
    def also(self) -> list[str]:
        """What the options ask beside the expression, as expressions."""
        found = [f"created >= {self.since}"] if self.since else []
        found += [f"status == '{self.status}'"] if self.status else []
        return found + ([f"name ~ {_quoted(f'(?i){re.escape(self.name)}')}"] if self.name else [])


def _quoted(text: str) -> str:
    return "'" + re.sub(r"([\\'])", r"\\\1", text) + "'"


def answer(library: Library, asked: Asked, *, as_json: bool, whole: bool = False) -> tuple[Found, list[Record]]:
    """The runs that are meant, and their records when they are wanted `whole`; a damaged one is told and left out."""
    from executor.cli.wiring import now
    from executor.steps.finding.behind import recorded
    from executor.steps.finding.search import find

    in_table = not as_json and not asked.as_csv

    def ask(view: View) -> tuple[Found, list[Record]]:
        found = find(
            view, asked.expression, now(), also=asked.also, sort=asked.sort.removeprefix("-"),
            ascending=not asked.sort.startswith("-"), show=_columns(asked.columns, view, in_table=in_table),
            limit=asked.limit or (IN_TABLE if in_table else max(1, view.count)),
        )  # fmt: skip
        return found, recorded(library.store, found.rows, say) if whole else []

    return library.ask(ask)


def _columns(text: str, view: View, *, in_table: bool) -> tuple[str, ...]:
    from executor.evidence.row import FIELDS
    from executor.steps.finding.search import askable

    if text == "all":
        return (*FIELDS, *askable(view))
    if text:
        return tuple(name for name in text.split(",") if name)
    metrics = (name for name in view.names if in_table and name.startswith(_METRICS))
    return (*ALWAYS, *islice(metrics, MOST_METRICS))


def tell(library: Library, found: Found, asked: Asked) -> None:
    """Write what was found as CSV or as a table."""
    if asked.as_csv:
        from executor.steps.finding.sheet import as_csv

        click.echo(as_csv(found.rows, told_names(found, asked)), nl=False)
    elif found.rows:
        show(_table(found, asked))
    else:
        nothing = f"no run is found in {library.store.url}"
        say(nothing if asked.expression or asked.also else f"no runs in {library.store.url} yet")


def told_names(found: Found, asked: Asked) -> tuple[str, ...]:
    """Names of the columns: those that were named, or else the usual ones and what was asked about."""
    return found.columns if asked.columns else tuple(dict.fromkeys((*ALWAYS, *found.used)))


def ended(library: Library, found: Found, *, lost: int = 0) -> int:
    """Say what was left out, and what cannot be read; the exit code."""
    if found.total > len(found.rows):
        say(f"{len(found.rows)} of {count(found.total, 'run')}; --limit shows more")
    return told_problems(library) or (EXIT_CORRUPT if lost else 0)


def library_of(store: str | None) -> Library:
    """The store that was named, with its index on this machine."""
    from executor.cli import wiring
    from executor.steps.finding.indexing import Library

    return Library.of(wiring.store(store), wiring.home(), say)


def question(command: F) -> F:
    """For a command that asks the index, and nothing that needs NumPy.

    pyarrow imports NumPy where it is installed: half of the time that its import takes, and a third of the command's.
    """

    @functools.wraps(command)
    def light(*words: Any, **named: Any) -> Any:
        if "numpy" not in sys.modules:
            sys.modules["numpy"] = None  # type: ignore[assignment]  # what Python takes for: not there
            try:
                import executor.store.columns  # noqa: F401
            finally:
                del sys.modules["numpy"]
        return command(*words, **named)

    return light  # type: ignore[return-value]


def told_problems(library: Library) -> int:
    """Say which records no answer counts; the exit code."""
    problems = library.problems()
    for one in problems[:5]:
        say(f"executor: {one.problem}")
    if len(problems) > 5:
        say(f"executor: … and {count(len(problems) - 5, 'more record')} that cannot be read")
    return EXIT_CORRUPT if problems else 0


# Cells -------------------------------------------------------------------------------------------------------------


def _table(found: Found, asked: Asked) -> str:
    """Columns that were named, or the usual ones as far as runs have them, then as many metrics as fit the line."""
    names = [name for name in told_names(found, asked) if name != "spec"]
    if asked.columns:
        return run_table(found.rows, names)
    names = [name for name in names if any(name in row for row in found.rows)]
    rows = [{**row, "name": cut(row["name"], LONGEST)} for row in found.rows]
    taken = max(map(len, run_table(rows, names).splitlines())) + 2
    room = max(shutil.get_terminal_size((WIDTH, 0)).columns - taken, LEAST)
    packed = [_packed({name: value for name, value in row.items() if name not in names}, room) for row in rows]
    return run_table(rows, names, METRICS=packed) if any(packed) else run_table(rows, names)


def run_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], **more: Sequence[str]) -> str:
    """A line for each run: its hash, what it has under these names, and `more` columns by their heads."""
    lines = [(row["spec"][:12], *(cell(name, row.get(name)) for name in names)) for row in rows]
    lines = [(*line, *cells) for line, *cells in zip(lines, *more.values(), strict=True)]
    return table(lines, ("SPEC", *map(head, names), *more))


def _packed(row: Mapping[str, Any], room: int) -> str:
    """The first metrics of a run that fit `room` columns, and a mark when there are more."""
    words: list[str] = []
    for name, value in row.items():
        if name.startswith(_METRICS):
            word = f"{name.removeprefix(_METRICS)}={float(value):.4g}"
            if len(" ".join([*words, word])) > room - 2:
                return " ".join([*words, "…"])
            words.append(word)
    return " ".join(words)


def cell(name: str, value: Any) -> str:
    """A value for people."""
    from executor.evidence.row import written

    text = written(name, value)
    return cut(text, LONGEST) if name == "submitter" else text


def head(name: str) -> str:
    """What stands above a column."""
    heads = {"created": "WHEN (UTC)", "runtime_s": "TIME", "submitter": "WHO"}
    return heads.get(name, name if "." in name else name.upper())


def plain_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row as JSON holds it: NaN and infinity are texts, moments are ISO."""
    from executor.steps.finding.sheet import plain_value

    found = {"spec_hash": row["spec"], "attempt": row["attempt"]}
    return found | {name: plain_value(name, row.get(name)) for name in names if name not in ("spec", "attempt")}
