"""Which parameters a metric depends on, over the successful runs of a store: asked of the index, measured by forests.

Numbers are told only where they mean something: of enough runs, and of a metric that the parameters do explain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from executor.errors import UsageError
from executor.evidence.held import ABSENT, Held, is_number, kept_apart
from executor.evidence.importance import UNEXPLAINED, Importance, Pair, Parameter, choices, problem, tied
from executor.steps.finding.indexing import Library
from executor.steps.finding.search import meant, numbers_of, resolver, told
from executor.store import columns
from executor.store.view import View

MOST = 5_000
"""Specs that are looked at, the newest of them."""
MOST_PAIRS = 5
NEEDED = 'pip install "repro-executor[importance]"'
_REASONS = ("did not succeed", "without the metric", "NaN", "infinite", "another attempt of a spec")


@dataclass(frozen=True)
class Sample:
    """The runs that a metric is explained by."""

    found: Importance
    """What is known before anything is measured."""
    varying: Mapping[str, Sequence[Held]]
    """By parameter what each run has."""
    numbers: Sequence[float]
    """The metric of each run."""


def importance(library: Library, metric: str, now: datetime, where: str = "", seed: int = 0) -> Importance:
    """Explain a metric by the parameters of the runs that `where` is true of.

    Raises `QueryError`, and `UsageError` when there is no such number or scikit-learn is not installed.
    """
    sample = library.ask(lambda view: sampled(view, metric, now, where, seed))
    return sample.found if sample.found.problem else _measured(sample)


def sampled(view: View, metric: str, now: datetime, where: str = "", seed: int = 0) -> Sample:
    """The runs that count, and what can be said of them before anything is measured."""
    name = resolver(view, now).name(metric)
    params = [one for one in view.names if one.startswith("params.")]
    rows, left_out = _counted(view, _runs(view, name, now, where), name, params)
    if not rows:  # perhaps because none has a number
        numbers_of(view, name)
    held: dict[str, list[Held]] = {one: [row.get(one, ABSENT) for row in rows] for one in params}
    varying = {one: values for one, values in held.items() if len(set(map(kept_apart, values))) > 1}
    constant = sorted(one for one, values in held.items() if one not in varying and ABSENT not in values and values)
    numbers = [float(row[name]) for row in rows]
    found = Importance(
        metric=name, where=where, runs=len(rows), left_out=left_out, seed=seed, constant=tuple(constant),
        tied=tuple(tied(varying)), choices=tuple(choices(varying, numbers)), problem=problem(numbers, varying),
    )  # fmt: skip
    return Sample(found, varying, numbers)


def _runs(view: View, name: str, now: datetime, where: str) -> list[Mapping[str, Any]]:
    """What is known of the runs that are meant, the newest first, those in which something was varied left out."""
    unvaried, _ = meant(view, "varied == null", now)
    mask = columns.both(meant(view, where, now)[0], unvaried)
    places = columns.leading(mask, [(view.column("created").numbers(), "descending")], 4 * MOST)
    return list(told(view, places, ("status", name)))


def _counted(
    view: View, found: Sequence[Mapping[str, Any]], name: str, params: Sequence[str]
) -> tuple[list[Mapping[str, Any]], dict[str, int]]:  # fmt: skip
    """One run with a finite number for each spec, with its parameters; and how many others there are."""
    left_out = dict.fromkeys(_REASONS, 0)
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in found:
        if why := _left_out(row, name, chosen):
            left_out[why] += 1
        elif len(chosen) < MOST:
            chosen[row["spec"]] = row
    held = view.values([view.of_spec(spec)[0] for spec in chosen], params)  # all attempts of a spec have the same
    rows: list[Mapping[str, Any]] = [{**row, **one} for row, one in zip(chosen.values(), held, strict=True)]
    return rows, {why: number for why, number in left_out.items() if number}


def _left_out(row: Mapping[str, Any], name: str, chosen: Mapping[str, Any]) -> str:
    """Why a run does not count."""
    if row["status"] != "succeeded":
        return "did not succeed"
    if name not in row or not is_number(row[name]):
        return "without the metric"
    if not math.isfinite(row[name]):
        return "NaN" if math.isnan(row[name]) else "infinite"
    return "another attempt of a spec" if row["spec"] in chosen else ""


def _measured(sample: Sample) -> Importance:
    try:
        from executor.steps.finding.forest import measure
    except ImportError as error:
        raise UsageError(f"the importance of parameters needs scikit-learn, which is not installed ({error.name})",
                         advice=NEEDED) from None  # fmt: skip
    found, names = sample.found, list(sample.varying)
    measured = measure(list(sample.varying.values()), sample.numbers, found.seed)
    if measured.r2 <= 0:
        return found.model_copy(update={"r2": measured.r2, "problem": UNEXPLAINED})
    parameters = [
        Parameter(
            name=name, kind="number" if all(is_number(value) or value is ABSENT for value in held) else "category",
            values=len(set(map(kept_apart, held))), missing=sum(value is ABSENT for value in held),
            total=measured.permutation[at], alone=measured.alone[at], impurity=measured.impurity[at],
        )
        for at, (name, held) in enumerate(sample.varying.items())
    ]  # fmt: skip
    pairs = [Pair(names=(names[one], names[other]), share=share) for (one, other), share in measured.together.items()]
    return found.model_copy(update={
        "r2": measured.r2, "parameters": tuple(sorted(parameters, key=lambda one: -one.total.mean)),
        "pairs": tuple(sorted(pairs, key=lambda one: -one.share.mean)[:MOST_PAIRS]),
    })  # fmt: skip
