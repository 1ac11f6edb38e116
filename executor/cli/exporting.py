"""`export`: runs in formats that others read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli.look import attempt_option
from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError, count

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.store.interface import Store
    from executor.store.view import Batch


@dataclass(frozen=True)
class Chosen:
    """The runs that are to be exported."""

    store: Store
    several: bool
    """Whether there can be more than one."""
    records: Callable[[], Iterator[Record]]
    table: Callable[[], Batch]
    """The same runs as a row for each."""
    code: int = 0
    """The exit code: another one when there were records that cannot be read, and so are not among them."""


@dataclass(frozen=True)
class Wishes:
    """How they are to be exported."""

    target: str | None
    """A path, or for a server its URL; none for the usual name here."""
    experiment: str | None
    series: bool


@click.command("export")
@click.argument("hashes", nargs=-1, metavar="[HASH]…")
@click.option("--find", "expression", metavar="EXPR", help='Every run of which this is true, as in `find`; "" is all.')
@click.option("--as", "kind", type=click.Choice(["in-toto", "ro-crate", "mlflow", "csv", "parquet"]), required=True,
              help="The format.")  # fmt: skip
@click.option("--to", "--output", "target", metavar="PATH|URL",
              help="Where to write it: a file, a folder, a .zip of an RO-Crate, an MLflow server.")  # fmt: skip
@click.option("--experiment", metavar="NAME", help="MLflow's experiment; the name of each run's spec by default.")
@click.option("--no-series", is_flag=True, help="Leave the points of metric series out of Parquet.")
@attempt_option
@shared
def export_command(
    hashes: tuple[str, ...], expression: str | None, kind: str, target: str | None, experiment: str | None,
    no_series: bool, attempt: str | None, store: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Write runs in another format: each HASH, or all that --find finds. What is there already stays.

    in-toto: the signed statement. ro-crate: a Workflow Run RO-Crate with outputs, spec and record. csv, parquet: a
    row for each run; parquet also every point of their metrics. mlflow: into an MLflow server, each run once.
    """
    if bool(hashes) == (expression is not None) or (attempt and len(hashes) != 1):
        raise UsageError("name runs by their hashes, or say --find EXPR; --attempt goes with one hash",
                         advice='`executor export --find "" --as csv` is the table of all runs')  # fmt: skip
    chosen = _found(expression, store) if expression is not None else _named(hashes, attempt, store)
    done = _EXPORTS[kind](chosen, Wishes(target, experiment, not no_series))
    if as_json:
        emit(done)
    else:
        for one in done if isinstance(done, list) else [done]:
            show(str(one.get("file") or one["url"]))
    return chosen.code


def _named(hashes: tuple[str, ...], attempt: str | None, url: str | None) -> Chosen:
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.exports import table
    from executor.steps.history import choose, records

    store = open_store(url)
    found = dict.fromkeys(find_run(store, one) for one in hashes)
    chosen = [choose(store, one, records(store, one), attempt) for one in found]
    return Chosen(store, len(hashes) > 1, lambda: iter(chosen), lambda: table.of(chosen))


def _found(expression: str, url: str | None) -> Chosen:
    from executor.cli.listing import library_of, told_problems
    from executor.cli.wiring import now
    from executor.evidence.grammar import parse
    from executor.spec.canonical import Digest
    from executor.steps.exports import table
    from executor.steps.history import read

    parse(expression)  # what cannot be read needs no store
    library = library_of(url)
    batch = library.ask(lambda view: table.found(view, expression, now()))
    keys = batch.keys
    return Chosen(library.store, True, lambda: (read(library.store, Digest(key.spec), key.attempt) for key in keys),
                  lambda: batch, told_problems(library))  # fmt: skip


# A file for each run ------------------------------------------------------------------------------------------------


def _in_toto(record: Record, store: Store, target: Path) -> None:
    from executor.steps.exports.intoto import envelope

    with _new(target) as place:
        place.write_bytes(envelope(record, store))


def _ro_crate(record: Record, store: Store, target: Path) -> None:
    from executor.cli.terminal import Terminal
    from executor.steps.exports.crate import write

    with Terminal() as terminal, _new(target) as place:
        write(record, store, place, terminal.progress)


def _each(kind: str, suffix: str, write: Callable[[Record, Store, Path], None]) -> Callable[[Chosen, Wishes], Any]:
    """An export that writes each run to a place of its own; of several, all below the target."""

    def export(chosen: Chosen, wishes: Wishes) -> Any:
        done = []
        for record in chosen.records():
            name = f"{record.spec_hash.hex[:12]}-{record.attempt}{suffix}"
            if chosen.several:
                target = Path(wishes.target or ".") / name
                target.parent.mkdir(parents=True, exist_ok=True)
            else:
                target = Path(wishes.target or name)
            write(record, chosen.store, target)
            done.append({"spec_hash": record.spec_hash.hex, "attempt": record.attempt, "format": kind,
                         "file": str(target)})  # fmt: skip
        return done if chosen.several else done[0]

    return export


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A place beside the target for what takes its place when it is whole; what is there already stays."""
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already", advice="name another with --to")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        yield Path(folder) / target.name
        (Path(folder) / target.name).rename(target)


# One table of all runs ----------------------------------------------------------------------------------------------


def _csv(chosen: Chosen, wishes: Wishes) -> Any:
    from executor.steps.exports.table import names, rows
    from executor.steps.finding.sheet import as_csv

    target, batch = Path(wishes.target or "runs.csv"), chosen.table()
    with _new(target) as place:
        place.write_text(as_csv([*rows(batch)], names(batch)), "utf-8", newline="")
    return {"format": "csv", "file": str(target), "runs": len(batch.digests)}


def _parquet(chosen: Chosen, wishes: Wishes) -> Any:
    from executor.steps.exports import parquet

    target, batch = Path(wishes.target or "runs.parquet"), chosen.table()
    done: dict[str, Any] = {"format": "parquet", "file": str(target), "runs": len(batch.digests)}
    with ExitStack() as stack:
        if wishes.series:  # first: it can fail half way, and then neither is there
            points = target.with_name(f"{target.stem}.series{target.suffix}")
            place = stack.enter_context(_new(points))
            many = parquet.write_points(chosen.records(), chosen.store, place)
            say(f"{count(many, 'point')} of metric series in {points}")
            done |= {"series": str(points), "points": many}
        with _new(target) as place:
            parquet.write(batch, place)
    return done


# A server -------------------------------------------------------------------------------------------------------------


def _mlflow(chosen: Chosen, wishes: Wishes) -> Any:
    from executor.cli.importing import mlflow_at
    from executor.steps.exports.mlflow import export

    tracking, done = mlflow_at(wishes.target), []
    with tempfile.TemporaryDirectory() as scratch:
        for record in chosen.records():
            one = export(record, chosen.store, tracking, wishes.experiment, Path(scratch))
            done.append({"spec_hash": record.spec_hash.hex, "attempt": record.attempt, "format": "mlflow",
                         "url": one.url, "run_id": one.run_id, "new": one.new})  # fmt: skip
            if not one.new:
                say(f"{record.spec_hash.hex[:12]}/{record.attempt} is there already")
    return done if chosen.several else done[0]


_EXPORTS: Mapping[str, Callable[[Chosen, Wishes], Any]] = {
    "in-toto": _each("in-toto", ".intoto.jsonl", _in_toto),
    "ro-crate": _each("ro-crate", "-crate", _ro_crate),
    "mlflow": _mlflow,
    "csv": _csv,
    "parquet": _parquet,
}
"""How each format is written; gives the JSON document about it."""
