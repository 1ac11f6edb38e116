"""Objects by key: the few primitives that a backend gives, and what is built on them alone.

Absent is `NotFound` (or None, or False where a verb asks); everything else that goes wrong between us and the store is
`StoreUnreachable`.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO

from executor.errors import NotFound, StoreUnreachable, UsageError
from executor.spec.canonical import Digest
from executor.store import layout
from executor.store.transfer import Payload, read_at_most

DOCUMENT_LIMIT = 256 << 20
"""Bytes of the largest spec, record or log segment that is read into memory."""


class ObjectStore(ABC):
    """Bytes under keys, whole or not there, below one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        """The URL that opens this store again."""

    # What a backend gives -----------------------------------------------------------------------------------------

    @abstractmethod
    def _open(self, key: str) -> BinaryIO:
        """Stream of an object's bytes; raises `NotFound`."""

    @abstractmethod
    def _put(self, key: str, payload: Payload, *, if_absent: bool) -> bool:
        """Store an object whole or not at all; with `if_absent`, False when the key may exist already."""

    @abstractmethod
    def _size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""

    @abstractmethod
    def _list(self, prefix: str, *, deep: bool) -> Iterator[tuple[str, int]]:
        """Keys that start with `prefix` and their sizes, in any order; not `deep`: cut after the next `/`, size 0."""

    @abstractmethod
    def _delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""

    def _server_time(self) -> datetime | None:
        """The store's clock, None when it has none of its own; raises `StoreUnreachable` when it does not answer."""
        return None

    # What follows from that ------------------------------------------------------------------------------------------

    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every key below this store's URL that starts with `prefix`, and its size in bytes, in any order."""
        return self._list(prefix, deep=True)

    def open_object(self, key: str) -> BinaryIO:
        """Bytes of any object by its key, not verified; raises `NotFound`."""
        return self._open(key)

    def probe(self) -> bool:
        """Write, write again without overwriting, read, remove; True when the second write was refused."""
        key = f"{layout.PROBES}/{os.getpid()}-{time.monotonic_ns()}"
        self._create(key, b"first")
        try:
            return self._create(key, b"second") == b"first" == self._read(key)
        finally:
            self._delete(key)

    def _read(self, key: str) -> bytes:
        with self._open(key) as stream:
            return read_at_most(stream, f"{self.url}/{key}", DOCUMENT_LIMIT)

    def _create(self, key: str, data: bytes) -> bytes:
        """Put unless the key exists; returns what is stored, since a lost answer can hide that it was us."""
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
        if (stored := self._create(key, data)) != data:
            raise UsageError(
                f"{self.url}/{key}: already there with other contents: {Digest.of(stored)}, not {Digest.of(data)}",
                advice="what is stored is never changed; run again to get a new attempt",
            )
