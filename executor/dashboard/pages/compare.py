"""Runs side by side: their curves, their parameters, what differs. The whole of it is in the address."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from executor.dashboard import desk, pictures
from executor.dashboard.desk import Desk
from executor.dashboard.templating import csv_file, render, with_query
from executor.errors import NotFound, UsageError
from executor.evidence.record import Record
from executor.evidence.thinning import Axis
from executor.evidence.versus import MOST_RUNS, Versus, versus
from executor.spec.canonical import Digest
from executor.steps.finding import comparison
from executor.steps.finding.curves import curves
from executor.steps.finding.search import compared
from executor.steps.finding.sheet import lines
from executor.steps.finding.versus import code_changes, found_records, once
from executor.steps.history import read
from executor.store import columns
from executor.store.changes import Key
from executor.store.interface import Store
from executor.store.transfer import in_threads
from executor.store.view import View

SHORT = 12
"""Digits of a spec hash in the address."""
AXES: dict[str, Axis] = {"step": "step", "time": "wall_time"}
MOST_LINKED = 40
"""Runs whose heads have links: each link is as long as the address."""
menu = ("Compare", "/compare")
_AT_ONCE = 16


@dataclass(frozen=True)
class Asked:
    """What a person asks to see."""

    runs: tuple[str, ...] = ()
    """As `spec/attempt`; of a spec hash 6 digits are enough."""
    find: str = ""
    """Also the runs of which this is true."""
    baseline: str = ""
    """The run that numbers are held against, as in `runs`; empty for the first."""
    everything: bool = False
    metric: str = ""
    x: str = "step"
    smooth: float = 0.0
    log: bool = False

    @classmethod
    def of(cls, request: Request) -> Asked:
        """From the address; what makes no sense there is as if it were not."""
        query = request.query_params
        return cls(
            runs=tuple(dict.fromkeys(query.getlist("run"))), find=query.get("find", "").strip(),
            baseline=query.get("baseline", ""), everything=query.get("all") == "1", metric=query.get("metric", ""),
            x=query.get("x", "") if query.get("x") in AXES else "step", smooth=_share(query.get("smooth", "")),
            log=query.get("log") == "1",
        )  # fmt: skip

    def query(self, *without: str) -> dict[str, Any]:
        """The address of this view, or a form's share of it."""
        found = {
            "run": self.runs, "find": self.find, "baseline": self.baseline, "all": "1" if self.everything else "",
            "metric": self.metric, "x": "" if self.x == "step" else self.x, "smooth": f"{self.smooth:g}" if self.smooth
            else "", "log": "1" if self.log else "",
        }  # fmt: skip
        return {name: value for name, value in found.items() if name not in without}

    def url(self, path: str = "/compare", **changes: Any) -> str:
        """The address of another view of the same runs."""
        return with_query(path, replace(self, **changes).query())


