"""Which runs are compared, and how their code differs: what `evidence/versus.py` is given, from the store."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from executor.engine.archive import Committed, opened
from executor.errors import CorruptObject, InputMismatch, NotFound, UsageError, count
from executor.evidence.record import Record
from executor.evidence.versus import MOST_RUNS
from executor.spec.canonical import Digest
from executor.steps.finding.search import find
from executor.steps.history import read
from executor.store.interface import Store
from executor.store.transfer import in_threads
from executor.store.view import View

MOST_ARCHIVE = 256 << 20
"""Bytes of the largest code archive that is looked into."""
MOST_FILE = 256 << 10
"""Bytes of the largest file whose lines are told."""
MOST_FILES, MOST_LINES, MOST_COMMITS = 50, 400, 5
"""Files of a commit, lines of a file, and commits beside the first that are told."""
_AT_ONCE = 16


@dataclass(frozen=True)
class FileChange:
    """One file that differs between two commits."""

    path: str
    kind: Literal["added", "removed", "changed"]
    lines: tuple[str, ...] = ()
    """A unified diff, at most `MOST_LINES`."""
    more: int = 0
    """Lines that are left out."""
    note: str = ""
    """Why no lines are told."""


@dataclass(frozen=True)
class CodeChange:
    """How the code of one commit differs from that of another."""

    before: str
    after: str
    """Commits, 40 hex digits."""
    files: tuple[FileChange, ...] = ()
    """At most `MOST_FILES`, by path."""
    more: int = 0
    """Files that differ and are left out."""
    problem: str = ""
    """Why the files are not known."""


def found_records(view: View, store: Store, expression: str, now: datetime) -> list[Record]:
    """The records of the runs that an expression is true of, the newest first; `UsageError` for too many."""
    found = find(view, expression, now, limit=MOST_RUNS)
    if found.total > MOST_RUNS:
        raise UsageError(f"{expression}: {found.total} runs, more than the {MOST_RUNS} that can be compared",
                         advice="ask for fewer, as with `created > 7d`")  # fmt: skip
    return in_threads(lambda run: read(store, Digest(run["spec"]), run["attempt"]), found.rows, _AT_ONCE)


def once(records: Sequence[Record]) -> list[Record]:
    """Every record in its order, those that are named twice once."""
    return list({(record.spec_hash, record.attempt): record for record in records}.values())


def code_changes(store: Store, records: Sequence[Record], baseline: int = 0) -> list[CodeChange]:
    """How the code of other commits differs from that of the run at `baseline`; at most `MOST_COMMITS` of them."""
    first = records[baseline]
    others = {record.spec["code"]: record for record in records if record.spec["code"] != first.spec["code"]
              and record.spec["code"] and first.spec["code"]}  # fmt: skip
    return [code_change(store, first, other) for other in list(others.values())[:MOST_COMMITS]]


def code_change(store: Store, one: Record, other: Record) -> CodeChange:
    """How the code of `other` differs from that of `one`, as far as the store has both archives."""
    before, after = one.spec["code"], other.spec["code"]
    try:
        with ExitStack() as stack:
            old, new = (stack.enter_context(_archive(store, record)) for record in (one, other))
            paths = sorted(path for path in old.files.keys() | new.files.keys()
                           if old.files.get(path) != new.files.get(path))  # fmt: skip
            files = tuple(_change(path, old, new) for path in paths[:MOST_FILES])
            return CodeChange(before, after, files, len(paths) - len(files))
    except (NotFound, CorruptObject, InputMismatch, UsageError) as error:
        return CodeChange(before, after, problem=error.message)


@contextmanager
def _archive(store: Store, record: Record) -> Iterator[Committed]:
    commit = record.spec["code"]
    if record.code is None:
        raise NotFound(f"the store has no archive of commit {commit[:12]}")
    if record.code.size > MOST_ARCHIVE:
        raise UsageError(f"the archive of commit {commit[:12]} is too large to look into")
    with tempfile.TemporaryDirectory(prefix="executor-code-") as folder:
        target = Path(folder, "archive")
        try:
            store.get_blob(record.code.digest, target)
        except NotFound as error:
            raise NotFound(f"the store lost the archive of commit {commit[:12]}") from error
        with target.open("rb") as archive, opened(archive, commit) as files:
            yield files


def _change(path: str, old: Committed, new: Committed) -> FileChange:
    kind: Literal["added", "removed", "changed"] = (
        "changed" if path in old.files and path in new.files else "added" if path in new.files else "removed"
    )
    sides = [side.read(path, MOST_FILE) if path in side.files else b"" for side in (old, new)]
    if any(side is None for side in sides):
        return FileChange(path, kind, note=f"larger than {MOST_FILE >> 10} KiB")
    texts = [_text(side or b"") for side in sides]
    if any(text is None for text in texts):
        return FileChange(path, kind, note="no text")
    before, after = (text.splitlines() if text is not None else [] for text in texts)
    lines = list(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", lineterm=""))
    return FileChange(path, kind, tuple(lines[:MOST_LINES]), max(0, len(lines) - MOST_LINES))


def _text(data: bytes) -> str | None:
    """The text that bytes are; none for anything else."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def told(change: CodeChange) -> str:
    """What changed, in one sentence."""
    if change.problem:
        return change.problem
    total = len(change.files) + change.more
    return f"{count(total, 'file')} {'differs' if total == 1 else 'differ'}"
