"""`predictions`, `matrix` and `diff`: what all stored attempts say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from executor.cli.output import emit, say, shared, show, table
from executor.errors import CorruptObject, NotFound, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.evidence.predict import Score
    from executor.evidence.record import Record
    from executor.store.interface import Store

EXIT_DIFFERS = 4


@click.command("predictions")
@shared
def predictions_command(store: str | None, as_json: bool) -> int:
    """How good the predictions of all reruns in the store were: precision of each, and the share of unknown."""
    from executor.cli.wiring import store as open_store
    from executor.evidence.predict import score

    place = open_store(store)
    said = [(record, record.prediction, record.comparison) for record in _every(place)]
    found = score((saying.value, came.verdict) for _, saying, came in said if saying and came)
    if as_json:
        rows = [{"spec_hash": record.spec_hash.hex, "attempt": record.attempt, "rule": saying.rule,
                 "predicted": saying.value, "verdict": came.verdict, "why": saying.why}
                for record, saying, came in said if saying and came]  # fmt: skip
        emit(found.model_dump(mode="json") | {"predictions": rows})
    elif not found.total:
        say(f"no rerun in {place.url} was predicted yet")
    else:
        show(_scored(found))
    return 0


def _scored(found: Score) -> str:
    rows = []
    for said, came in found.counts.items():
        of, precision = sum(came.values()), found.precision.get(said)
        outcome = ", ".join(f"{number} {verdict}" for verdict, number in came.items())
        rows.append((said, str(of), "" if precision is None else f"{precision:.0%}", outcome))
    lines = [table(rows, ("PREDICTED", "TIMES", "PRECISION", "CAME OUT"))]
    lines.append(f"{found.unknown_share:.0%} unknown; false `identical`: {found.false_identical}")
    return "\n".join(lines)


@click.command("matrix")
@click.argument("spec_hash", metavar="HASH")
@shared
def matrix_command(spec_hash: str, store: str | None, as_json: bool) -> int:
    """Which machines gave which results for the experiment of HASH, over every attempt in the store."""
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.evidence.matrix import matrix
    from executor.steps.history import records

    place = open_store(store)
    mine = records(place, find_run(place, spec_hash))
    if not mine:
        raise NotFound(f"{spec_hash}: no attempt has ended", advice="`executor logs` shows what it does")
    key = mine[0].experiment_key
    found = matrix(one for one in _every(place) if one.experiment_key == key)
    if found is None:
        raise NotFound(f"{spec_hash}: no attempt has succeeded", advice="`executor show` says how they ended")
    if as_json:
        emit(found.model_dump(mode="json") | {"sentence": found.sentence})
        return 0
    head = ("GPU", "CPU", "ISA", "THREADS", "DRIVER", "VARIED", "RESULT", "ATTEMPTS")
    marks = {found.reference: " ="}
    rows = [(c.gpu, c.cpu, c.isa, str(c.threads), c.driver, c.varied, c.result + marks.get(c.result, ""),
             str(c.attempts)) for c in found.cells]  # fmt: skip
    show(f"experiment {key.hex[:12]}")
    show(table(rows, head))
    show(found.sentence)
    return 0


@click.command("diff")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@shared
def diff_command(one: str, other: str, store: str | None, as_json: bool) -> int:
    """Hold run B against run A: spec, environment, outputs, and where their traces part.

    A and B are hashes of specs (their references count) or HASH/ATTEMPT.
    """
    from executor.cli.verdict import verdict
    from executor.cli.wiring import store as open_store
    from executor.steps.difference import difference

    place = open_store(store)
    left, right = named(place, one), named(place, other)
    found = difference(place, left, right)
    comparison = found.comparison.model_dump(mode="json")
    view = {"comparison": comparison, "divergence": comparison["divergence"]}
    if as_json:
        emit({"a": _short(left), "b": _short(right), "spec": found.spec, "environment": found.environment,
              "metrics": found.metrics, **view})  # fmt: skip
    else:
        show(f"A  {left.hints.name}  {left.spec_hash.hex[:12]}/{left.attempt}")
        show(f"B  {right.hints.name}  {right.spec_hash.hex[:12]}/{right.attempt}")
        for name, pairs in (("spec", found.spec), ("environment", found.environment), ("metrics", found.metrics)):
            for field, (before, after) in pairs.items():
                show(f"  {name:<12}{field}: {before} → {after}")
        show("\n".join(verdict(view)))
    return 0 if found.comparison.verdict == "identical" else EXIT_DIFFERS


def _short(record: Record) -> dict[str, Any]:
    return {"spec_hash": record.spec_hash.hex, "attempt": record.attempt, "name": record.hints.name}


def named(place: Store, text: str) -> Record:
    """The record that HASH (the one that answers for it) or HASH/ATTEMPT names; raises `NotFound`, `UsageError`."""
    from executor.cli.wiring import find_run
    from executor.steps.history import finished, read

    digits, _, attempt = text.partition("/")
    found = find_run(place, digits)
    if attempt:
        return read(place, found, attempt)
    record = finished(place, found)
    if record is None:
        failed = max(place.attempts(found), default="ATTEMPT")
        raise NotFound(f"{text}: no attempt has succeeded", advice=f"name one that failed, as in {digits}/{failed}")
    return record


def _every(place: Store) -> Iterator[Record]:
    """Every record; a wrong one is told and left out."""
    from executor.steps.history import records

    damaged = 0
    for spec_hash in place.spec_hashes():
        try:
            yield from records(place, spec_hash)
        except CorruptObject as error:
            damaged += 1
            say(f"executor: {error.message}")
    if damaged:
        say(f"executor: {count(damaged, 'run')} could not be read and did not count")
