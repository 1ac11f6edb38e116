"""What a run left in its output folder becomes files by content; the program that wrote them is not trusted.

- Every name is opened relative to its folder's descriptor without following links, and looked at (`O_PATH`) before it
  is opened for reading, so that no swap of a name leads out of the folder, blocks, or touches a device.
- Regular files with one name, on the folder's own file system, without set-id bits are copied into a private folder
  while they are hashed: the bytes that were hashed are the bytes that are stored.
- All else is refused by name: links, devices, FIFOs, sockets, names that are not UTF-8 or hold control characters, and
  what exceeds the limits. Names keep their Unicode form.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from executor.errors import DiskFailed
from executor.facts import OutputFile, Role
from executor.spec.canonical import CHUNK, Digest

_KINDS = {
    stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


@dataclass(frozen=True)
class OutputLimits:
    """What a run may leave behind."""

    files: int = 1_000_000
    """Names of all kinds."""
    bytes: int = 2**40
    """Of all files together, holes included."""
    depth: int = 64
    """Folders within each other."""
    path: int = 1024
    """Bytes of a path."""
    names: int = 2**26
    """Bytes of all paths together: a record names each."""
    refused: int = 1000
    """Refusals that are named."""
    hole: int = 2**30
    """Bytes of a sparse file that were never written."""


@dataclass(frozen=True)
class Refused:
    """One name that was not collected."""

    path: str
    """Relative to the output folder; bytes that are not text are escaped."""
    reason: str


@dataclass(frozen=True)
class Collected:
    """All that a run left; `staging/<path>` holds the content of each file."""

    files: tuple[OutputFile, ...]
    """Sorted by path."""
    refused: tuple[Refused, ...]


def collect(folder: Path, staging: Path, role_of: Callable[[str], Role], limits: OutputLimits) -> Collected:
    """Copy the regular files of `folder` into `staging` (an empty private folder) and list them by content."""
    with _opened(folder, os.O_DIRECTORY) as root:
        walk = _Walk(staging, role_of, limits, os.fstat(root).st_dev)
        walk.folder(root, "", 0)
    return Collected(tuple(sorted(walk.files, key=lambda file: file.path.encode())), tuple(walk.refused))


class _NotCollectable(Exception):
    """Says why a name is refused."""


@dataclass
class _Walk:
    staging: Path
    role_of: Callable[[str], Role]
    limits: OutputLimits
    device: int
    files: list[OutputFile] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    names: int = 0
    named: int = 0
    bytes: int = 0

    def folder(self, fd: int, prefix: str, depth: int) -> None:
        for name in sorted(os.listdir(fd), key=os.fsencode):
            if self.over():
                return
            self.names, self.named = self.names + 1, self.named + len(os.fsencode(prefix + name))
            if self.over():
                self._name(prefix + name, f"{self.over()}; this and the rest were not kept")
                return
            try:
                self._one(fd, name, prefix + name, depth)
            except _NotCollectable as problem:
                self._refuse(prefix + name, str(problem))
            except OSError as problem:
                self._refuse(prefix + name, problem.strerror or "cannot be read")

    def over(self) -> str:
        """Why nothing more is looked at."""
        if self.names > self.limits.files:
            return f"more than {self.limits.files} files"
        return f"names of more than {self.limits.names} bytes" if self.named > self.limits.names else ""

    def _refuse(self, path: str, reason: str) -> None:
        if len(self.refused) < self.limits.refused:
            self._name(path, reason)
        elif len(self.refused) == self.limits.refused:
            self._name(path, f"more than {self.limits.refused} are refused; this and the rest are not named")

    def _name(self, path: str, reason: str) -> None:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        self.refused.append(Refused("".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown), reason))

    def _one(self, parent: int, name: str, path: str, depth: int) -> None:
        self._check_name(path)
        with _opened(name, os.O_PATH, parent) as handle:
            seen = os.fstat(handle)
            if seen.st_dev != self.device:
                raise _NotCollectable("on another file system")
            if stat.S_ISDIR(seen.st_mode):
                if depth >= self.limits.depth:
                    raise _NotCollectable(f"more than {self.limits.depth} folders deep")
                with _reopened(handle, os.O_DIRECTORY) as fd:
                    self.folder(fd, f"{path}/", depth + 1)
                return
            self._check_file(seen)
            with _reopened(handle) as fd:
                self._keep(fd, path, seen)

    def _check_name(self, path: str) -> None:
        raw = os.fsencode(path)
        if raw.decode(errors="replace").encode() != raw:
            raise _NotCollectable("the name is not UTF-8")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
            raise _NotCollectable("the name holds a control character")
        if len(raw) > self.limits.path:
            raise _NotCollectable(f"the path is longer than {self.limits.path} bytes")

    def _check_file(self, seen: os.stat_result) -> None:
        if not stat.S_ISREG(seen.st_mode):
            raise _NotCollectable(f"{_KINDS.get(stat.S_IFMT(seen.st_mode), 'no file')}, not a regular file")
        if seen.st_nlink != 1:
            raise _NotCollectable("a hard link: the file has several names")
        if seen.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise _NotCollectable("a set-user-id or set-group-id file")
        if self.bytes + seen.st_size > self.limits.bytes:
            raise _NotCollectable(f"more than {self.limits.bytes} bytes of outputs")

    def _keep(self, fd: int, path: str, seen: os.stat_result) -> None:
        if _hole(fd, seen, self.limits.hole) > self.limits.hole:
            raise _NotCollectable(f"a sparse file with more than {self.limits.hole} bytes of holes")
        target = self.staging / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                digest = _copy(fd, file, seen)
        except OSError as error:
            raise DiskFailed.of(OSError(error.errno, error.strerror, str(target))) from error
        self.bytes += seen.st_size
        executable = bool(seen.st_mode & stat.S_IXUSR)
        self.files.append(
            OutputFile(path=path, digest=digest, size=seen.st_size, role=self.role_of(path), executable=executable)
        )


def _copy(fd: int, file: IO[bytes], seen: os.stat_result) -> Digest:
    """Copy while hashing; an `OSError` is one of writing."""
    hasher, buffer = hashlib.sha256(), memoryview(bytearray(min(seen.st_size + 1, CHUNK)))
    left = seen.st_size + 1  # one byte more than there should be: a file that grows must not be copied for ever
    while count := _read(fd, buffer[:left]):
        hasher.update(buffer[:count])
        file.write(buffer[:count])
        left -= count
    now = os.fstat(fd)
    if left != 1 or (now.st_size, now.st_mtime_ns) != (seen.st_size, seen.st_mtime_ns):
        raise _NotCollectable("changed while it was read")
    return Digest(hasher.hexdigest())


def _read(fd: int, buffer: memoryview) -> int:
    try:
        return os.readv(fd, [buffer])
    except OSError as error:
        raise _NotCollectable(error.strerror) from error


def _hole(fd: int, seen: os.stat_result, enough: int) -> int:
    """Bytes of holes, counted until there are `enough`; blocks alone mislead where files are compressed or delayed."""
    if seen.st_size - seen.st_blocks * 512 <= enough:
        return 0
    found = at = 0
    while at < seen.st_size and found <= enough:
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        try:
            at = os.lseek(fd, hole, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            at = seen.st_size
        found += at - hole
    os.lseek(fd, 0, os.SEEK_SET)
    return found


@contextmanager
def _opened(name: str | Path, flags: int, parent: int | None = None) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _reopened(handle: int, flags: int = 0) -> Iterator[int]:
    """Open for reading exactly what an `O_PATH` descriptor stands for, whatever its name leads to by now."""
    fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    try:
        yield fd
    finally:
        os.close(fd)
