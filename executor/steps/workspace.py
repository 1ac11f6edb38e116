"""The executor's own folder on a machine: caches, and one private folder for each attempt while it lasts.

An attempt's folder is locked by the process that works in it. The lock dies with the process, so the next start knows
what a killed executor left, and removes its container and its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from executor.engine.interface import Engine
from executor.errors import (
    DiskFailed,
    DiskFull,
    EngineUnreachable,
    ExecutorError,
    HeldElsewhere,
    Interrupted,
    NotFound,
    StoreUnreachable,
    Unpublished,
)
from executor.spec.canonical import Digest
from executor.spec.sections import Resources
from executor.steps.disk import Disk, make_disk, release
from executor.steps.home import Home
from executor.steps.secrets import forget

RUN_UID = 1000
"""User id of every run inside its container."""
UNPUBLISHED = "unpublished"
"""File in an attempt's folder that says: finished, not yet in the store, not to be swept."""
_COPIED = "copied"
"""File there that says: nothing needs the disk of the outputs any more."""
PUBLISH = "executor publish --pending"
"""The command that brings such results to the store."""
_ENGAGED = "engaged"
"""File there that says: the engine may have a container of the attempt, for which the folder stays."""
REMOVED_WITHIN = 5
"""Seconds in which a container is to be gone that the engine does not remove at once: it may be busy with it."""
_GATE = "gate"
"""Lock file that is held while an attempt's folder is made or swept, so that the two never meet."""


@dataclass(frozen=True)
class Workspace:
    """The private folder of one attempt; all that the run can write to lies on a disk of its own in it."""

    folder: Path
    _disk: Disk | None = None

    @property
    def work(self) -> Path:
        """Where the disk is."""
        return self.folder / "work"

    @property
    def disk(self) -> Disk:
        """The disk; `ValueError` in a folder that was only reopened, where nothing runs."""
        if self._disk is None:
            raise ValueError(f"{self.folder} was reopened")
        return self._disk

    @property
    def code(self) -> Path:
        """The program, a private copy."""
        return self.work / "code"

    @property
    def outputs(self) -> Path:
        """What the program leaves."""
        return self.work / "outputs"

    @property
    def control(self) -> Path:
        """What the inside room is told."""
        return self.work / "control"

    @property
    def report(self) -> Path:
        """What the inside room says."""
        return self.work / "report"

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

    @property
    def kept(self) -> bool:
        """Whether the folder stays when its process ends, and no sweep removes it."""
        return (self.folder / UNPUBLISHED).exists()

    @property
    def left(self) -> bool:
        """Whether the engine may have a container of the attempt."""
        return (self.folder / _ENGAGED).exists()

    def keep(self) -> None:
        """Have the folder stay."""
        (self.folder / UNPUBLISHED).touch()

    def copied(self) -> None:
        """All that counts of the outputs has been copied: their disk is no longer needed."""
        (self.folder / _COPIED).touch()

    def drop(self) -> None:
        """Have the folder go."""
        (self.folder / UNPUBLISHED).unlink(missing_ok=True)

    @contextlib.contextmanager
    def engaged(self, engine: Engine, tell: Callable[[str], None]) -> Iterator[None]:
        """Around a run in the engine: what the engine had of it is removed.

        Where that fails, no result is lost for it: it is told, the folder stays, and the next start removes both.
        """
        mark = self.folder / _ENGAGED
        mark.touch()
        try:
            yield
        finally:
            try:
                engine.remove(self.folder.name, patience=REMOVED_WITHIN)
                mark.unlink()
            except EngineUnreachable as error:
                tell(f"left for the next start to remove: the run's container ({error.message})")

    @contextlib.contextmanager
    def kept_on_failure(self, spec_hash: Digest) -> Iterator[None]:
        """Around the publication of a result: unless it ends well, what has been kept stays, and the error says where.

        Raises `Unpublished` for a store that is out of reach, `DiskFailed` for a disk that is full or broken.
        """
        where = f"what the run left is kept in {self.folder}"
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self.keep()
            failed = DiskFailed.of(error)
            failed.advice += f", then `{PUBLISH}`: {where}" if self.kept else ""
            raise failed from error
        except StoreUnreachable as error:
            raise Unpublished(
                f"{error.message}; the run has ended, and its result is kept in {self.folder}",
                advice=f"{error.advice}; then `{PUBLISH}` brings it to the store".lstrip("; "),
                spec_hash=spec_hash.hex, attempt=self.folder.name, folder=str(self.folder),
            ) from error  # fmt: skip
        except ExecutorError as error:
            if self.kept:
                error.advice = f"{error.advice}; {where}: `{PUBLISH}` tries again".lstrip("; ")
            raise
        except KeyboardInterrupt:
            if not self.kept:
                raise
            advice = f"{where}: `{PUBLISH}` brings it to the store"
            raise Interrupted("interrupted before the result was in the store", advice=advice) from None
        self.drop()


