"""The leaderboard of a metric: the best run of each spec, and how far its place is to be trusted."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.templating import render
from executor.errors import UsageError
from executor.steps.finding.leaderboard import PER, Board, Per, best
from executor.steps.finding.search import askable
from executor.store.view import View

LIMIT = 50
ABOUT = {"spec": "spec", "config": "all but seed and GPU", "experiment": "all but GPU", "name": "name"}
"""What a line stands for, in words."""
menu = ("Best", "/best")


def page(request: Request) -> Response:
    """The leaderboard that the address asks for; the form alone when it names no metric."""
    at, query = desk.of(request), request.query_params
    metric, where = query.get("metric", "").strip(), query.get("where", "").strip()
    lowest, per = query.get("lowest") == "1", _per(query.get("per", ""))
    board, problem = None, None

    def question(view: View) -> Board:
        return best(view, at.store, metric, at.now(), where=where, per=per, lowest=lowest, limit=LIMIT)

    try:
        board = at.library.ask(question) if metric else None
    except UsageError as error:
        problem = error
    return render(
        request, "best.html", status=400 if problem else 200, metric=metric, where=where, lowest=lowest, per=per,
        board=board, problem=problem, about=ABOUT, metrics=at.library.ask(_numeric),
    )  # fmt: skip


def _per(word: str) -> Per:
    return next((one for one in PER if one == word), PER[0])


def _numeric(view: View) -> list[str]:
    return sorted((name for name, held in askable(view).items() if "number" in held and name.startswith("metrics.")),
                  key=lambda name: (len(name), name))  # fmt: skip


routes = (Route("/best", page),)
