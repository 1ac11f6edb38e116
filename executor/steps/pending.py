"""Results that wait on this machine, because their store was away when their runs ended, are brought to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal

from executor.errors import ExecutorError, NotFound, StoreUnreachable
from executor.facts import Fact
from executor.log import get_logger
from executor.steps import staging
from executor.steps.home import Home
from executor.steps.publish import deliver
from executor.steps.site import Site
from executor.steps.staging import Staged
from executor.steps.workspace import PUBLISH, Workspace, reopen_workspace
from executor.store.layout import ATTEMPT

STALE = timedelta(days=7)
"""How long an upload in parts may rest before it is given up."""


class Delivery(Fact):
    """What became of one result that waited."""

    attempt: str
    folder: str
    """Where it lies, or lay."""
    state: Literal["published", "waiting", "elsewhere", "failed", "discarded"]
    """In the store; the store is away; meant for another store; cannot be brought there; thrown away."""
    spec_hash: str = ""
    """64 hexadecimal digits; empty when nothing can be read of it."""
    name: str = ""
    """The spec's label."""
    store: str = ""
    """URL of the attempt, or of the store that it is meant for."""
    error: str = ""
    """Kind of what went wrong."""
    message: str = ""
    advice: str = ""
    exit_code: int = 0
    """What the command ends with because of it."""


def chosen(home: Home, names: Iterable[str]) -> list[str]:
    """Attempt ids of what the user named: ids, or folders; raises `NotFound` for what does not wait here."""
    found = []
    for name in names:
        attempt = Path(name).name
        if not ATTEMPT.fullmatch(attempt) or not Workspace(home.attempts / attempt).kept:
            raise NotFound(f"{name}: no such result waits in {home.attempts}",
                           advice=f"`{PUBLISH}` says which do, and brings them to the store")  # fmt: skip
        found.append(attempt)
    return found


def deliver_all(attempts: Iterable[str], site: Site) -> Iterator[Delivery]:
    """Bring results to the store, one after the other; a store that is away is not asked for each."""
    away: StoreUnreachable | None = None
    for attempt in attempts:
        known = _known(attempt, site.home)
        try:
            yield _deliver(known, site, away)
        except StoreUnreachable as error:
            away = error
            yield _problem(known, error, "waiting")
        except ExecutorError as error:
            yield _problem(known, error, "failed")
    if away is None:
        _tidy_uploads(site)


def discard_all(attempts: Iterable[str], home: Home) -> Iterator[Delivery]:
    """Throw results away, and what was left of their runs with them."""
    for attempt in attempts:
        known = _known(attempt, home)
        try:
            with reopen_workspace(home, attempt) as space:
                space.drop()
            yield known.model_copy(update={"state": "discarded"})
        except ExecutorError as error:
            yield _problem(known, error, "failed")


def _deliver(known: Delivery, site: Site, away: StoreUnreachable | None) -> Delivery:
    with reopen_workspace(site.home, known.attempt) as space:
        staged = staging.read(space)
        if staged.url != site.store.url:
            message = f"it is meant for {staged.url}, not for {site.store.url}"
            advice = f"`{PUBLISH} --store {staged.url}` brings it there"
            return known.model_copy(update={"state": "elsewhere", "message": message, "advice": advice})
        if away:
            raise away
        with space.kept_on_failure(staged.record.spec_hash):
            deliver(staging.listed(staged, space, site.secrets), space, site)
    url = site.store.attempt_url(staged.record.spec_hash, known.attempt)
    return known.model_copy(update={"state": "published", "store": url})


def _known(attempt: str, home: Home) -> Delivery:
    """What can be told of a result before anything is done about it."""
    space = Workspace(home.attempts / attempt)
    staged: Staged | None = None
    with suppress(ExecutorError, OSError):
        staged = staging.read(space)
    return Delivery(
        attempt=attempt, folder=str(space.folder), state="waiting",
        spec_hash=staged.record.spec_hash.hex if staged else "",
        name=staged.record.hints.name if staged else "", store=staged.url if staged else "",
    )  # fmt: skip


def _problem(known: Delivery, error: ExecutorError, state: Literal["waiting", "failed"]) -> Delivery:
    return known.model_copy(update={"state": state, "error": type(error).__name__, "message": error.message,
                                    "advice": error.advice, "exit_code": error.exit_code})  # fmt: skip


def _tidy_uploads(site: Site) -> None:
    """Give up uploads in parts that nobody will go on with; a store that is away is left alone."""
    try:
        site.store.abort_stale(site.now() - STALE)
    except StoreUnreachable as error:
        get_logger("publish").warning("old uploads are left in the store", problem=error.message)