@contextlib.contextmanager
def open_workspace(
    home: Home, attempt: str, *, disk: int = Resources().disk, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Workspace]:
    """Make and lock the folder of one attempt, whose run may write `disk` bytes.

    It is removed at the end unless it was marked to be kept, or the engine still has a container of it.
    """
    space = Workspace(home.attempts / attempt)
    with contextlib.ExitStack() as held:
        with _locked(home.attempts / _GATE, wait=True):
            space.folder.mkdir(mode=0o700)
            held.enter_context(_locked(space.folder / "lock"))
        space = Workspace(space.folder, make_disk(space.work, disk, environment))
        for folder in (space.code, space.outputs, space.control, space.report, space.staging):
            folder.mkdir()
        for folder in (space.outputs, space.report):
            hand_over(folder)
        try:
            yield space
        except OSError as error:
            if isinstance(failed := DiskFailed.of(error), DiskFull):
                raise failed from error
            raise
        finally:
            _leave(space, home)


@contextlib.contextmanager
def reopen_workspace(home: Home, attempt: str) -> Iterator[Workspace]:
    """Lock the folder of an attempt that was kept; it is removed at the end unless it is still marked.

    Raises `HeldElsewhere` when another process works in it, `NotFound` when it is gone.
    """
    space = Workspace(home.attempts / attempt)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_locked(space.folder / "lock"))
        except _Busy as error:
            raise HeldElsewhere(f"{attempt}: another process works on it", holder={}, advice="let it end") from error
        except FileNotFoundError as error:
            raise NotFound(f"{attempt}: no result of this name waits in {home.attempts}") from error
        try:
            yield space
        finally:
            _leave(space, home)


def _leave(space: Workspace, home: Home) -> None:
    if space.kept:
        _give_back(space)
    elif not space.left:
        with _locked(home.attempts / _GATE, wait=True):
            remove_tree(space.folder)


def _give_back(space: Workspace) -> None:
    """Give back the disk of a result that is kept, once its outputs have been copied."""
    if (space.folder / _COPIED).exists():
        with contextlib.suppress(OSError):
            release(space.work)


def unpublished(home: Home) -> list[str]:
    """Ids of attempts whose results wait here to be stored and that nobody works on, the oldest first."""
    found = []
    for mark in sorted(home.attempts.glob(f"*/{UNPUBLISHED}")):
        with contextlib.suppress(_Busy, FileNotFoundError), _locked(mark.with_name("lock")):
            found.append(mark.parent.name)
    return found


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

    The engine is connected only when something is left; an unpublished result is no such thing, unless a container of
    it was. What the engine does not remove is left to the next start. Raises `EngineUnreachable` when it is away, with
    all that comes after left as it is.
    """
    swept = []
    with _locked(home.attempts / _GATE, wait=True):
        for folder in sorted(home.attempts.iterdir()):
            if not folder.is_dir():
                continue
            with contextlib.suppress(_Busy), _locked(folder / "lock"):
                space = Workspace(folder)
                cleared = (space.kept and not space.left) or _cleared(space, connect())
                if space.kept:
                    _give_back(space)
                elif cleared:
                    forget(folder.name)
                    remove_tree(folder)
                    swept.append(folder.name)
    return swept


def _cleared(space: Workspace, engine: Engine) -> bool:
    """Remove what the engine has of an attempt; False when it does not. Raises `EngineUnreachable` when it is away."""
    try:
        engine.remove(space.folder.name)
    except EngineUnreachable:
        engine.observe()  # it answers: only this one stays
        return False
    (space.folder / _ENGAGED).unlink(missing_ok=True)
    return True


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, folders without write permission and the disk of an attempt too."""
    release(Workspace(folder).work)
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
