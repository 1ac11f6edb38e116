"""`compare` and `importance`: many runs side by side, and what a metric depends on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli.evidence import named
from executor.cli.listing import library_of, told_problems
from executor.cli.output import cut, emit, say, shared, show, table
from executor.errors import UsageError, count

if TYPE_CHECKING:
    from executor.evidence.held import Held
    from executor.evidence.importance import Importance, Share
    from executor.evidence.record import Record
    from executor.evidence.versus import Row, Versus
    from executor.steps.finding.indexing import Library
    from executor.steps.finding.versus import CodeChange

SIDE_BY_SIDE = 5
"""Runs that have a column each; of more, a line tells how many values a field has."""
WIDEST = 26
"""Characters of a cell."""
_BAR = 24


@click.command("compare")
@click.argument("hashes", metavar="[HASH]...", nargs=-1)
@click.option("--find", "expression", metavar="EXPR", default="", help="Also the runs of which this is true.")
@click.option("--all", "everything", is_flag=True, help="Also what is equal in all of them.")
@click.option("--baseline", metavar="HASH", help="Numbers are held against this run; the first one by default.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout.")
@click.option("--html", "page", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Write one page that needs nothing else: table, curves, parallel coordinates.")  # fmt: skip
@shared
def compare_command(
    hashes: Sequence[str], expression: str, everything: bool, baseline: str | None, as_csv: bool, page: Path | None,
    store: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Hold from 2 to 200 runs against each other: only what differs, and how far each number is from the baseline's.

    HASH is the hash of a spec (its reference counts) or HASH/ATTEMPT. A value that a run does not have is told as
    missing. Code is compared where the store has the archives.
    """
    from executor.evidence.versus import versus
    from executor.steps.finding import comparison
    from executor.steps.finding.versus import code_changes

    library = library_of(store)
    records, at = _chosen(library, hashes, expression, baseline)
    found = versus(records)
    if as_csv:
        click.echo(comparison.as_csv(found, at, everything=everything), nl=False)
    else:
        code = code_changes(library.store, records, at)
        if as_json:
            emit(comparison.as_json(found, at, code, everything=everything))
        elif page is None:
            show("\n".join(_told(found, at, code, everything=everything)))
    if page is not None:
        _write(page, library, found, at, everything=everything)
    return told_problems(library) if expression else 0


def _chosen(
    library: Library, hashes: Sequence[str], expression: str, baseline: str | None
) -> tuple[list[Record], int]:  # fmt: skip
    """The runs that are meant, each once, and which of them is the baseline."""
    from executor.cli.wiring import now
    from executor.evidence.grammar import parse
    from executor.steps.finding.versus import found_records, once

    parse(expression)
    store = library.store
    records = [named(store, text) for text in hashes]
    if expression:
        records += library.ask(lambda view: found_records(view, store, expression, now()))
    first = [named(store, baseline)] if baseline else []
    records = once([*records, *first])
    return records, records.index(first[0]) if first else 0


def _write(page: Path, library: Library, found: Versus, baseline: int, *, everything: bool) -> None:
    try:
        from executor.dashboard.still import still
    except ModuleNotFoundError as error:
        raise UsageError(f"--html needs {error.name}", advice='pip install "repro-executor[dashboard]"') from None
    text = still(library.store, found, baseline, everything=everything)
    page.write_text(text, "utf-8")
    say(f"{page}: {count(len(found.records), 'run')}, {len(text.encode()) / 1e6:.1f} MB; it needs no network")


# How it is told ----------------------------------------------------------------------------------------------------


def _told(found: Versus, baseline: int, code: Sequence[CodeChange], *, everything: bool) -> Iterator[str]:
    from executor.evidence.versus import GROUPS
    from executor.steps.finding.comparison import rows_of, title
    from executor.steps.finding.versus import told

    letters = [_letter(at) for at in range(len(found.records))]
    for at, (letter, record) in enumerate(zip(letters, found.records, strict=True)):
        yield f"{letter}  {title(record)}  {record.status}{'  baseline' if at == baseline else ''}"
    rows = rows_of(found, everything=everything)
    aside = len(letters) <= SIDE_BY_SIDE
    head = letters if aside else ["VALUES", "RANGE", "MISSING"]
    lines = [(row.group, (row.name, *(_cells(row, baseline) if aside else _spread(row)))) for row in rows]
    for group, members in groupby(lines, key=lambda line: line[0]):
        yield f"\n{table([line for _, line in members], (GROUPS[group].upper(), *head))}"
    for change in code:
        yield f"\ncode {change.before[:12]} → {change.after[:12]}: {told(change)}"
        yield from (f"  {file.kind:<8} {file.path}" for file in change.files)
    if not everything:
        yield f"\n{count(found.hidden, 'field')} equal in all of them and hidden; --all shows everything"


