"""The verbs of the command line from Python, for notebooks and scripts: `executor.open()` gives a `Client`.

Errors are those of `executor.errors`. A program that fails is a `Run` like any other, not an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from executor import here
from executor.api.run import Run
from executor.api.tables import Table
from executor.errors import UsageError
from executor.evidence.row import FIELDS, moment
from executor.spec.canonical import Digest
from executor.steps.finding.named import find_run
from executor.steps.history import choose, records
from executor.steps.home import Home
from executor.steps.site import Site
from executor.store.interface import Store
from executor.text import plain

if TYPE_CHECKING:
    from executor.engine.how import Level
    from executor.evidence.importance import Importance
    from executor.run import Result
    from executor.spec.model import Spec
    from executor.steps.finding.indexing import Library
    from executor.steps.finding.leaderboard import Per, Place
    from executor.store.view import View

T = TypeVar("T")
Asked = str | Path | Mapping[str, Any]
"""A spec: the path of its file, or what would stand in it."""
SHOWN = ("name", "submitter", "created", "status", "verdict", "runtime_s")
"""What is told of each run when no columns are named."""


def open(  # noqa: A001 - `executor.open`
    store: str | None = None, *, home: str | Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Client:
    """A store and this machine.

    `store` is `s3://bucket/prefix` or `file:folder`; without one it is `EXECUTOR_STORE`, or the S3 server on loopback.
    `home` is the executor's folder here, by default as on the command line. `tell` hears, a line at a time, of the
    steps of a run and what its program prints: `tell=print` shows them.
    """
    at = here.home(home)
    return Client(here.store(store, at, tell), at, tell)


@dataclass(frozen=True)
class Client:
    """What can be asked of a store, and run on this machine."""

    store: Store
    home: Home
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False)

    # Run ------------------------------------------------------------------------------------------------------------

    def submit(
        self, spec: Asked, *, lock: bool = False, force: bool = False, allow: Iterable[str] = (),
        trace: Level = "steps", twin: int | None = None, archive: Iterable[str] = (), wait: bool = True,
        require_signed: bool = False, submitter: str | None = None,
    ) -> Run:  # fmt: skip
        """Run a spec, or give its finished result from the store at once.

        With `lock` the spec is a draft, which is pinned first. Options mean what they do on the command line. Raises
        `SpecError`, `EnvironmentMismatch`, `Unreachable`, `HeldElsewhere`, `Interrupted` and others.
        """
        from executor.engine.how import How
        from executor.run import Options, submit

        options = Options(force=force, allow=frozenset(allow), how=How(trace=trace), twin=twin, wait=wait,
                          archive=frozenset(archive), require_signed=require_signed)  # fmt: skip
        with self._site(submitter) as site:
            return self._ran(submit(_spec(spec, site, lock=lock), site, options))

    def rerun(
        self, run: str | Run, *, allow: Iterable[str] = (), vary: Mapping[str, object] | None = None,
        trace: Level = "steps", diagnose: bool = False, archive: Iterable[str] = (), require_signed: bool = False,
        submitter: str | None = None,
    ) -> Run:  # fmt: skip
        """Run a stored spec again and compare bit for bit with its reference: the new run has the `verdict`.

        With `diagnose`, a run that differs is looked into, and `divergence` says what was found. `vary` changes one
        thing that we set, such as `{"threads": 2}`. Raises what `submit` does, and `NotFound`.
        """
        from executor.diagnose import diagnosed
        from executor.engine.how import How, variation
        from executor.run import Options, rerun

        how = How(trace=trace, varied=variation(f"{name}={value}" for name, value in (vary or {}).items()))
        options = Options(allow=frozenset(allow), how=how, archive=frozenset(archive), require_signed=require_signed)
        with self._site(submitter) as site:
            done = self._ran(rerun(self._hash(run), site, options))
            if diagnose and done.verdict in ("different", "close"):
                diagnosed(done.record.spec_hash, done.attempt, site, options)
            return done

    # Look -----------------------------------------------------------------------------------------------------------

    def run(self, spec_hash: str, attempt: str | None = None) -> Run:
        """A run by at least 6 digits of its spec hash: one attempt, the reference or else the last by default.

        Raises `NotFound`, and `UsageError` where several begin so.
        """
        found = find_run(self.store, spec_hash)
        return Run(self.store, self.home, choose(self.store, found, records(self.store, found), attempt))

    def find(
        self, expression: str = "", *, sort: str = "", limit: int | None = None, columns: Sequence[str] = ()
    ) -> Table:
        """The runs of which an expression is true, such as `"accuracy >= 0.9 and created > 7d"`; the newest first.

        `sort="loss"` has the lowest first, `sort="-accuracy"` the highest. `columns=("all",)` tells all that there is.
        Raises `QueryError`.
        """
        from executor.steps.finding.search import askable, find

        found = self._ask(lambda view: find(
            view, expression, here.now(), sort=sort.removeprefix("-"), ascending=not sort.startswith("-"),
            limit=limit or max(1, view.count),
            show=(*FIELDS, *askable(view)) if tuple(columns) == ("all",) else columns or SHOWN,
        ))  # fmt: skip
        names = tuple(dict.fromkeys((*found.columns, *(() if columns else found.used))))
        return _table(names, found.rows, found.total)

    def names(self) -> list[str]:
        """Every name that an expression can use."""
        from executor.steps.finding.search import askable

        return [*FIELDS, *self._ask(askable)]

    def best(
        self, metric: str, *, where: str = "", per: Per = "spec", lowest: bool = False, limit: int = 10
    ) -> Table:  # fmt: skip
        """The leaderboard of a metric over all successful runs, each number read again from its record.

        `mean` and `half_width` are over the `seeds` of a line; `reproduced` says what reruns of its spec gave. The
        parameters in which the lines differ are columns. Raises `QueryError`.
        """
        from executor.steps.finding.leaderboard import best

        board = self._ask(lambda view: best(
            view, self.store, metric, here.now(), where=where, per=per, lowest=lowest, limit=limit
        ))  # fmt: skip
        rows = [_line(place, board.metric) for place in board.places]
        told = (board.metric, *board.varying, "name", "submitter", "created", "seeds", "mean", "half_width",
                "reproduced")  # fmt: skip
        return _table(told, rows, len(rows))

    def importance(self, metric: str, *, where: str = "", seed: int = 0) -> Importance:
        """Which parameters a metric depends on; its `problem` says why nothing is told of them.

        Raises `QueryError`, and `UsageError` without scikit-learn.
        """
        from executor.steps.finding.importance import importance

        library = self._library()
        found = importance(library, metric, here.now(), where, seed)
        self._tell_problems(library)
        return found

    def claim(self, text: str, limit: int = 20) -> Table:
        """The runs that stand behind a number that somebody quotes, such as `"accuracy=0.91"`; empty when none does."""
        from executor.steps.finding.behind import SHOWN as TOLD
        from executor.steps.finding.behind import behind

        found = self._ask(lambda view: behind(view, self.store, text, here.now(), limit))
        return _table((found.claim.name, *TOLD), found.rows, found.total)

    def history(self, file: str | Path) -> list[Run]:
        """The runs that left the same bytes as a file, the oldest first."""
        from executor.steps.finding.behind import made

        with Path(file).open("rb") as stream:
            digest = Digest.of_stream(stream)[0]
        return [
            Run(self.store, self.home, one.record) for one in self._ask(lambda view: made(view, self.store, digest))
        ]

    def compare(self, runs: Iterable[str | Run], *, everything: bool = False) -> Table:
        """Runs side by side: a row for each field in which two of them differ, or for every field.

        Raises `UsageError` for less than two runs or more than 200.
        """
        from executor.evidence.held import ABSENT
        from executor.evidence.versus import versus
        from executor.steps.finding.comparison import rows_of

        chosen = [run if isinstance(run, Run) else self.run(run) for run in runs]
        found = versus([run.record for run in chosen])
        heads = [f"{run.spec_hash[:12]}/{run.attempt}" for run in chosen]
        rows = [{"field": row.full_name,
                 **{head: value for head, value in zip(heads, row.values, strict=True) if value is not ABSENT}}
                for row in rows_of(found, everything=everything)]  # fmt: skip
        return Table(("field", *heads), tuple(rows), len(rows))

    # Inside ---------------------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[View], T]) -> T:
        """Put a question to the index of all runs; records that cannot be read are told."""
        library = self._library()
        answer = library.ask(question)
        self._tell_problems(library)
        return answer

    def _tell_problems(self, library: Library) -> None:
        for one in library.problems():
            self.tell(one.problem)

    def _library(self) -> Library:
        from executor.steps.finding.indexing import Library

        return Library.of(self.store, self.home, self.tell)

    @contextmanager
    def _site(self, submitter: str | None) -> Iterator[Site]:
        """All that one run needs; Ctrl-C stops the run, and what it left is kept."""
        site = here.site(self.store, self.home, _Told(self.tell))
        with here.stoppable(site.stop, self.tell):
            yield replace(site, submitter=here.submitter(submitter))

    def _hash(self, run: str | Run) -> Digest:
        return run.record.spec_hash if isinstance(run, Run) else find_run(self.store, run)

    def _ran(self, result: Result) -> Run:
        return Run(self.store, self.home, result.record, cached=result.cached)


class _Told:
    """Hears of a run, a line at a time."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._line = tell, b""

    def stage(self, text: str) -> None:
        if self._line:  # the last one that it printed has no end
            self.log(b"\n")
        self._tell(f"· {text}")

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def log(self, piece: bytes) -> None:
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            self._tell(f"  │ {plain(line.decode('utf-8', 'replace'))}")