def _share(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(found) else min(max(found, 0.0), 0.99)


def word(record: Record) -> str:
    """A run as the address names it."""
    return f"{record.spec_hash.hex[:SHORT]}/{record.attempt}"


@lru_cache(maxsize=512)
def _read(store: Store, key: Key) -> Record:
    return read(store, Digest(key.spec), key.attempt)  # a record never changes


def records(asked: Asked, at: Desk) -> list[Record]:
    """The runs that are asked for, each once; raises `UsageError` for too many, `NotFound` for one that is missing."""
    if len(asked.runs) > MOST_RUNS:
        raise UsageError(f"{len(asked.runs)} runs are chosen", advice=f"choose at most {MOST_RUNS}")
    keys = at.library.ask(lambda view: _keys(view, asked.runs)) if asked.runs else []
    named = in_threads(lambda key: _read(at.store, key), keys, _AT_ONCE)
    if asked.find:
        named += at.library.ask(lambda view: found_records(view, at.store, asked.find, at.now()))
    return once(named)


def _keys(view: View, words: Sequence[str]) -> list[Key]:
    """Which attempts are meant, in the order in which they are named."""
    attempts = {word.partition("/")[2] for word in words}
    there = view.keys(columns.places(compared(view, "attempt", "in", sorted(attempts))))
    found = []
    for one in words:
        digits, _, attempt = one.partition("/")
        meant = [key for key in there if key.attempt == attempt and key.spec.startswith(digits)]
        if len(meant) != 1 or len(digits) < 6:
            raise NotFound(f"{one[:100]}: {len(meant)} runs are called so", advice="a run is named as SPEC/ATTEMPT")
        found += meant
    return found


def compare(request: Request) -> Response:
    """The page; with fewer than two runs it asks for more."""
    asked, at = Asked.of(request), desk.of(request)
    found = records(asked, at)
    if len(found) < 2:
        return render(request, "choose.html", asked=asked, found=found)
    held = versus(found)
    asked = replace(asked, metric=_metric(held, asked.metric))
    base = _baseline(asked, found)
    return render(
        request, "compare.html", held=held, base=base, asked=asked, word=word, names=pictures.names(held),
        table=pictures.table(held, base, everything=asked.everything), axes=pictures.parallel(held, asked.metric),
        metrics=pictures.metrics(found), links=_links(asked, found), code=code_changes(at.store, found, base),
    )  # fmt: skip


def _links(asked: Asked, found: Sequence[Record]) -> dict[str, list[str]]:
    """For each run where it is the baseline, and where it is left out; of many runs, or of found ones, nowhere."""
    words, few = list(map(word, found)), len(found) <= MOST_LINKED
    left = [
        asked.url(runs=tuple(one for one in words if one != own)) if few and not asked.find else "" for own in words
    ]
    return {"baseline": [asked.url(baseline=own) if few else "" for own in words], "without": left}


def _metric(held: Versus, wanted: str) -> str:
    there = pictures.metrics(held.records)
    return wanted if wanted in there else next(iter(there), "")


def _baseline(asked: Asked, found: Sequence[Record]) -> int:
    digits, _, attempt = asked.baseline.partition("/")
    places = (at for at, one in enumerate(found) if one.attempt == attempt and one.spec_hash.hex.startswith(digits))
    return next(places, 0)


def table_csv(request: Request) -> Response:
    """The table for spreadsheets, whole."""
    asked, at = Asked.of(request), desk.of(request)
    found = records(asked, at)
    return csv_file(
        "compare.csv", comparison.as_csv(versus(found), _baseline(asked, found), everything=asked.everything)
    )


@lru_cache(maxsize=64)
def _curves(store: Store, keys: tuple[Key, ...], metric: str, axis: Axis, smooth: float) -> dict[str, Any]:
    """Curves as the picture takes them; attempts never change."""
    found = in_threads(lambda key: _read(store, key), keys, _AT_ONCE)
    return pictures.curves(*curves(store, found, metric, axis, smooth))


def _asked_curves(request: Request) -> tuple[list[Record], str, dict[str, Any]]:
    asked, at = Asked.of(request), desk.of(request)
    found = records(asked, at)
    keys = tuple(Key(one.spec_hash.hex, one.attempt) for one in found)
    return found, asked.metric, _curves(at.store, keys, asked.metric, AXES[asked.x], asked.smooth)


def curves_json(request: Request) -> Response:
    """The curves of one metric."""
    return JSONResponse(_asked_curves(request)[2])


def curves_csv(request: Request) -> Response:
    """The points of the picture for spreadsheets."""
    found, metric, drawn = _asked_curves(request)
    rows = ([word(found[one["run"]]), x, y] for one in drawn["curves"] for x, y in zip(one["x"], one["y"], strict=True))
    return csv_file("curves.csv", lines(["run", Asked.of(request).x, metric], rows))


routes = (
    Route("/compare", compare), Route("/compare.csv", table_csv), Route("/compare/curves.json", curves_json),
    Route("/compare/curves.csv", curves_csv),
)  # fmt: skip
