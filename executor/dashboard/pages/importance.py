"""Which parameters a metric depends on: a picture, a table, and what can be said of it at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.desk import Desk
from executor.dashboard.templating import csv_file, render, with_query
from executor.errors import UsageError
from executor.evidence.importance import Importance, Parameter
from executor.steps.finding.importance import importance
from executor.steps.finding.indexing import Library
from executor.steps.finding.sheet import lines

menu = ("Importance", "/importance")
_HEAD = ("parameter", "kind", "values", "missing", "total", "total low", "total high", "alone", "alone low",
         "alone high", "impurity", "impurity low", "impurity high")  # fmt: skip
_MEANS = ("parameter", "value", "runs", "mean", "half width", "lowest", "highest")


@dataclass(frozen=True)
class Asked:
    """What a person asks to be explained."""

    metric: str
    where: str

    @classmethod
    def of(cls, request: Request) -> Asked:
        """From the address."""
        return cls(request.query_params.get("metric", "").strip(), request.query_params.get("where", "").strip())

    def url(self, path: str) -> str:
        """The address of the same question."""
        return with_query(path, {"metric": self.metric, "where": self.where})


def answer(asked: Asked, at: Desk) -> Importance:
    """Explain the metric; the same question about the same runs is answered once."""
    runs = at.library.ask(lambda view: view.count)
    return _answer(at.library, asked, runs, at.now().replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=32)
def _answer(library: Library, asked: Asked, runs: int, hour: datetime) -> Importance:  # noqa: ARG001 - other runs, another answer
    return importance(library, asked.metric, hour, asked.where)


def page(request: Request) -> Response:
    """The page; without a metric it asks for one."""
    asked, at = Asked.of(request), desk.of(request)
    metrics = at.library.ask(
        lambda view: [name.partition(".")[2] for name in view.names if name.startswith("metrics.")]
    )
    found, problem = None, None
    if asked.metric:
        try:
            found = answer(asked, at)
        except UsageError as error:
            problem = error
    return render(request, "importance.html", status=400 if problem else 200, asked=asked, found=found,
                  problem=problem, metrics=metrics, bars=_bars(found) if found else [])  # fmt: skip


def _bars(found: Importance) -> list[dict[str, Any]]:
    """What the picture is drawn from."""
    return [{"name": one.name.removeprefix("params."), "total": one.total.mean, "low": max(0, one.total.low),
             "high": one.total.high, "alone": one.alone.mean, "impurity": one.impurity.mean}
            for one in found.parameters]  # fmt: skip


def sheet(request: Request) -> Response:
    """The table for spreadsheets."""
    found = answer(Asked.of(request), desk.of(request))
    return csv_file("importance.csv", lines(_HEAD, map(_line, found.parameters)))


def _line(one: Parameter) -> list[Any]:
    shares = (
        number for share in (one.total, one.alone, one.impurity) for number in (share.mean, share.low, share.high)
    )
    return [one.name, one.kind, one.values, one.missing, *shares]


def means(request: Request) -> Response:
    """The means by value for spreadsheets."""
    found = answer(Asked.of(request), desk.of(request))
    rows = ([choice.name, level.value, over.n, over.mean, over.half_width, over.lowest, over.highest]
            for choice in found.choices for level in choice.levels for over in (level.over,))  # fmt: skip
    return csv_file("means.csv", lines(_MEANS, rows))


routes = (Route("/importance", page), Route("/importance.csv", sheet), Route("/importance/means.csv", means))
