"""What an upload in parts has sent so far, in a file of this machine that outlives the process that writes it.

The first line says which upload it is, each further line is a part that the server took. A line is on disk before
anybody relies on it; one that was cut off ends the file. The process that works on an upload holds the lock of its
file, and the lock dies with it: a file that can be locked is the work of nobody.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from executor.facts import Fact
from executor.spec.canonical import Digest
from executor.spec.scalars import DigestField
from executor.store.transfer import sync_folder


class Header(Fact):
    """Which upload it is."""

    place: str
    """Endpoint and bucket."""
    key: str
    upload: str
    """The server's id of it."""
    digest: DigestField
    size: int
    """Bytes of the whole object."""
    part_size: int
    """Bytes of every part but the last."""


class Sent(Fact):
    """A part that the server took."""

    number: int
    """From 1."""
    etag: str
    crc32: str
    """Of its bytes, in base64 as S3 writes it."""
    checked: bool
    """Whether the server said that it had compared that checksum."""


class Journal:
    """One file, locked by this process."""

    def __init__(self, path: Path, file: IO[bytes], header: Header, parts: dict[int, Sent]) -> None:
        self.path, self.header, self.parts = path, header, parts
        self._file, self._lock = file, threading.Lock()

    @classmethod
    def start(cls, folder: Path, header: Header) -> Journal:
        """Begin the file of an upload that the server has just named."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_stem(header.place, header.key)}-{Digest.of(header.upload.encode()).hex[:16]}.jsonl"
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        journal = cls(path, file, header, {})
        try:
            journal._write(header)
            sync_folder(folder)
        except BaseException:
            journal.forget()
            raise
        return journal

    @classmethod
    def take(cls, path: Path) -> Journal | None:
        """Go on with a file; none when its process lives, or it is gone or says nothing."""
        try:
            file = path.open("r+b", buffering=0)
        except FileNotFoundError:
            return None
        with suppress(BlockingIOError, FileNotFoundError, ValueError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:  # else it was removed before we had the lock
                header, parts = _read(file)
                return cls(path, file, header, parts)
        file.close()
        return None

    @property
    def touched(self) -> datetime:
        """When a part was last added."""
        return datetime.fromtimestamp(os.fstat(self._file.fileno()).st_mtime, UTC)

    def add(self, part: Sent) -> None:
        """Write a part down; it is on disk when this returns. Safe to call from several threads."""
        with self._lock:
            self._write(part)

    def _write(self, line: Fact) -> None:
        self._file.write(line.model_dump_json().encode() + b"\n")
        os.fsync(self._file.fileno())

    def forget(self) -> None:
        """The upload has ended: remove the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the file to whoever goes on."""
        self._file.close()


def left(folder: Path, place: str, key: str = "") -> Iterator[Journal]:
    """Uploads to `place` (of one key, when it is named) that nobody works on, each locked; close or forget them."""
    for path in sorted(folder.glob(f"{_stem(place, key)}-*.jsonl" if key else "*.jsonl")):
        journal = Journal.take(path)
        if journal and journal.header.place == place:
            yield journal
        elif journal:
            journal.close()


def worked_on(folder: Path) -> set[str]:
    """Ids of all uploads that have a file here, whoever holds it."""
    found = set()
    for path in folder.glob("*.jsonl"):
        with suppress(OSError, ValueError), path.open("rb") as file:
            found.add(Header.model_validate_json(file.readline()).upload)
    return found


def _stem(place: str, key: str) -> str:
    return Digest.of(json.dumps([place, key]).encode()).hex[:32]


def _read(file: IO[bytes]) -> tuple[Header, dict[int, Sent]]:
    """The whole lines; what follows a damaged one is cut off, so that a new line begins where it should."""
    first, *lines = file.read().splitlines(keepends=True) or [b""]
    header, parts, good = Header.model_validate_json(first), {}, len(first)
    for line in lines:
        try:
            part = Sent.model_validate_json(line if line.endswith(b"\n") else b"")
        except ValueError:
            break
        parts[part.number] = part
        good += len(line)
    file.truncate(good)
    file.seek(good)
    return header, parts
