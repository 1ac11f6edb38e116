"""Every error the executor raises, with its exit code and its advice.

An error carries data (what was expected, what was seen, where) and one sentence of advice. Only `cli` prints or exits.
A programmer's mistake stays a `ValueError` or `RuntimeError`; a failing user program is a record, not an error.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


def count(number: int, noun: str) -> str:
    """A number of things as people write it: `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class ExecutorError(Exception):
    """Base of all errors; `exit_code` and `advice` are what the command line shows."""

    exit_code = 1

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def as_json(self) -> dict[str, Any]:
        """The one JSON document that `--json` prints for this error."""
        return {"error": type(self).__name__, "message": self.message, "advice": self.advice}


@dataclass(frozen=True)
class Issue:
    """One problem in a spec file."""

    message: str
    """What is wrong, what was expected, in one sentence."""
    field: str = ""
    """Dotted path such as `data.digits.hash`; empty for the file as a whole."""
    line: int = 0
    """1-based line; 0 when there is none."""
    column: int = 0
    """1-based column; 0 when there is none."""


class SpecError(ExecutorError):
    """A spec cannot be read; carries every problem, not the first."""

    exit_code = 2

    def __init__(self, issues: Sequence[Issue], *, path: str = "<spec>", advice: str = "") -> None:
        self.issues = tuple(issues)
        self.path = path
        super().__init__("\n".join(self._line(issue) for issue in self.issues), advice=advice)

    def _line(self, issue: Issue) -> str:
        where = f"{self.path}:{issue.line}:{issue.column}" if issue.line else self.path
        return f"{where}: {issue.field}: {issue.message}" if issue.field else f"{where}: {issue.message}"

    def as_json(self) -> dict[str, Any]:
        """What a spec that cannot be read prints: `{"errors": [{"line", "column", "field", "message"}]}`."""
        return {"errors": [asdict(issue) for issue in self.issues], "path": self.path, "advice": self.advice}


class SeveralErrors(ExecutorError):
    """Problems that were found together; the exit code is that of the first."""

    def __init__(self, errors: Sequence[ExecutorError]) -> None:
        self.errors = tuple(errors)
        self.exit_code = self.errors[0].exit_code
        advice = "\n".join(dict.fromkeys(error.advice for error in self.errors if error.advice))
        super().__init__("\n".join(error.message for error in self.errors), advice=advice)

    def as_json(self) -> dict[str, Any]:
        """Adds each error's own document to the base shape."""
        return super().as_json() | {"errors": [error.as_json() for error in self.errors]}


class UsageError(ExecutorError):
    """The command was asked for something that makes no sense."""

    exit_code = 2


class QueryError(UsageError):
    """An expression that asks for runs cannot be read; `at` says where it goes wrong, from 0."""

    def __init__(self, expression: str, at: int, problem: str, *, advice: str = "") -> None:
        start = max(0, at - 60)
        shown = re.sub(r"\s", " ", expression[start : at + 40])
        super().__init__(f"{problem}\n  {shown}\n  {' ' * (at - start)}^", advice=advice)
        self.expression, self.at, self.problem = expression, at, problem

    def as_json(self) -> dict[str, Any]:
        """Adds the expression and the place in it to the base shape."""
        return super().as_json() | {"expression": self.expression, "at": self.at, "problem": self.problem}


class UncommittedChanges(UsageError):
    """A working tree is not what its commit says; `files` names what changed."""

    def __init__(self, repo: str, files: Sequence[str]) -> None:
        self.files = tuple(files)
        shown = "".join(f"\n  {name}" for name in self.files[:20])
        more = f"\n  … and {len(self.files) - 20} more" if len(self.files) > 20 else ""
        super().__init__(
            f"{repo}: uncommitted changes in {count(len(self.files), 'file')}:{shown}{more}",
            advice="commit, remove or .gitignore them: a spec can only name a commit",
        )


class NotFound(UsageError):
    """No run, attempt or file by that name is in the store (answered, not unreachable)."""


class EnvironmentMismatch(ExecutorError):
    """The environment or an input is not what the spec asks for; `findings` are `environment.facts.Finding`s."""

    exit_code = 3

    def __init__(self, message: str, *, findings: Sequence[Any] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.findings = tuple(findings)

    def as_json(self) -> dict[str, Any]:
        """Adds the findings to the base shape."""
        return super().as_json() | {"status": "refused", "findings": [dict(f) for f in self.findings]}


class InputMismatch(EnvironmentMismatch):
    """A commit or a data tree is not the one that the spec names."""

    def __init__(self, field: str, *, expected: str, observed: str, advice: str = "") -> None:
        super().__init__(f"{field}: expected {expected}, found {observed}", advice=advice)
        self.field, self.expected, self.observed = field, expected, observed


class NotRepeatable(ExecutorError):
    """A program gave two results in one environment; `divergence` says where they parted."""

    exit_code = 4

    def __init__(self, message: str, *, divergence: dict[str, Any], advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.divergence = divergence

    def as_json(self) -> dict[str, Any]:
        """Adds where the two parted to the base shape."""
        return super().as_json() | {"divergence": self.divergence}


class CorruptObject(ExecutorError):
    """Stored bytes are not what their name says."""

    exit_code = 5

    def __init__(self, key: str, *, expected: str, observed: str) -> None:
        super().__init__(
            f"{key}: stored bytes are wrong: expected {expected}, found {observed}",
            advice="do not trust this object; restore it from another copy",
        )
        self.key, self.expected, self.observed = key, expected, observed


class Untrusted(ExecutorError):
    """A result that was to be reused or compared with is not signed by a key that is trusted here."""

    exit_code = 5


class Unreachable(ExecutorError):
    """Store, engine, registry or repository did not answer; absent and unreachable are never confused."""

    exit_code = 6


class StoreUnreachable(Unreachable):
    """The store did not answer, or refused us."""


class Retained(StoreUnreachable):
    """The store must keep this object for now: a lock on it forbids to remove it."""


class Unpublished(StoreUnreachable):
    """A run has ended and its result lies safely on this machine, not yet in the store."""

    def __init__(self, message: str, *, spec_hash: str, attempt: str, folder: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.spec_hash, self.attempt, self.folder = spec_hash, attempt, folder

    def as_json(self) -> dict[str, Any]:
        """Adds what ran and where its result lies to the base shape."""
        return super().as_json() | {"spec_hash": self.spec_hash, "attempt": self.attempt, "folder": self.folder}


class DiskFailed(Unreachable):
    """A disk of this machine does not take what is written to it."""

    @staticmethod
    def of(error: OSError) -> DiskFailed:
        """The system's error in our words: `DiskFull`, or another problem with a disk."""
        where, reason = error.filename or "a disk of this machine", error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(f"{where}: {reason}", advice="make room on this disk")
        return DiskFailed(f"{where}: {reason}", advice="check this disk")


class DiskFull(DiskFailed):
    """There is no room left on a disk of this machine."""


class EngineUnreachable(Unreachable):
    """The container engine did not answer, or cannot do what is needed."""


class RegistryUnreachable(Unreachable):
    """An image registry did not answer."""


class SourceUnreachable(Unreachable):
    """A code repository or a data source did not answer."""


class ImageNotFound(Unreachable):
    """No engine, registry or store has the image of that digest."""


class HeldElsewhere(ExecutorError):
    """Another executor runs this spec; `holder` says who, where and since when."""

    exit_code = 7

    def __init__(self, message: str, *, holder: dict[str, Any], advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.holder = holder

    def as_json(self) -> dict[str, Any]:
        """Adds the holder to the base shape."""
        return super().as_json() | {"holder": self.holder}


class Interrupted(ExecutorError):
    """Stopped by Ctrl-C or SIGTERM; `attempt` is what was recorded, when there was something to record."""

    exit_code = 130
