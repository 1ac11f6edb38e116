"""Puts a site together: the one place that reads the clock, the environment variables and randomness."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from types import FrameType

import platformdirs

import executor
from executor.cli.output import plain, say
from executor.cli.terminal import Terminal
from executor.engine.inputs import Fetcher
from executor.engine.interface import DEFAULT_ADDRESS, Engine
from executor.engine.redact import MOST, VARIABLE, Secrets
from executor.errors import Interrupted, NotFound, UsageError
from executor.spec.canonical import Digest
from executor.steps.signed.keys import KeyRing
from executor.steps.site import Reporter, Silent, Site, Stop
from executor.steps.workspace import Home
from executor.store import open_store
from executor.store.interface import Store

MOST_OF_NAME = 200
"""Characters of who submits that are kept."""


def now() -> datetime:
    """The clock, UTC."""
    return datetime.now(UTC)


def new_attempt() -> str:
    """An attempt id: the time, so that ids sort, and random digits."""
    return f"{now():%Y%m%dT%H%M%SZ}-{token_hex(4)}"


def home() -> Home:
    """The executor's folder on this machine: `EXECUTOR_HOME`, or the user's data folder."""
    named = os.environ.get("EXECUTOR_HOME")
    return Home(Path(named).resolve() if named else platformdirs.user_data_path("repro-executor"))


def keys() -> KeyRing:
    """The key that signs here, and those that are trusted."""
    return KeyRing(home().keys, os.environ)


def engine() -> Engine:
    """The container engine that `DOCKER_HOST` or its default names."""
    from executor.engine.container import DockerEngine  # docker-py takes 70 ms to import

    return DockerEngine(os.environ, now)


def engine_address() -> str:
    """Where the container engine is, without asking it."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS


def store(url: str | None) -> Store:
    """The store that was named, or the S3 server on loopback, which is started for the user and says so."""
    named = url or os.environ.get("EXECUTOR_STORE")
    if named:
        return open_store(named, os.environ, journal=home().uploads)
    from executor.store.server import Server  # only who names no store needs it

    server = Server(home().server)
    info = server.running()
    if info is None:
        say(f"no store is named (--store, EXECUTOR_STORE): starting an S3 server, data in {home().server}")
        info = server.start()
    return open_store(info.url, info.env, journal=home().uploads)


def other_store(url: str, start: str) -> Store:
    """A second store; variables that begin with `start`, such as `TO_`, are in the place of those without it."""
    own = {name.removeprefix(start): value for name, value in os.environ.items() if name.startswith(start)}
    return open_store(url, {**os.environ, **own}, journal=home().uploads)


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


def site(url: str | None, reporter: Reporter | None = None, secrets: Sequence[str] = ()) -> Site:
    """Everything that a run needs, for this machine."""
    return Site(
        connect=engine,
        store=store(url),
        home=home(),
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
def watched(
    url: str | None, *, quiet: bool = False, secrets: Sequence[str] = (), who: str | None = None
) -> Iterator[Site]:  # fmt: skip
    """A site whose run is shown on the terminal, and is stopped by Ctrl-C and SIGTERM; `who` submits it."""
    with Terminal(quiet=quiet) as terminal:
        here = replace(site(url, terminal, secrets), submitter=submitter(who))
        with _signals(here.stop):
            try:
                yield here
            except KeyboardInterrupt:
                raise Interrupted("interrupted; nothing of this attempt was kept") from None


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    def ask(_: int, __: FrameType | None) -> None:
        if stop.deferred and not stop.event.is_set():
            say("stopping the run; once more to leave at once")
        stop.ask()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def find_run(store: Store, text: str) -> Digest:
    """The spec hash that `text` (at least 6 digits of it) names in the store."""
    digits = text.removeprefix("sha256:").lower()
    if len(digits) < 6 or any(c not in "0123456789abcdef" for c in digits) or len(digits) > 64:
        raise UsageError(f"not a spec hash: {text!r}", advice="give at least 6 of its hexadecimal digits")
    found = sorted(store.spec_hashes(digits))
    if not found:
        raise NotFound(f"{text}: no run of this hash in {store.url}", advice="`executor ls` shows what there is")
    if len(found) > 1:
        raise UsageError(f"{text}: {len(found)} runs begin so: {', '.join(d.hex[:12] for d in found[:5])}",
                         advice="give more digits")  # fmt: skip
    return found[0]
