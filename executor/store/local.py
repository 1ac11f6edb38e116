"""A store in a folder: `file:/path`. Objects appear by rename or hard link, so they are whole or not there."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from executor.errors import NotFound, StoreUnreachable, UsageError
from executor.store.interface import Store
from executor.store.objects import Listed, Stat
from executor.store.transfer import Payload, write_whole

_SCRATCH = ".part"
"""Folder of unfinished files; never listed, and whatever is old in it can be deleted."""
_OTHER = "name a folder on a disk that can be written"
_ADVICE = {
    errno.ENOSPC: "free some space, or use another store",
    errno.EDQUOT: "free some space, or use another store",
    errno.EACCES: "check who may read and write this folder",
    errno.EPERM: "check who may write there, and that the file system has hard links",
    errno.EROFS: "the file system is mounted read-only",
}


def open_local(url: str, _env: Mapping[str, str], _journal: Path | None = None) -> LocalStore:
    """Store of a `file:` URL."""
    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, _, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise UsageError(f"{url}: a folder on another host", advice="mount it and name it as file:/path")
        path = f"/{rest}"
    if not path:
        raise UsageError(f"{url}: no folder named", advice="write file:/path/to/folder")
    return LocalStore(Path(path).absolute())


class LocalStore(Store):
    """A folder; made on the first put when the folder above it is there (an unmounted disk must not look empty)."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"file:{root}")
        self._root = root

    def _open(self, key: str) -> BinaryIO:
        with self._errors(key):
            return self._path(key).open("rb")

    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        with self._errors(key), payload.open() as stream:
            scratch = self._scratch()
            target = self._path(key)
            if if_version is not None:
                return self._swap(key, stream, if_version, scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            return write_whole(target, stream, if_absent=if_absent, scratch=scratch)

    def _swap(self, key: str, stream: BinaryIO, version: str, scratch: Path) -> bool:
        """Replace a version; whoever else swaps waits, and a plain put of the same key is no swap."""
        with (scratch / "swap.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self._stat(key)
            if found is None or found.version != version:
                return False
            return write_whole(self._path(key), stream, scratch=scratch)

    def _scratch(self) -> Path:
        """The folder of unfinished files; made, and the store's with it, when this is the first put."""
        self._answer()
        scratch = self._root / _SCRATCH
        try:
            self._root.mkdir(exist_ok=True)
            scratch.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # such as below /proc
            raise StoreUnreachable(f"{self.url}: no folder can be made there", advice=_OTHER) from error
        return scratch

    def _stat(self, key: str) -> Stat | None:
        try:
            with self._errors(key):
                found = self._path(key).stat()
        except NotFound:
            return None
        version = f"{found.st_ino}-{found.st_ctime_ns}-{found.st_size}"
        return Stat(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), version)

    def _list(self, prefix: str, *, deep: bool) -> Iterator[Listed]:
        folder, slash, start = prefix.rpartition("/")
        with self._errors(prefix):
            if self._path(folder).is_dir():
                yield from self._walk(self._path(folder), f"{folder}{slash}", start, deep=deep)
            else:
                self._answer()

    def _walk(self, folder: Path, before: str, start: str, *, deep: bool) -> Iterator[Listed]:
        """What lies in a folder, sorted; `before` is the beginning of the keys there, `start` of the names."""
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if entry.name.startswith(start)), key=lambda entry: entry.name)
        for entry in found:
            key = before + entry.name
            if key == _SCRATCH:
                continue
            with suppress(FileNotFoundError):  # it was removed in the meantime
                if entry.is_dir():
                    yield from self._walk(Path(entry), f"{key}/", "", deep=True) if deep else (Listed(f"{key}/"),)
                else:
                    seen = entry.stat()
                    yield Listed(key, seen.st_size, datetime.fromtimestamp(seen.st_mtime, UTC))

    def _delete(self, key: str) -> None:
        with self._errors(key):
            self._path(key).unlink(missing_ok=True)

    def abort_stale(self, before: datetime) -> int:
        """Remove what writers that were killed left unfinished."""
        ended = 0
        with self._errors(_SCRATCH):
            for path in (self._root / _SCRATCH).glob(".part-*"):
                with suppress(FileNotFoundError):  # its writer ended in the meantime
                    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                        path.unlink()
                        ended += 1
        return ended

    def _path(self, key: str) -> Path:
        parts = key.split("/") if key else []
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self._root.joinpath(*parts)

    def _answer(self) -> None:
        if self._root.exists() and not self._root.is_dir():
            raise StoreUnreachable(f"{self.url}: this is a file, not a folder", advice=_OTHER)
        if not self._root.is_dir() and not self._root.parent.is_dir():
            raise StoreUnreachable(
                f"{self.url}: no such folder", advice="check the path and that its disk is mounted, or make the folder"
            )

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            self._answer()
            raise NotFound(f"{self.url}/{key}: not in the store") from error
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "check the folder and its disk")
            raise StoreUnreachable(f"{self.url}/{key}: {error.strerror}", advice=advice) from error
