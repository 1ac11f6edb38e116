"""The app: pages, the files that they need, errors as pages, and the guard around all of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from executor.dashboard.desk import Desk
from executor.dashboard.security import Guard
from executor.dashboard.templating import render
from executor.errors import CorruptObject, ExecutorError, NotFound, UsageError

PAGES = ("runs", "run", "outputs", "best", "live", "compare", "importance", "reproducibility")
"""Modules of `pages`, in the order of the navigation."""
STATUS: tuple[tuple[type[ExecutorError], int], ...] = ((NotFound, 404), (UsageError, 400), (CorruptObject, 500))
"""What an error is in HTTP; any other means that the store, or this machine, cannot answer now."""


def make_app(desk: Desk, token: str, tickets: Iterable[str] = ()) -> ASGIApp:
    """The whole app; whoever asks must know the token, or begin with a ticket."""
    return Guard(make_pages(desk), token, tickets)


def make_pages(desk: Desk) -> Starlette:
    """All that is behind the guard."""
    pages: list[Any] = [importlib.import_module(f"{__package__}.pages.{name}") for name in PAGES]
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    routes: list[BaseRoute] = [static, *(route for page in pages for route in page.routes)]
    app = Starlette(routes=routes, exception_handlers={ExecutorError: _told, HTTPException: _refused})
    app.state.desk = desk
    app.state.menu = [page.menu for page in pages if hasattr(page, "menu")]
    return app


def _told(request: Request, error: Exception) -> Response:
    """An error of ours as a page: what is wrong, and what to do."""
    assert isinstance(error, ExecutorError)  # noqa: S101 - registered for nothing else
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 503)
    return render(request, "error.html", status=status, message=error.message, advice=error.advice)


def _refused(request: Request, error: Exception) -> Response:
    """A path that does not exist, as a page."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return render(request, "error.html", status=error.status_code, message=error.detail, advice="")
