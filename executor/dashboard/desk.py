"""What every page asks: the library, the clock, the home of this machine; and which runs a request is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from executor.errors import UsageError
from executor.spec.canonical import Digest
from executor.steps.finding.indexing import Library
from executor.steps.signed.keys import KeyRing
from executor.steps.workspace import Home
from executor.store import layout
from executor.store.changes import Key
from executor.store.interface import Store


@dataclass(frozen=True)
class Desk:
    """Where all pages stand."""

    library: Library
    now: Callable[[], datetime]
    home: Home
    """Where runs of this machine have their folders while they last."""
    keys: KeyRing
    """The keys that are trusted here."""

    @property
    def store(self) -> Store:
        """The store that is looked at."""
        return self.library.store


def of(request: Request) -> Desk:
    """The desk of the app that was asked."""
    found: Desk = request.app.state.desk
    return found


def key_of(spec: str, attempt: str) -> Key:
    """A run by its spec hash and its attempt id; raises `UsageError` for what can be neither."""
    try:
        layout.attempt(Digest(spec), attempt)
    except ValueError as error:
        raise UsageError(f"{spec[:80]}/{attempt[:80]} names no run", advice="name it as SPEC/ATTEMPT") from error
    return Key(spec, attempt)
