"""Folders on their way to an engine of another machine and back: plain tar streams, never whole in memory.

What comes back was left by a program that is not trusted, and is told by an engine that need not be. Regular files and
folders are written as they are. A link or FIFO becomes one that leads nowhere, so that `outputs.collect` refuses it by
name, for the same reason as if the run had been here. A device, or a name that leads out of the folder, ends it all.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from executor.engine.plan import USER
from executor.errors import EngineUnreachable, InputMismatch
from executor.spec.canonical import CHUNK


def packed(folders: Mapping[str, Path]) -> Iterator[bytes]:
    """The tar of folders by their place below `/`: modes, times and links are kept, all belongs to the run's user.

    Raises `InputMismatch` for a file that changes while it is read.
    """
    for place, folder in folders.items():
        with tarfile.TarFile(fileobj=io.BytesIO(), mode="w") as tar:  # describes files; knows those with several names
            for path in _below(folder):
                yield from _member(tar.gettarinfo(path, str(Path(place, path.relative_to(folder)))), path)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(info: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    info.uid, info.gid = map(int, USER.split(":"))
    info.uname = info.gname = ""
    yield info.tobuf(tarfile.PAX_FORMAT)
    if info.isreg():
        yield from _content(path, info.size)


def _below(folder: Path) -> Iterator[Path]:
    """A folder, then all below it; links are not followed."""
    yield folder
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = folder / entry.name
        yield from _below(path) if entry.is_dir(follow_symlinks=False) else (path,)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left and (piece := file.read(min(left, CHUNK))):
            left -= len(piece)
            yield piece
    if left:
        raise InputMismatch(str(path), expected=f"{size} bytes", observed=f"{size - left} bytes",
                            advice="it changed while it was sent; leave it alone and submit again")  # fmt: skip
    yield bytes(-size % tarfile.BLOCKSIZE)


def unpack(pieces: Iterable[bytes], folder: Path) -> None:
    """Write what an engine's tar of one folder holds into `folder`, which is there and empty.

    Raises `EngineUnreachable` for a tar that is cut short or holds what it must not, and when the disk is full.
    """
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Stream(iter(pieces))), mode="r|", bufsize=CHUNK) as tar:
            for info in tar:
                _, *names = info.name.split("/")  # the first is the folder's own
                if {"", ".", ".."} & {*names} or info.name.startswith(("/", "..")):
                    raise _dishonest(f"a name that leads out of it, {info.name!r}")
                if names:
                    _write(tar, info, folder, folder.joinpath(*names))
            rest = cast("IO[bytes]", tar.fileobj).read(CHUNK)
    except (tarfile.TarError, OSError) as error:
        raise EngineUnreachable(f"{folder}: what the engine sent did not arrive whole: {error}",
                                advice="make room on this disk, or submit again") from error  # fmt: skip
    if not rest or any(rest):
        raise _dishonest("no end")


def _write(tar: tarfile.TarFile, info: tarfile.TarInfo, folder: Path, target: Path) -> None:
    if info.isdir():
        target.mkdir()
    elif info.isreg():
        with target.open("xb") as file:
            shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(info)), file, CHUNK)
            os.fchmod(file.fileno(), info.mode & 0o7777 | 0o600)
    elif info.issym():
        target.symlink_to(target.name)  # to itself: no later name can lead through it
    elif info.islnk():
        first = info.linkname.split("/")[1:]
        if {"", ".", ".."} & {*first}:
            raise _dishonest(f"a link that leads out of it, {info.name!r}")
        os.link(folder.joinpath(*first), target, follow_symlinks=False)
    elif info.isfifo():
        os.mkfifo(target)
    else:
        raise _dishonest(f"a device, {info.name!r}")


def _dishonest(what: str) -> EngineUnreachable:
    return EngineUnreachable(f"the engine's archive of the run's folder holds {what}; nothing of it is believed",
                             advice="use another engine, or submit again")  # fmt: skip


class _Stream:
    """Pieces as the file that `tarfile` reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int) -> bytes:
        """The next piece, whatever its size; empty at the end."""
        return next((piece for piece in self._pieces if piece), b"")
