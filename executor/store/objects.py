"""Objects by key: the few primitives that a backend gives, and what is built on them alone.

Absent is `NotFound` (or None, or False where a verb asks); everything else that goes wrong between us and the store is
`StoreUnreachable`.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO, NamedTuple

from executor.errors import NotFound, StoreUnreachable, UsageError
from executor.spec.canonical import Digest
from executor.store import layout
from executor.store.transfer import Payload, read_at_most

DOCUMENT_LIMIT = 256 << 20
"""Bytes of the largest spec, record or log segment that is read into memory."""


class Stat(NamedTuple):
    """What a store says of an object without giving its bytes."""

    size: int
    """Bytes."""
    modified: datetime
    """When it was written, by the store's clock."""
    version: str
    """Another one after each write of other bytes: an ETag, or what a file system tells of a file."""


class Listed(NamedTuple):
    """One line of a listing."""

    key: str
    """The key; of a listing that is not deep also the common start of several, which ends with `/`."""
    size: int = 0
    """Bytes; 0 for a common start."""
    modified: datetime | None = None
    """When it was written, by the store's clock; none for a common start."""


class Version(NamedTuple):
    """One of the contents that a key has had, in a store that keeps them all."""

    key: str
    id: str
    """What `open_version` takes; empty for a mark that says that the object was removed."""
    etag: str
    """Equal for equal contents."""
    modified: datetime
    """When it was written, by the store's clock."""


class Seen(NamedTuple):
    """What a trial of a capability saw."""

    good: bool | None
    """Whether the store can do it; none when that cannot be told from here."""
    text: str


class ObjectStore(ABC):
    """Bytes under keys, whole or not there, below one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        """The URL that opens this store again."""
        self.single_writer = False
        """Whether the user vouches that nobody else writes: then a store may ignore conditions."""

    # What a backend gives -----------------------------------------------------------------------------------------

    @abstractmethod
    def _open(self, key: str) -> BinaryIO:
        """Stream of an object's bytes; raises `NotFound`."""

    @abstractmethod
    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        """Store an object whole or not at all.

        With `if_absent`, False when the key may exist already; with `if_version`, False when the object is no longer
        that version. An answer that was lost can make it False although it was us.
        """

    @abstractmethod
    def _stat(self, key: str) -> Stat | None:
        """What is known of an object, None when there is none."""

    @abstractmethod
    def _list(self, prefix: str, *, deep: bool) -> Iterator[Listed]:
        """Keys that start with `prefix`, in any order; not `deep`: cut after the next `/`."""

    @abstractmethod
    def _delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""

    def server_time(self) -> datetime | None:
        """The store's clock, None when it has none of its own; raises `StoreUnreachable` when it does not answer."""
        return None

    def versions(self, prefix: str = "") -> Iterator[Version]:  # noqa: ARG002 - for those that keep them
        """Every content that keys with this start have had, the newest of a key first; nothing where none is kept."""
        return iter(())

    def open_version(self, key: str, version: str) -> BinaryIO:
        """Bytes of an earlier content, not verified; raises `NotFound`."""
        raise NotFound(f"{self.url}/{key}: no version {version}")

    def purge(self, key: str) -> None:
        """Remove an object with all that it was before, so that its room is free; raises `Retained`."""
        self._delete(key)

    @property
    def place(self) -> str:
        """Which store this is: the URL, with the server where several can have it."""
        return self.url

    def trials(self) -> Mapping[str, Callable[[str], Seen]]:
        """What only this kind of store can be tried for, below a prefix; by the names of `probe.CAPABILITIES`."""
        return {}

    # What follows from that ------------------------------------------------------------------------------------------

    def objects(self, prefix: str = "") -> Iterator[Listed]:
        """Every key below this store's URL that starts with `prefix`, in any order."""
        return self._list(prefix, deep=True)

    def open_object(self, key: str) -> BinaryIO:
        """Bytes of any object by its key, not verified; raises `NotFound`."""
        return self._open(key)

    def stat(self, key: str) -> Stat | None:
        """What is known of an object, None when there is none."""
        return self._stat(key)

    def read(self, key: str) -> bytes:
        """A small object whole, not verified; raises `NotFound`."""
        return self._read(key)

    def document(self, key: str) -> tuple[bytes, str]:
        """A small object that changes, and its version; raises `NotFound`."""
        for _ in range(5):
            stat = self._stat(key)
            data = self._read(key)
            if stat and (after := self._stat(key)) and after.version == stat.version:
                return data, stat.version
        raise StoreUnreachable(f"{self.url}/{key}: it changes faster than it can be read", advice="try again")

    def create(self, key: str, data: bytes) -> bytes:
        """Put a small object unless the key exists; returns what is stored there now."""
        return self._create(key, data)

    def replace(self, key: str, data: bytes, version: str) -> bool:
        """Put a small object in the place of that version (compare and swap); False when it was another by then.

        `data` must be bytes that nobody else would write: a lost answer is told from a lost race by reading back.
        """
        if self._put(key, Payload.of_bytes(data, key), if_version=version):
            return True
        with suppress(NotFound):
            return self._read(key) == data
        return False

    def overwrite(self, key: str, data: bytes) -> None:
        """Put a small object whatever is there: only for what one process owns, and is no evidence."""
        self._put(key, Payload.of_bytes(data, key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """One conditional put, and what the store says of it; `create` makes sense of the answer."""
        return self._put(key, Payload.of_bytes(data, key), if_absent=True)

    def put_if_version(self, key: str, data: bytes, version: str) -> bool:
        """One swap, and what the store says of it; `replace` makes sense of the answer."""
        return self._put(key, Payload.of_bytes(data, key), if_version=version)

    def remove(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        self._delete(key)

    def probe(self) -> bool:
        """Write, write again without overwriting, read, remove; True when the second write was refused."""
        key = f"{layout.PROBES}/{os.getpid()}-{time.monotonic_ns()}"
        self.put_if_absent(key, b"first")
        try:
            return not self.put_if_absent(key, b"second") and self._read(key) == b"first"
        finally:
            self._delete(key)

    def _size(self, key: str) -> int | None:
        stat = self._stat(key)
        return stat.size if stat else None

    def _read(self, key: str) -> bytes:
        with self._open(key) as stream:
            return read_at_most(stream, f"{self.url}/{key}", DOCUMENT_LIMIT)

    def _create(self, key: str, data: bytes) -> bytes:
        """Put unless the key exists; returns what is stored, since a lost answer can hide that it was us."""
        if self.single_writer:  # the store may ignore the condition, so it is looked first
            with suppress(NotFound):
                return self._read(key)
        for _ in range(3):
            if self._put(key, Payload.of_bytes(data, key), if_absent=True):
                return data
            with suppress(NotFound):
                return self._read(key)
        raise StoreUnreachable(
            f"{self.url}/{key}: the store says both that it exists and that it does not",
            advice="try again; `executor doctor` says whether this store can be used",
        )

    def _create_same(self, key: str, data: bytes) -> None:
        stored = self._create(key, data)
        if stored != data and (stored := self._read(key)) != data:  # a bit can have flipped on its way back
            raise UsageError(
                f"{self.url}/{key}: already there with other contents: {Digest.of(stored)}, not {Digest.of(data)}",
                advice="what is stored is never changed; run again to get a new attempt",
            )