def _spec(asked: Asked, site: Site, *, lock: bool) -> Spec:
    from executor.spec.file import load_spec, located, parse_draft, parse_spec
    from executor.steps.locking import lock_draft, pin

    if isinstance(asked, str | Path):
        return lock_draft(Path(asked), site) if lock else load_spec(Path(asked))
    text, name = _written(asked), "<spec>"
    if lock:
        return pin(located(parse_draft(text, name), Path.cwd()), site)
    return located(parse_spec(text, name), Path.cwd())


def _written(asked: Mapping[str, Any]) -> bytes:
    """A mapping as the file that it stands for: JSON is YAML, and one reader finds what is wrong."""
    try:
        return json.dumps(asked, indent=1, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"a spec is made of plain values: {error}", advice="texts, numbers, lists, dicts") from error


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], total: int) -> Table:
    """A table of runs: each row has `spec` and `attempt`, moments are times."""
    times = {name for name in columns if name in FIELDS and FIELDS[name].kind == "time"}
    made = tuple({name: moment(value) if name in times else value for name, value in row.items()} for row in rows)
    return Table(("spec", "attempt", *(name for name in columns if name not in ("spec", "attempt"))), made, total)


def _line(place: Place, metric: str) -> dict[str, Any]:
    over = place.over_seeds
    return {**place.run, metric: place.value, "seeds": place.seeds, "mean": over.mean, "half_width": over.half_width,
            "reproduced": dict(place.verdicts)}  # fmt: skip
