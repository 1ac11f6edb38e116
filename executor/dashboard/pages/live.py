"""Runs that are going on, and one of them as it happens: events that a server sends until its record appears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.follow import Follower
from executor.dashboard.going import going, holder, space_of, spec_text
from executor.dashboard.templating import render, run_url
from executor.errors import ExecutorError, NotFound
from executor.spec.canonical import Digest
from executor.store.changes import Key

EVERY_S = 1.0
"""Seconds between two looks; a log segment is published after as many."""
menu = ("Live", "/live")


def every(request: Request) -> Response:
    """The runs that are going on."""
    return render(request, "going.html", going=going(desk.of(request)))


def page(request: Request) -> Response:
    """One of them; what ended is shown as what it became."""
    at, key = desk.of(request), _key(request)
    if key.attempt in at.store.attempts(Digest(key.spec)):
        return RedirectResponse(run_url(*key), 303)
    space = space_of(at.home, key.attempt)
    return render(request, "live.html", key=key, here=space is not None, spec=spec_text(space) if space else "",
                  holder=holder(at.store, Digest(key.spec)))  # fmt: skip


def events(request: Request) -> Response:
    """What happens to it, from the log segment on that the browser has not seen."""
    at, key = desk.of(request), _key(request)
    follower = Follower(at, key, segment=desk.whole(request.headers.get("last-event-id", "")))
    return StreamingResponse(_stream(follower), media_type="text/event-stream")


def _key(request: Request) -> Key:
    """Which run; raises `NotFound` for one of which there is no trace."""
    at, key = desk.of(request), desk.key_of(request)
    spec = Digest(key.spec)
    held = holder(at.store, spec)
    if not (
        space_of(at.home, key.attempt)
        or (held and held.attempt == key.attempt)
        or key.attempt in (*at.store.attempts(spec), *at.store.live_attempts(spec))
    ):
        raise NotFound(f"{key.spec[:12]}/{key.attempt}: nothing of it can be seen from here")
    return key


async def _stream(follower: Follower) -> AsyncIterator[str]:
    while True:
        try:
            found = await run_in_threadpool(lambda: list(follower.look()))
        except ExecutorError as error:  # such as a store that is out of reach for a moment
            found = [("problem", {"text": error.message})]
        for name, value in found:
            mark = f"id: {value['next']}\n" if name == "log" else ""
            yield f"{mark}event: {name}\ndata: {json.dumps(value)}\n\n"
            if name == "end":
                return
        yield ": here\n\n"  # else nobody would see that the browser has left
        await asyncio.sleep(EVERY_S)


routes = (
    Route("/live", every), Route("/live/{spec}/{attempt}", page), Route("/live/{spec}/{attempt}/events", events),
)  # fmt: skip
