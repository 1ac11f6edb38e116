"""Runs that are going on: those of this machine by their folders, those of others by the leases in the store."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from executor.dashboard.desk import Desk
from executor.errors import NotFound
from executor.spec.canonical import Digest, spec_hash
from executor.steps.home import Home
from executor.steps.report import read
from executor.steps.workspace import Workspace
from executor.store import layout
from executor.store.interface import Store
from executor.store.lease import Holder
from executor.store.transfer import in_threads

MOST_SPECS = 2_000
"""Specs of a store that are looked at for a run of another machine."""
_AT_ONCE = 16
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Going:
    """A run that is going on."""

    spec: str
    attempt: str
    command: str = ""
    """What it runs, where that is known."""
    host: str = ""
    since: datetime | None = None
    here: bool = False
    """Whether it runs on this machine."""


def going(at: Desk) -> list[Going]:
    """All that can be seen from here, the newest first."""
    here = list(_here(at.home))
    known = {one.attempt for one in here}
    there = [one for one in _leased(at) if one.attempt not in known]
    return sorted([*here, *there], key=lambda one: one.attempt, reverse=True)


def space_of(home: Home, attempt: str) -> Workspace | None:
    """The folder of an attempt that this machine works on; none when it works on none of that name."""
    space = Workspace(home.attempts / attempt)
    return space if (space.folder / "lock").is_file() and not space.kept and _locked(space.folder / "lock") else None


def _here(home: Home) -> Iterator[Going]:
    for folder in home.attempts.iterdir():
        space = space_of(home, folder.name) if layout.ATTEMPT.fullmatch(folder.name) else None
        spec = read(space.control / "spec.json") if space else {}
        if spec:
            command = shlex.join(map(str, spec.get("command", ())))
            yield Going(spec_hash(spec).hex, folder.name, command, "this machine", _since(folder.name), here=True)


def _since(attempt: str) -> datetime | None:
    """The time in an attempt's id."""
    with suppress(ValueError):
        return datetime.strptime(attempt.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return None


def _locked(path: Path) -> bool:
    """Whether a process holds the lock: the kernel's list says so, and nothing is locked to find out."""
    return f":{path.stat().st_ino} " in _LOCKS.read_text()


def _leased(at: Desk) -> list[Going]:
    """Leases of specs that the index does not know: what ran before is rarely run anew, and a store can be large."""
    specs = [digest.hex for digest in islice(at.store.spec_hashes(), MOST_SPECS)]
    fresh = at.library.ask(lambda view: [spec for spec in specs if not view.of_spec(spec)])
    held = in_threads(lambda spec: holder(at.store, Digest(spec)), fresh, _AT_ONCE)
    return [Going(spec, one.attempt, host=one.process.host, since=one.started)
            for spec, one in zip(fresh, held, strict=True) if one and not one.process.ended()]  # fmt: skip


def holder(store: Store, spec: Digest) -> Holder | None:
    """Who runs a spec; none when nobody says so."""
    with suppress(NotFound):
        found = Holder.parse(store.document(layout.lease(spec))[0])
        return found if found.state == "held" else None
    return None


def spec_text(space: Workspace) -> str:
    """The spec that runs, as JSON for people."""
    return json.dumps(read(space.control / "spec.json"), indent=2, ensure_ascii=False)
