"""All runs: which of them, in which order, what is told of each. The whole of it is in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.desk import Desk
from executor.dashboard.templating import csv_file, render, with_query
from executor.errors import QueryError
from executor.evidence.row import FIELDS
from executor.evidence.versus import MOST_RUNS
from executor.steps.finding.search import Found, askable, find
from executor.steps.finding.sheet import as_csv
from executor.store.view import View

COLUMNS = ("name", "status", "verdict", "created", "runtime_s", "seed", "submitter", "host")
"""What is told of each run when no columns are named, as far as any of the runs on the page has it."""
METRICS, LOOKED_AT = 3, 24
"""Metrics that are told too, and how many names are looked at to find them."""
SIZES = (50, 100, 200)
"""Runs of a page."""
MOST_NAMES = 1_500
"""Names that are offered as columns; any other can be typed."""
MOST_LINES = 100_000
"""Runs in a CSV."""
menu = ("Runs", "/")


@dataclass(frozen=True)
class Asked:
    """What a person asks of the table."""

    q: str = ""
    sort: str = ""
    ascending: bool = False
    columns: tuple[str, ...] = ()
    page: int = 1
    size: int = SIZES[0]
    runs: tuple[str, ...] = ()
    """Those that are chosen for a comparison, as `spec/attempt`."""

    @classmethod
    def of(cls, request: Request) -> Asked:
        """From the address; what makes no sense there is as if it were not."""
        query = request.query_params
        size = query.get("size", "")
        return cls(
            q=query.get("q", "").strip(), sort=query.get("sort", ""), ascending=query.get("asc") == "1",
            columns=tuple(dict.fromkeys(name for word in query.getlist("col") for name in _names(word))),
            page=max(1, desk.whole(query.get("page", ""))), size=int(size) if size in map(str, SIZES) else SIZES[0],
            runs=tuple(dict.fromkeys(query.getlist("run")))[:MOST_RUNS],
        )  # fmt: skip

    def query(self, *without: str) -> dict[str, Any]:
        """The address of this view, or a form's share of it."""
        found = {
            "q": self.q, "sort": self.sort, "asc": "1" if self.ascending else "", "col": self.columns,
            "size": "" if self.size == SIZES[0] else self.size, "page": "" if self.page == 1 else self.page,
            "run": self.runs,
        }  # fmt: skip
        return {name: value for name, value in found.items() if name not in without}

    def url(self, path: str = "/", **changes: Any) -> str:
        """The address of another view; it begins at its first page unless a page is named."""
        return with_query(path, replace(self, **{"page": 1, **changes}).query())

    def sorted_by(self, name: str) -> str:
        """The address of the same runs by that name: the highest first, then the lowest, then the newest."""
        if name != self.sort:
            return self.url(sort=name, ascending=False)
        return self.url(sort=name, ascending=True) if not self.ascending else self.url(sort="", ascending=False)


def _names(word: str) -> list[str]:
    return [name.strip() for name in word.split(",") if name.strip()]


@dataclass(frozen=True)
class Table:
    """What the store answers."""

    found: Found
    columns: tuple[str, ...]
    numeric: frozenset[str]
    """Those of the columns that hold numbers alone."""
    every: int
    """Runs in the store."""
    names: Mapping[str, tuple[str, ...]]
    """Names that can be columns, by family; those of no family under an empty text."""


def table(asked: Asked, at: Desk) -> Table:
    """Ask the index; raises `QueryError`."""

    def question(view: View) -> Table:
        show = asked.columns or (*COLUMNS, *_metrics(view))
        found = find(view, asked.q, at.now(), sort=asked.sort, ascending=asked.ascending, limit=asked.size,
                     skip=(asked.page - 1) * asked.size, show=show)  # fmt: skip
        known = askable(view)
        columns = tuple(name for name in dict.fromkeys((*found.columns, *found.used)) if name != "attempt")
        if not asked.columns:
            columns = _usual(columns, found)
        numeric = frozenset(name for name in columns if known.get(name) == {"number"} or _number(name))
        return Table(found, columns, numeric, view.count, _families((*FIELDS, *known)))

    return at.library.ask(question)


def _metrics(view: View) -> list[str]:
    """Short names first: what many programs report has one."""
    return sorted((name for name in view.names if name.startswith("metrics.")), key=len)[:LOOKED_AT]


def _usual(columns: tuple[str, ...], found: Found) -> tuple[str, ...]:
    """Columns that a run on this page has; of the metrics those that most of them have."""
    filled = {name: sum(name in row for row in found.rows) for name in columns}
    metrics = [name for name in columns if name.startswith("metrics.") and name not in found.used]
    kept = sorted(metrics, key=lambda name: -filled[name])[:METRICS]
    return tuple(name for name in columns if filled[name] and (name in kept or name not in metrics))


def _number(name: str) -> bool:
    return name in FIELDS and FIELDS[name].kind in ("number", "seconds", "time")


def _families(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name in names[:MOST_NAMES]:
        found.setdefault(name.partition(".")[0] if "." in name else "", []).append(name)
    return {family: tuple(members) for family, members in found.items()}


def runs(request: Request) -> Response:
    """The table."""
    asked, at = Asked.of(request), desk.of(request)
    try:
        found, problem = table(asked, at), None
    except QueryError as error:
        found, problem = table(Asked(size=asked.size), at), error
    pages = max(1, -(-found.found.total // asked.size))
    return render(
        request, "runs.html", status=400 if problem else 200, asked=asked, table=found, problem=problem, pages=pages,
        first=(asked.page - 1) * asked.size + 1, problems=at.library.problems(), store=at.store.url, sizes=SIZES,
        most_chosen=MOST_RUNS, most_names=MOST_NAMES,
    )  # fmt: skip


def sheet(request: Request) -> Response:
    """The same table for spreadsheets, all its pages."""
    asked = replace(Asked.of(request), page=1, size=MOST_LINES)
    found = table(asked, desk.of(request))
    answer = csv_file("runs.csv", as_csv(found.found.rows, found.columns))
    answer.headers["x-total-count"] = str(found.found.total)
    return answer


routes = (Route("/", runs), Route("/runs.csv", sheet))
