"""The executor's own folder on a machine: caches, and one private folder for each attempt while it lasts.

An attempt's folder is locked by the process that works in it. The lock dies with the process, so the next start knows
what a killed executor left, and removes its container and its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from executor.engine.interface import Engine
from executor.errors import ExecutorError, Interrupted

RUN_UID = 1000
"""User id of every run inside its container."""
UNPUBLISHED = "unpublished"
"""File in an attempt's folder that says: finished, not yet in the store, not to be swept."""
_GATE = "gate"
"""Lock file that is held while an attempt's folder is made or swept, so that the two never meet."""


@dataclass(frozen=True)
class Home:
    """Folders that outlive a run."""

    root: Path

    @property
    def code(self) -> Path:
        """Checked-out trees by commit."""
        return self._folder("code")

    @property
    def trees(self) -> Path:
        """Fetched data by tree hash."""
        return self._folder("trees")

    @property
    def attempts(self) -> Path:
        """One folder for each attempt while it lasts."""
        return self._folder("attempts")

    @property
    def server(self) -> Path:
        """Data of the S3 server that is started when no store is named."""
        return self._folder("server")

    @property
    def images(self) -> Path:
        """Wheels and layers of image builds."""
        return self._folder("images")

    @property
    def hashes(self) -> Path:
        """Cache of file digests."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root / "hashes.sqlite"

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Workspace:
    """The private folder of one attempt."""

    folder: Path

    @property
    def code(self) -> Path:
        """The program, a private copy."""
        return self.folder / "code"

    @property
    def outputs(self) -> Path:
        """What the program leaves."""
        return self.folder / "outputs"

    @property
    def control(self) -> Path:
        """What the inside room is told."""
        return self.folder / "control"

    @property
    def report(self) -> Path:
        """What the inside room says."""
        return self.folder / "report"

    @property
    def staging(self) -> Path:
        """Collected outputs, on their way to the store."""
        return self.folder / "staging"

    @property
    def log(self) -> Path:
        """What the program printed."""
        return self.folder / "log.txt"

    @property
    def printed(self) -> Path:
        """Numbers that were found in what the program printed."""
        return self.folder / "printed.jsonl"

    @contextlib.contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Around the publication of a result: unless it ends well, the folder stays, and no sweep removes it."""
        mark = self.folder / UNPUBLISHED
        mark.touch()
        try:
            yield
        except ExecutorError as error:
            error.advice = f"{error.advice}; the result is kept in {self.folder}".lstrip("; ")
            raise
        except KeyboardInterrupt:
            advice = f"what the run left is kept in {self.folder}"
            raise Interrupted("interrupted before the result was in the store", advice=advice) from None
        mark.unlink()


@contextlib.contextmanager
def open_workspace(home: Home, attempt: str) -> Iterator[Workspace]:
    """Make and lock the folder of one attempt; it is removed at the end unless it was marked to be kept."""
    space = Workspace(home.attempts / attempt)
    with contextlib.ExitStack() as held:
        with _locked(home.attempts / _GATE, wait=True):
            space.folder.mkdir(mode=0o700)
            held.enter_context(_locked(space.folder / "lock"))
        for folder in (space.code, space.outputs, space.control, space.report, space.staging):
            folder.mkdir()
        for folder in (space.outputs, space.report):
            hand_over(folder)
        try:
            yield space
        finally:
            if not (space.folder / UNPUBLISHED).exists():
                with _locked(home.attempts / _GATE, wait=True):
                    remove_tree(space.folder)


def hand_over(path: Path) -> None:
    """Let the run's user write to `path` and all below it; its parents stay private."""
    for folder, names, files in os.walk(path):
        for name in (".", *names, *files):
            target = Path(folder, name)
            if os.geteuid() == 0:
                os.lchown(target, RUN_UID, RUN_UID)
            elif not target.is_symlink():
                target.chmod(target.stat().st_mode | 0o666 | (0o111 if target.is_dir() else 0))


def sweep(home: Home, connect: Callable[[], Engine]) -> list[str]:
    """Remove what killed executors left: containers and volumes of attempts that nobody works on, and their folders.

    The engine is connected only when something is left; an unpublished result is no such thing, its container is gone.
    Raises `EngineUnreachable` with everything left as it is.
    """
    swept = []
    with _locked(home.attempts / _GATE, wait=True):
        for folder in sorted(home.attempts.iterdir()):
            if not folder.is_dir() or (folder / UNPUBLISHED).exists():
                continue
            with contextlib.suppress(_Busy), _locked(folder / "lock"):
                connect().remove(folder.name)
                remove_tree(folder)
                swept.append(folder.name)
    return swept


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, folders without write permission too."""
    for path in (folder, *(Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)):
        if not path.is_symlink() and path.stat().st_uid == os.geteuid():
            path.chmod(0o700)
    shutil.rmtree(folder)


class _Busy(ExecutorError):
    """Another process holds the lock."""


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise _Busy(f"{path} is in use") from None
        yield
