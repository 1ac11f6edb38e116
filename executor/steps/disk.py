"""What a run writes to: a file system of its own, of limited size, so that no run fills this machine.

It is an ext4 in a sparse file, where this process may mount one. Elsewhere it is a plain folder, and `Watch` stops a
run that writes more than it may. Both give the program the same folders; the record says which it was.

Not `noexec`: programs run what they build, and scripts in `/code` are run. `hash_seed` is constant, so that the order
in which a folder's names are read depends on the names alone, not on this disk.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from executor.environment.checks import amount
from executor.errors import DiskFailed, UsageError
from executor.facts import Finding, Outcome

SETTING = "EXECUTOR_DISK"
"""Variable whose value `watch` asks for a plain folder."""
FREE_MARGIN = 2**30
"""Bytes of this machine's disk below which a run in a plain folder is stopped."""
MOST_FILES = 2_000_000
"""Files, folders and links that a run may have."""
_PER_FILE = 2**15
"""Bytes of a file system for each of its files."""
_NEARLY = 2**23
"""Bytes that may be left of a full file system, which keeps some for its own tables; a sixteenth of a small one."""
_LOOK_S = 0.1
_TOOLS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_EXT4 = (
    "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-G", "4096", "-O", "^has_journal,^resize_inode,sparse_super2",
    "-E", "lazy_itable_init=1,nodiscard,num_backup_sb=0,hash_seed=8d3c9d52-64f0-4f0e-9a3a-1c8e1f1f7a10",
)  # fmt: skip
"""Made in 5 ms whatever the size: no journal (after a crash it is thrown away), no tables before they are used."""
_MOUNT = ("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,nobarrier,noinit_itable,discard,errors=remount-ro")


