"""Secrets reach a run as files in memory, and by no other way: not its variables, not the engine's records, not a disk.

The files lie in a private folder of a tmpfs while the container runs, and are mounted read-only at `/run/secrets`. A
killed executor leaves them until the next start, which removes them with the rest of its attempt.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from executor.engine.redact import Redactor, Secrets, forms
from executor.errors import EnvironmentMismatch, UsageError
from executor.facts import Fact, Finding, OutputFile
from executor.spec.canonical import CHUNK

F = TypeVar("F", bound=Fact)
MEMORY = Path("/dev/shm")  # noqa: S108 a tmpfs, and a private folder in it
"""Where files lie in memory."""
RUN_UID = 1000
MOST_NAMED = 20
"""Output files with a secret in them that are named."""


def folder_of(attempt: str) -> Path:
    """Where the secrets of an attempt lie while it runs."""
    return MEMORY / f"repro-executor-{attempt}" / "secrets"


@contextmanager
def laid_out(secrets: Secrets, attempt: str, *, local: bool) -> Iterator[Path | None]:
    """The folder to mount, while the run goes on; none when there are no secrets.

    Raises `EnvironmentMismatch` for an engine on another machine, `UsageError` where no file can lie in memory.
    """
    if not secrets.values:
        yield None
        return
    if not local:
        raise EnvironmentMismatch("secrets: the engine is on another machine, which would keep them on its disk",
                                  advice="run this spec where its engine is")  # fmt: skip
    if _kind_of(MEMORY) != "tmpfs":
        raise UsageError(f"secrets: {MEMORY} is no tmpfs, so they would lie on a disk", advice=f"mount one at {MEMORY}")
    folder = folder_of(attempt)
    folder.parent.mkdir(mode=0o700)
    try:
        folder.mkdir(mode=0o755)
        for name, value in secrets.values.items():
            _write(folder / name, value)
        folder.chmod(0o555)
        yield folder
    finally:
        forget(attempt)


def _write(path: Path, value: bytes) -> None:
    mine = os.geteuid() == 0
    # whoever cannot give a file away lets all read it, in a folder that nobody else can enter
    path.touch(0o600, exist_ok=False)
    path.write_bytes(value)
    path.chmod(0o400 if mine else 0o444)
    if mine:
        os.chown(path, RUN_UID, RUN_UID)


def forget(attempt: str) -> None:
    """Remove the secrets of an attempt, if there are any."""
    if (folder := folder_of(attempt).parent).exists():
        shutil.rmtree(folder)


def _kind_of(folder: Path) -> str:
    """Type of the file system that is mounted at a folder; empty when none is."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return next((row[2] for row in reversed(rows) if row[1] == str(folder)), "")


def cleaned(fact: F, secrets: Secrets) -> F:
    """The same fact, without the values that a program may have told."""
    text = fact.model_dump_json()
    shown = Redactor(secrets).text(text)
    return fact if shown == text else type(fact).model_validate_json(shown)


def leaks(files: Iterable[OutputFile], staging: Path, secrets: Secrets) -> list[Finding]:
    """A warning for each output file that holds a value; the copies in `staging` are read again."""
    wanted = {name: forms(value) for name, value in secrets.values.items()}
    found: list[Finding] = []
    for file in files if wanted else ():
        named = _held(staging / file.path, wanted)
        if named and len(found) < MOST_NAMED:
            found.append(
                Finding(
                    field="secrets", expected=f"{file.path} without secrets", severity="warn",
                    observed=f"it holds {', '.join(named)}, and is kept in the store as it is",
                    advice="change the secret, and have the program not write it",
                )
            )  # fmt: skip
    return found


def _held(path: Path, wanted: dict[str, set[bytes]]) -> list[str]:
    """Names whose value stands in a file, pieces of which overlap by the longest form."""
    overlap, held, end = max(len(form) for each in wanted.values() for form in each) - 1, set[str](), b""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            text = end + piece
            held |= {name for name, each in wanted.items() if name not in held and any(form in text for form in each)}
            end = text[-overlap:]
    return sorted(held)
