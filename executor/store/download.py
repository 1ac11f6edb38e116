"""An object's bytes as a stream that is taken up again where it broke. Nothing is verified here, see `transfer`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Download(io.RawIOBase):
    """The bytes of `get(start)`, a body from that position on; `call` tries until it is answered, and maps errors."""

    def __init__(self, get: Callable[[int], Any], call: Callable[[Callable[[], Any]], Any]) -> None:
        self._get, self._call, self._position = get, call, 0
        self._body = call(lambda: get(0))

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Give what has come; 0 at the end."""
        view = memoryview(buffer).cast("B")
        chunk: bytes = self._call(lambda: self._read(len(view)))
        view[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def _read(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._get(self._position)
        try:
            data: bytes = self._body.read(size)
        except Exception:
            self._body.close()
            self._body = None
            raise
        return data

    def close(self) -> None:
        """Let the connection go."""
        if self._body is not None:
            self._body.close()
        super().close()
