"""Which results came again on which machines, and where those that did not parted."""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.desk import Desk
from executor.dashboard.templating import csv_file, render, with_query
from executor.evidence.reproduced import VERDICTS, Cell
from executor.steps.finding.reproducibility import Reproducibility, repeated, reproducibility
from executor.steps.finding.sheet import lines
from executor.store.changes import Key
from executor.store.interface import Store

menu = ("Reproducibility", "/reproducibility")
_HEAD = ("name", "spec", "attempt", "reference spec", "reference attempt", "reference ran on", "ran on", "verdict",
         "step", "kind", "cause", "reason")  # fmt: skip
_TOLD = ("step", "kind", "cause", "reason")


@lru_cache(maxsize=4)
def _found(store: Store, keys: tuple[Key, ...], left_out: int) -> Reproducibility:
    return reproducibility(store, keys, left_out)


def answer(request: Request, at: Desk) -> Reproducibility:
    """What came of the repetitions that are asked for; of the same attempts it is looked up once."""
    where = request.query_params.get("where", "").strip()
    keys, left_out = at.library.ask(lambda view: repeated(view, at.now(), where))
    return _found(at.store, tuple(keys), left_out)


def page(request: Request) -> Response:
    """The page."""
    where = request.query_params.get("where", "").strip()
    found = answer(request, desk.of(request))
    return render(request, "reproducibility.html", where=where, found=found, shade=shade,
                  table_csv=with_query("/reproducibility.csv", {"where": where}),
                  pairs_csv=with_query("/reproducibility/pairs.csv", {"where": where}))  # fmt: skip


def shade(cell: Cell) -> str:
    """Whether all, some or none of the results of a cell came again."""
    total = cell.identical + cell.close + cell.different
    came = cell.identical + cell.close
    return "" if not total else "all" if cell.identical == total else "some" if came else "none"


def table_csv(request: Request) -> Response:
    """The matrix for spreadsheets, a line for each of its cells."""
    found = answer(request, desk.of(request))
    rows = ([cell.there, cell.here, *(getattr(cell, verdict) for verdict in VERDICTS)] for cell in found.crossing.cells)
    return csv_file("reproducibility.csv", lines(("reference ran on", "ran on", *VERDICTS), rows))


def pairs_csv(request: Request) -> Response:
    """The pairs that parted, for spreadsheets."""
    found = answer(request, desk.of(request))
    rows = ([pair.name, *pair.run, *pair.reference, pair.there, pair.here, pair.verdict,
             *((pair.divergence or {}).get(name) for name in _TOLD)] for pair in found.parted)  # fmt: skip
    return csv_file("parted.csv", lines(_HEAD, rows))


routes = (
    Route("/reproducibility", page), Route("/reproducibility.csv", table_csv),
    Route("/reproducibility/pairs.csv", pairs_csv),
)  # fmt: skip
