"""Real implementations of the interfaces, in memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

from executor.errors import NotFound, StoreUnreachable
from executor.store.interface import Store
from executor.store.transfer import Payload


class MemoryStore(Store):
    """A store in a dict. `conditional=False` makes one that overwrites what it should keep, as some servers do."""

    def __init__(self, *, conditional: bool = True, clock: datetime | None = None) -> None:
        super().__init__("memory:")
        self.contents: dict[str, bytes] = {}
        self.requests: list[str] = []
        """Every primitive that was called, such as `size v1/…`."""
        self.down = False
        """Makes every request fail as if nothing answered."""
        self._conditional, self._clock, self._lock = conditional, clock, threading.Lock()

    def _open(self, key: str) -> BinaryIO:
        self._request("open", key)
        if key not in self.contents:
            raise NotFound(key)
        return io.BytesIO(self.contents[key])

    def _put(self, key: str, payload: Payload, *, if_absent: bool) -> bool:
        self._request("put", key)
        with payload.open() as stream:
            data = stream.read()
        with self._lock:
            if if_absent and self._conditional and key in self.contents:
                return False
            self.contents[key] = data
            return True

    def _size(self, key: str) -> int | None:
        self._request("size", key)
        return len(self.contents[key]) if key in self.contents else None

    def _list(self, prefix: str, *, deep: bool) -> Iterator[tuple[str, int]]:
        self._request("list", prefix)
        found = {}
        for key, data in self.contents.items():
            if key.startswith(prefix):
                head, slash, _ = key[len(prefix) :].partition("/")
                found[key if deep or not slash else f"{prefix}{head}/"] = len(data) if deep or not slash else 0
        yield from found.items()

    def _delete(self, key: str) -> None:
        self._request("delete", key)
        self.contents.pop(key, None)

    def _server_time(self) -> datetime | None:
        self._request("time", "")
        return self._clock

    def _request(self, verb: str, key: str) -> None:
        self.requests.append(f"{verb} {key}")
        if self.down:
            raise StoreUnreachable("memory: nothing answers", advice="set down to False")