@dataclass(frozen=True)
class Disk:
    """Where one attempt writes."""

    folder: Path
    size: int
    """Bytes that may be written."""
    problem: str = ""
    """Why it is a plain folder; empty when it is a file system of its own."""

    @property
    def own(self) -> bool:
        """Whether it is a file system of its own."""
        return not self.problem

    @property
    def files(self) -> int:
        """Files, folders and links that may be made."""
        return min(MOST_FILES, self.size // _PER_FILE + 1000)

    @property
    def full(self) -> str:
        """Why no more may be written, in a sentence; empty while more may."""
        now = os.statvfs(self.folder)
        left = now.f_bavail * now.f_frsize
        if self.own:
            over, crowded, scarce = left < min(_NEARLY, self.size // 16), not now.f_favail, False
        else:
            size, files = used(self.folder)
            over, crowded, scarce = size > self.size, files > self.files, left < FREE_MARGIN
        if over:
            return f"it filled its disk of {amount(self.size)} (resources.disk)"
        if crowded:
            return f"it made the {self.files} files that a disk of {amount(self.size)} may have (resources.disk)"
        return f"stopped: this machine has less than {amount(FREE_MARGIN)} of disk left" if scarce else ""

    @contextmanager
    def holding(self, what: str) -> Iterator[None]:
        """While something is put on it; raises `UsageError` when that has no room."""
        try:
            yield
        except OSError as error:
            if error.errno != errno.ENOSPC or not self.own or not self.full:
                raise
            message = f"{what} does not fit on the run's disk of {amount(self.size)}"
            raise UsageError(message, advice="raise resources.disk") from error

    def finding(self, *, local: bool) -> Finding:
        """Which protection is on; of a folder on another machine (`local` is false), only the size of a file is."""
        expected = f"at most {amount(self.size)} and {self.files} files in a file system of its own"
        if not local:
            return Finding(
                field="disk.limit", expected=expected, observed=f"{amount(self.size)} for each file", severity="warn",
                advice="the engine's machine is not protected from a run that fills its disk: watch it there",
            )  # fmt: skip
        if self.own:
            return Finding(field="disk.limit", expected=expected, observed="as expected", severity="info")
        observed = f"a plain folder that is watched: {self.problem}"
        return Finding(field="disk.limit", expected=expected, observed=observed, severity="info")


def make_disk(folder: Path, wanted: int, environment: Mapping[str, str]) -> Disk:
    """Make `folder` a place for at most `wanted` bytes, and half of what is free: outputs are copied once from it."""
    folder.mkdir()
    now = os.statvfs(folder)
    size = min(wanted, now.f_bavail * now.f_frsize // 2)
    disk = Disk(folder, size)
    return replace(disk, problem=_mount(disk, environment.get(SETTING, "")))


def _mount(disk: Disk, setting: str) -> str:
    """Mount a new file system; says why not when that cannot be."""
    if setting == "watch":
        return f"{SETTING} is {setting}"
    if os.geteuid() != 0:
        return "only root can mount one"
    image = _image(disk.folder)
    image.touch(0o600)
    os.truncate(image, disk.size)
    problem = _run(*_EXT4, "-N", str(disk.files), str(image)) or _run(*_MOUNT, str(image), str(disk.folder))
    if problem:
        image.unlink()
    return problem


def release(folder: Path) -> None:
    """Unmount what is mounted at `folder`, by force if need be, and give its file back; nothing where nothing is."""
    while os.path.ismount(folder):
        if _run("umount", str(folder)) and (problem := _run("umount", "--lazy", str(folder))):
            raise DiskFailed(f"{folder} cannot be unmounted: {problem}", advice="unmount it as root")
    _image(folder).unlink(missing_ok=True)


def _image(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.ext4")


def _run(*command: str) -> str:
    """What a tool complained of; empty when it did its work."""
    try:
        done = subprocess.run(command, env=_TOOLS, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        return f"there is no {command[0]} here"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (said or [f"{command[0]} ended with {done.returncode}"])[-1]


class _EitherStop(threading.Event):
    """Set by us, or by the user's own wish to stop."""

    def __init__(self, user: threading.Event) -> None:
        super().__init__()
        self._user = user

    def is_set(self) -> bool:
        return super().is_set() or self._user.is_set()


class Watch(threading.Thread):
    """Looks at the disk while a run goes on, and stops one that no file system stops; use `watched`."""

    def __init__(self, disk: Disk, user: threading.Event) -> None:
        super().__init__(daemon=True)
        self.stop: threading.Event = _EitherStop(user)
        """What the engine is to obey."""
        self._disk, self._user, self._ended, self._full = disk, user, threading.Event(), ""

    def run(self) -> None:
        """Look, and look again when ten times as long has passed as that took."""
        took = 0.0
        while not self._ended.wait(max(_LOOK_S, 10 * took)):
            began = time.monotonic()
            self._look()
            took = time.monotonic() - began

    def finish(self) -> None:
        """Look a last time."""
        self._ended.set()
        self.join()
        self._look()

    def _look(self) -> None:
        if self._full:
            return
        self._full = self._disk.full
        if self._full and not self._disk.own:
            self.stop.set()

    def judged(self, outcome: Outcome) -> Outcome:
        """The outcome, which says so when the disk was full.

        Raises `DiskFailed` when this machine lost what the run wrote: its own disk was full, not the run's.
        """
        if self._disk.own and (problem := _run("sync", "--file-system", str(self._disk.folder))):
            raise DiskFailed(
                f"what the run wrote is not whole: {problem}", advice="make room on this machine's disk, and run again"
            )
        if not self._full or self._user.is_set() or outcome.timed_out or outcome.oom_killed:
            return outcome
        return outcome.model_copy(update={"disk_full": True, "interrupted": False, "reason": self._full})


def used(folder: Path) -> tuple[int, int]:
    """Bytes on disk and names of all that lies below a folder; links are not followed, and what cannot be seen is none.

    A tree that is too deep to be walked counts as more than anyone may write.
    """
    size = names = 0
    try:
        for _, folders, files, fd in os.fwalk(folder):
            for name in (*folders, *files):
                names += 1
                try:
                    size += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * 512
                except OSError:  # gone by now
                    continue
    except RecursionError:
        return size, MOST_FILES + 1
    return size, names


@contextmanager
def watched(disk: Disk, user: threading.Event) -> Iterator[Watch]:
    """A watch while a run goes on; `user` is the user's wish to stop."""
    watch = Watch(disk, user)
    watch.start()
    try:
        yield watch
    finally:
        watch.finish()
