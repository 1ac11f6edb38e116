"""The machine at hand, as the command line and Python find it: its clock, environment and randomness are read here.

Everything else is given what it needs of them.
"""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import TYPE_CHECKING

import platformdirs

import executor
from executor.engine.redact import MOST, VARIABLE, Secrets
from executor.errors import Interrupted, UsageError
from executor.steps.home import Home
from executor.steps.site import Reporter, Silent, Site, Stop
from executor.store import open_store
from executor.store.interface import Store
from executor.text import plain

if TYPE_CHECKING:  # these take a while to import, and most commands need none of them
    from executor.engine.inputs import Fetcher
    from executor.engine.interface import Engine
    from executor.steps.signed.keys import KeyRing

Tell = Callable[[str], None]
MOST_OF_NAME = 200
"""Characters of who submits that are kept."""


def now() -> datetime:
    """The clock, UTC."""
    return datetime.now(UTC)


def new_attempt() -> str:
    """An attempt id: the time, so that ids sort, and random digits."""
    return f"{now():%Y%m%dT%H%M%SZ}-{token_hex(4)}"


def home(named: str | Path | None = None) -> Home:
    """The executor's folder on this machine: the one that is named, `EXECUTOR_HOME`, or the user's data folder."""
    named = named or os.environ.get("EXECUTOR_HOME")
    return Home(Path(named).resolve() if named else platformdirs.user_data_path("repro-executor"))


def keys(at: Home) -> KeyRing:
    """The key that signs here, and those that are trusted."""
    from executor.steps.signed.keys import KeyRing

    return KeyRing(at.keys, os.environ)


def engine() -> Engine:
    """The container engine that `DOCKER_HOST` or its default names."""
    from executor.engine.container import DockerEngine  # docker-py takes 70 ms to import

    return DockerEngine(os.environ, now)


def engine_address() -> str:
    """Where the container engine is, without asking it."""
    from executor.engine.interface import DEFAULT_ADDRESS

    return os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS


def store(url: str | None, at: Home, tell: Tell) -> Store:
    """The store that was named, or the S3 server on loopback, which is started for the user; `tell` hears of it."""
    named = url or os.environ.get("EXECUTOR_STORE")
    if named:
        return open_store(named, os.environ, journal=at.uploads)
    from executor.store.server import Server  # only who names no store needs it

    server = Server(at.server)
    info = server.running()
    if info is None:
        tell(f"no store is named (--store, EXECUTOR_STORE): starting an S3 server, data in {at.server}")
        info = server.start()
    return open_store(info.url, info.env, journal=at.uploads)


def other_store(url: str, start: str, at: Home) -> Store:
    """A second store; variables that begin with `start`, such as `TO_`, are in the place of those without it."""
    own = {name.removeprefix(start): value for name, value in os.environ.items() if name.startswith(start)}
    return open_store(url, {**os.environ, **own}, journal=at.uploads)


def secret_values(words: Sequence[str] = ()) -> Secrets:
    """Values of secrets: of variables `EXECUTOR_SECRET_<NAME>`, and of files that `NAME=FILE` words name, which win."""
    named = [name for name in os.environ if name.startswith(VARIABLE)]
    found = {name.removeprefix(VARIABLE): os.fsencode(os.environ[name]) for name in named}
    for word in words:
        name, equals, path = word.partition("=")
        if not name or not equals:
            raise UsageError(f"--secret {name}: expected NAME=FILE", advice="the value stands in a file, never here")
        try:
            with Path(path).open("rb") as file:
                found[name] = file.read(MOST + 1)
        except OSError as error:
            message = f"--secret {name}: {path}: {error.strerror}"
            raise UsageError(message, advice="name a file that can be read") from error
    return Secrets(found)


def site(place: Store, at: Home, reporter: Reporter | None = None, secrets: Sequence[str] = ()) -> Site:
    """Everything that a run needs, for this machine."""
    return Site(
        connect=engine,
        store=place,
        home=at,
        inside=Path(executor.__file__).parent / "inside",
        environment={name: value for name, value in os.environ.items() if not name.startswith(VARIABLE)},
        secrets=secret_values(secrets),
        now=now,
        new_attempt=new_attempt,
        fetchers=fetchers(os.environ),
        version=executor.__version__,
        reporter=reporter or Silent(),
    )


def fetchers(environment: Mapping[str, str]) -> dict[str, Fetcher]:
    """How data comes from elsewhere, by scheme."""
    from executor.engine.addresses import SETTING, named_hosts
    from executor.engine.https import HttpsFetcher
    from executor.store.sources import fetch_prefix

    return {
        "s3": lambda url, target, progress: fetch_prefix(url, target, environment, progress),
        "https": HttpsFetcher(hosts=named_hosts(environment.get(SETTING, ""))),
    }


def submitter(named: str | None = None) -> str:
    """Who submits: as they say, or as `EXECUTOR_USER`, their git or the machine knows them; one short line."""
    found = named or os.environ.get("EXECUTOR_USER") or _of_git() or _of_login()
    return " ".join(plain(found).split())[:MOST_OF_NAME]


def _of_git() -> str:
    """Name and address of git's own user, where there is git and it knows them."""
    asked = ("git", "config", "--get-regexp", r"^user\.(name|email)$")
    try:
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    known = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    name, address = known.get("user.name", ""), known.get("user.email", "")
    return f"{name} <{address}>" if name and address else name or address


def _of_login() -> str:
    with suppress(OSError, KeyError):  # a container may run under a number without a name
        return getpass.getuser()
    return ""


@contextmanager
def stoppable(stop: Stop, tell: Tell) -> Iterator[None]:
    """While inside, Ctrl-C and SIGTERM are wishes to stop. Raises `Interrupted`.

    Signals reach the first thread of a process alone: in another one they stay what they are.
    """
    with _asked(stop, tell):
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing of this attempt was kept") from None


@contextmanager
def _asked(stop: Stop, tell: Tell) -> Iterator[None]:
    def ask(_: int, __: FrameType | None) -> None:
        if stop.deferred and not stop.event.is_set():
            tell("stopping the run; once more to leave at once")
        stop.ask()

    ours = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, ask) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
