"""Where a run happens: everything that `run` needs and `cli` puts together once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from executor.engine.redact import Secrets
from executor.errors import StoreUnreachable
from executor.log import get_logger
from executor.spec.canonical import Digest

if TYPE_CHECKING:  # who only asks what is stored need not wait for these
    from executor.engine.inputs import Fetcher
    from executor.engine.interface import Engine
    from executor.steps.home import Home
    from executor.steps.signed.keys import KeyRing
    from executor.store.interface import Store


class Reporter(Protocol):
    """Whoever watches a run; the library never prints."""

    def stage(self, text: str) -> None:
        """A step of the sentence begins."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` bytes of something; `total` is 0 when unknown."""
        ...

    def log(self, piece: bytes) -> None:
        """The program printed something."""
        ...


class Silent:
    """Watches nothing."""

    def stage(self, text: str) -> None:
        """Ignore it."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignore it."""

    def log(self, piece: bytes) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Trying:
    """Watches a trial: its program's log and progress are nobody's, its steps are told in one word."""

    whom: Reporter

    def stage(self, text: str) -> None:
        """Tell when it runs, and nothing else."""
        if text.startswith("running"):
            self.whom.stage("a trial runs")

    def progress(self, what: str, done: int, total: int) -> None:
        """Ignore it."""

    def log(self, piece: bytes) -> None:
        """Ignore it."""


@dataclass
class Stop:
    """The user's wish to stop: acted on at once, or put off while a container runs and its result is kept."""

    event: threading.Event = field(default_factory=threading.Event)
    deferred: bool = False

    def ask(self) -> None:
        """Called by the signal handler; the first wish is put off when need be, the second never is."""
        again = self.event.is_set()
        self.event.set()
        if again or not self.deferred:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def put_off(self) -> Iterator[threading.Event]:
        """While inside, a first wish only sets the event that is given."""
        self.deferred = True
        try:
            yield self.event
        finally:
            self.deferred = False


@dataclass(frozen=True)
class Site:
    """One machine, one engine, one store."""

    connect: Callable[[], Engine]
    """Gives the container engine; called when it is first needed."""
    store: Store
    home: Home
    inside: Path
    """Folder of the inside room."""
    environment: Mapping[str, str]
    """Environment variables, for git's proxies and agents."""
    now: Callable[[], datetime]
    new_attempt: Callable[[], str]
    """Makes an attempt id: the time and random digits."""
    fetchers: Mapping[str, Fetcher]
    """How data comes from `s3://` and `https://`, by scheme."""
    version: str
    """Version of this program."""
    submitter: str = ""
    """Who submits here, as they say themselves."""
    secrets: Secrets = field(default_factory=Secrets)
    """Values that specs may name."""
    reporter: Reporter = field(default_factory=Silent)
    stop: Stop = field(default_factory=Stop)

    @cached_property
    def engine(self) -> Engine:
        """The container engine."""
        return self.connect()

    @cached_property
    def keys(self) -> KeyRing:
        """The key that signs here, and those that are trusted."""
        from executor.steps.signed.keys import KeyRing

        return KeyRing(self.home.keys, self.environment)

    @property
    def trying(self) -> bool:
        """Whether what runs here is a trial, of which nothing is published."""
        return isinstance(self.reporter, Trying)

    def live_log(self, spec_hash: Digest, attempt: str) -> Callable[[int, bytes], None]:
        """Publishes log segments for those who follow from elsewhere; a store that fails does not stop the run."""

        def publish(segment: int, data: bytes) -> None:
            try:
                self.store.put_log(spec_hash, attempt, segment, data)
            except StoreUnreachable as error:
                get_logger("site").warning("the live log is not published", segment=segment, problem=error.message)

        return publish
