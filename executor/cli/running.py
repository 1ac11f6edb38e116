"""What `submit` and `rerun` have in common: how a run is watched, kept, trusted and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli.notifying import notify_option, webhook
from executor.cli.output import allow_option, archive_option, as_option, say, shared
from executor.cli.pending import remind
from executor.engine.how import LEVELS, How, Level, variation

if TYPE_CHECKING:
    from executor.run import Options
    from executor.spec.model import Spec
    from executor.steps.notify import Webhook
    from executor.steps.site import Site

_OPTIONS = (
    click.option("--quiet", "-q", is_flag=True, help="Neither steps nor the program's log."),
    click.option("--trace", type=click.Choice(LEVELS), default="steps", show_default=True,
                 help="What is written down of every optimizer step: nothing, a digest of each kind, each tensor, "
                      "every operation."),
    click.option("--twin", type=click.IntRange(min=1), metavar="STEPS",
                 help="First run this many optimizer steps twice, and go on only if they are equal."),
    allow_option,
    click.option("--require-signed", is_flag=True,
                 help="Reuse, and compare with, only what a trusted key has signed."),
    click.option("--single-writer", is_flag=True,
                 help="Nobody else writes to the store: use one that ignores conditional puts."),
    archive_option,
    click.option("--secret", "secrets", multiple=True, metavar="NAME=FILE",
                 help="Value of a secret that the spec names.  [env: EXECUTOR_SECRET_<NAME>]"),
    as_option,
    notify_option,
    shared,
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What was asked of the runs of one command."""

    quiet: bool
    trace: Level
    twin: int | None
    allow: tuple[str, ...]
    require_signed: bool
    single_writer: bool
    archive: frozenset[str]
    secrets: tuple[str, ...]
    who: str | None
    notify: str | None
    store: str | None
    as_json: bool

    def options(self, *, vary: tuple[str, ...] = (), **more: bool) -> Options:
        """The same as runs take it."""
        from executor.run import Options

        return Options(allow=frozenset(self.allow), how=How(trace=self.trace, varied=variation(vary)), twin=self.twin,
                       require_signed=self.require_signed, archive=self.archive, **more)  # fmt: skip

    @property
    def hook(self) -> Webhook | None:
        """Who is told of the end."""
        return webhook(self.notify)

    @contextmanager
    def site(self) -> Iterator[Site]:
        """Everything that the runs need, watched on the terminal."""
        from executor.cli.wiring import watched

        with watched(self.store, quiet=self.quiet, secrets=self.secrets, who=self.who) as site:
            remind(site.home)
            site.store.single_writer = self.single_writer
            yield site


def run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command that runs specs all these options, as one `Asked`, before its own words."""
    names = [field.name for field in fields(Asked)]

    @wraps(command)
    def wrapped(**given: Any) -> int:
        asked = Asked(**{name: given.pop(name) for name in names})
        return command(asked, **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def ready(path: Path, site: Site, *others: Path, locking: bool) -> Spec:
    """The spec in a file; a draft is locked beside itself first, as `lock_file` does, when that was asked for."""
    from executor.spec.file import load_spec
    from executor.steps.locking import lock_file

    if not locking:
        return load_spec(path)
    locked = lock_file(path, site, *others)
    say(f"· locked {path} as {locked}")
    return load_spec(locked)