def _letter(at: int) -> str:
    """A, B, …, Z, AA, AB and so on."""
    return (_letter(at // 26 - 1) if at >= 26 else "") + chr(ord("A") + at % 26)


def _cells(row: Row, baseline: int) -> Iterator[str]:
    for value, delta in zip(row.values, row.deltas(baseline), strict=True):
        yield f"{_value(value)} ({delta.text})" if delta and delta.text else _value(value)


def _value(value: Held) -> str:
    from executor.evidence.parallel import written

    text = written(value)
    return cut(text.removeprefix("sha256:")[:12] if text.startswith("sha256:") else text, WIDEST)


def _spread(row: Row) -> tuple[str, str, str]:
    """How many values a field of many runs has, from which to which, and how many runs lack it."""
    from executor.evidence.held import ABSENT, is_number, kept_apart

    there = [value for value in row.values if value is not ABSENT]
    numbers = sorted(value for value in there if is_number(value))  # type: ignore[type-var]
    if numbers and len(numbers) == len(there):
        words = f"{_value(numbers[0])} … {_value(numbers[-1])}"
    else:
        words = cut(", ".join(dict.fromkeys(map(_value, there))), 2 * WIDEST)
    missing = len(row.values) - len(there)
    return str(len(set(map(kept_apart, there)))), words, str(missing) if missing else ""


# importance --------------------------------------------------------------------------------------------------------


@click.command("importance")
@click.argument("metric", metavar="METRIC")
@click.option("--where", metavar="EXPR", default="", help="Only runs of which this is true, as in `find`.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, metavar="N",
              help="Of the forests: the same seed gives the same numbers.")  # fmt: skip
@shared
def importance_command(metric: str, where: str, seed: int, store: str | None, as_json: bool) -> int:
    """Which parameters METRIC depends on, over all successful runs: shares of its variance, with their intervals.

    Random forests are grown on the runs; they are asked in three ways (docs/comparing.md). When the runs are too few,
    or their parameters do not explain the metric, it says so and tells no numbers.
    """
    from executor.cli.wiring import now
    from executor.evidence.grammar import parse
    from executor.steps.finding.importance import importance

    parse(where)
    library = library_of(store)
    found = importance(library, metric, now(), where, seed)
    if as_json:
        emit(found.model_dump(mode="json"))
    else:
        show("\n".join(_explained(found)))
    return told_problems(library)


def _explained(found: Importance) -> Iterator[str]:
    unseen = "" if found.r2 is None else f", R² of unseen runs {found.r2:.2f}"
    yield f"{found.metric} over {count(found.runs, 'run')}{unseen}"
    if found.left_out:
        yield f"  left out: {', '.join(f'{number} {why}' for why, number in found.left_out.items())}"
    if found.problem:
        yield f"  {found.problem}"
        if found.runs > 1:
            yield f"  → `executor best {shlex.quote(found.metric)} --per config` has the best of them side by side"
    else:
        rows = [(one.name, _bar(one.total.mean), _share(one.total), _share(one.alone), _share(one.impurity))
                for one in found.parameters]  # fmt: skip
        yield table(rows, ("PARAMETER", "", "TOTAL", "ALONE", "IMPURITY"))
        yield from (f"  {' × '.join(pair.names)}: {_share(pair.share)} only together" for pair in found.pairs
                    if pair.share.low > 0.01)  # fmt: skip
    yield from (f"  {', '.join(names)} only vary together: what is said of one may be the other's"
                for names in found.tied)  # fmt: skip
    if found.constant:
        yield f"  the same in all runs: {', '.join(found.constant)}"
    yield from _by_value(found)
    if not found.problem:
        yield f"  {found.method}, seed {found.seed}; shares of the variance with 95 % of the samples"


def _by_value(found: Importance) -> Iterator[str]:
    from executor.evidence.interval import written

    rows = [(choice.name, cut(level.value, WIDEST), str(level.over.n), written(level.over))
            for choice in found.choices for level in choice.levels]  # fmt: skip
    if rows:
        yield table(rows, ("PARAMETER", "VALUE", "RUNS", "MEAN"))
        yield "  means of the runs with a value, whatever their other parameters, ± 95 %; furthest apart first"


def _bar(share: float) -> str:
    return "█" * round(_BAR * min(max(share, 0), 1)) or "·"


def _share(share: Share) -> str:
    return f"{share.mean:.2f} [{share.low:.2f}, {share.high:.2f}]"
