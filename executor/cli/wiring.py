"""Puts a site together for the command line: this machine as `here` finds it, shown on a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import executor
from executor import here
from executor.cli.output import say
from executor.cli.terminal import Terminal
from executor.here import engine as engine
from executor.here import engine_address as engine_address
from executor.here import home as home
from executor.here import new_attempt as new_attempt
from executor.here import now as now
from executor.here import secret_values as secret_values
from executor.here import submitter as submitter
from executor.steps.finding.named import find_run as find_run
from executor.steps.site import Reporter, Site
from executor.store.interface import Store
from executor.telemetry import reporting

if TYPE_CHECKING:
    from executor.steps.signed.keys import KeyRing


def keys() -> KeyRing:
    """The key that signs here, and those that are trusted."""
    return here.keys(home())


def store(url: str | None) -> Store:
    """The store that was named, or the S3 server on loopback, which is started for the user and says so."""
    return here.store(url, home(), say)


def other_store(url: str, start: str) -> Store:
    """A second store; variables that begin with `start`, such as `TO_`, are in the place of those without it."""
    return here.other_store(url, start, home())


def site(url: str | None, reporter: Reporter | None = None, secrets: Sequence[str] = ()) -> Site:
    """Everything that a run needs, for this machine."""
    return here.site(store(url), home(), reporter, secrets)


@contextmanager
def watched(
    url: str | None, *, quiet: bool = False, secrets: Sequence[str] = (), who: str | None = None
) -> Iterator[Site]:  # fmt: skip
    """A site whose run is shown on the terminal, and is stopped by Ctrl-C and SIGTERM; `who` submits it."""
    with (
        Terminal(quiet=quiet) as terminal,
        reporting(terminal, os.environ, executor.__version__) as reporter,
    ):
        made = replace(site(url, reporter, secrets), submitter=submitter(who))
        with here.stoppable(made.stop, say):
            yield made
