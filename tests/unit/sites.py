"""A whole site for tests: real folders, git and code paths; a fake engine, and a store in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import executor
from executor.engine.interface import LogSink
from executor.evidence.proof import Proof
from executor.evidence.record import Record
from executor.facts import HostFacts, Outcome
from executor.run import Options, Result, rerun, submit
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.history import records
from executor.steps.home import Home
from executor.steps.prepare import Inputs, observe
from executor.steps.recorded import Ended
from executor.steps.report import Heard
from executor.steps.site import Site
from executor.steps.workspace import Workspace, open_workspace
from tests.fakes import NOON, FakeEngine, MemoryStore
from tests.unit.engine.repos import ENV
from tests.unit.environment import samples

IMAGE = Digest.of(b"an image")
HOST = samples.host()
LAUNCH = json.loads(samples.container().model_dump_json())
"""What the inside room reports of a container on which everything is well."""
PROVEN = {"began-0-1.json": {"process": "0"}, "process-0.json": {"process": "0", "settings": {}}}
"""What a program that ended by itself leaves beside it."""
REPORTS = {"launch.json": LAUNCH, **PROVEN}


def a_spec(**changes: Any) -> Spec:
    known: dict[str, Any] = {
        "version": 1, "name": "digits", "image": f"registry.example.org/ml/torch@{IMAGE}", "command": ("true",),
        "seed": 1, "cpu": {"threads": 2}, "outputs": {"weights": ["*.pt"], "metrics": "metrics.jsonl"},
    }  # fmt: skip
    return Spec.model_validate(known | changes)


@dataclass
class Program:
    """What runs in place of a container: writes outputs, prints, reports from inside, ends."""

    outputs: dict[str, bytes] = field(default_factory=lambda: {"model.pt": b"weights"})
    prints: bytes = b"training\n"
    reports: dict[str, Any] = field(default_factory=lambda: dict(REPORTS))
    code: int = 0

    def __call__(self, work: Path, log: LogSink) -> int:
        for name, data in self.outputs.items():
            path = work / "outputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name, document in self.reports.items():
            (work / "report" / name).write_text(json.dumps(document))
        log(self.prints)
        return self.code


class Watcher:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.printed = b""
        self.moved: list[tuple[str, int, int]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self.moved.append((what, done, total))

    def log(self, piece: bytes) -> None:
        self.printed += piece


class World:
    """A site, and what tests do with it."""

    def __init__(self, root: Path, program: Program | None = None) -> None:
        self.program = program or Program()
        self.engine = FakeEngine(IMAGE, program=lambda work, log: self.program(work, log))
        self.store = MemoryStore()
        self.watcher = Watcher()
        self._moments, self._attempts = itertools.count(), itertools.count(1)
        self.site = Site(
            connect=lambda: self.engine, store=self.store, home=Home(root / "home"),
            inside=Path(executor.__file__).parent / "inside", environment=ENV, now=self.now,
            new_attempt=lambda: f"20260101T120000Z-{next(self._attempts):08x}", fetchers={}, version="0",
            reporter=self.watcher, submitter="Ada <ada@example.org>",
        )  # fmt: skip

    def now(self) -> datetime:
        """A clock that moves a second each time it is read."""
        return NOON + timedelta(seconds=next(self._moments))

    def without_engine(self) -> Site:
        """The same site on a machine whose engine must not be asked."""

        def connect() -> FakeEngine:
            raise AssertionError("the engine was asked")

        return replace(self.site, connect=connect)

    def submit(self, spec: Spec, *, force: bool = False, allow: tuple[str, ...] = ()) -> Result:
        return submit(spec, self.site, Options(force, frozenset(allow)))

    def rerun(self, spec: Spec, *allow: str) -> Result:
        return rerun(spec.hash, self.site, Options(allow=frozenset(allow)))

    def records(self, spec: Spec) -> list[Record]:
        return records(self.store, spec.hash)

    @property
    def stored(self) -> list[str]:
        """Keys in the store, those of its probes and of leases aside."""
        return [key for key in self.store.contents if not key.startswith("v1/probes/") and "/lease." not in key]

    @property
    def left(self) -> list[str]:
        """Attempts whose folders are still on this machine."""
        return sorted(folder.name for folder in self.site.home.attempts.iterdir() if folder.is_dir())


def an_end(world: World, attempt: str, **changes: Any) -> Ended:
    """A run of `a_spec()` that ended well."""
    done = Outcome(exit_code=0, started=NOON, finished=NOON)
    seen = Heard(observe(world.site), (), Proof(standing="proven"))
    known = Ended(a_spec(), attempt, done, seen, Inputs(None, ()), frozenset(), None, rerun=False)
    return replace(known, **changes)


@contextmanager
def a_workspace(world: World, attempt: str, **outputs: bytes) -> Iterator[Workspace]:
    """The folder of a run that left these files (`model_pt` is `model.pt`)."""
    with open_workspace(world.site.home, attempt) as space:
        space.log.write_bytes(b"log\n")
        space.printed.touch()
        for name, data in outputs.items():
            (space.outputs / name.replace("_", ".")).write_bytes(data)
        yield space


def same_host(now: datetime, *_: object) -> HostFacts:
    """In place of looking at the machine that tests run on."""
    return HOST.model_copy(update={"time": now})
