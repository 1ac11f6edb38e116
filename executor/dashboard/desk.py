"""What every page asks: the library, the clock, the home of this machine; and which runs a request is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from executor.errors import UsageError
from executor.spec.canonical import Digest
from executor.steps.finding.indexing import Library
from executor.steps.home import Home
from executor.steps.signed.keys import KeyRing
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


def key_of(request: Request) -> Key:
    """The run that a path names as `{spec}` and `{attempt}`; raises `UsageError` for what can be neither."""
    spec, attempt = request.path_params["spec"], request.path_params["attempt"]
    try:
        layout.attempt(Digest(spec), attempt)
    except ValueError as error:
        raise UsageError(f"{spec[:80]}/{attempt[:80]} names no run", advice="name it as SPEC/ATTEMPT") from error
    return Key(spec, attempt)


def whole(word: str) -> int:
    """A whole number of an address; 0 for anything else."""
    return int(word) if word.isdecimal() and len(word) < 9 else 0
