"""What the program prints is kept while it runs: in a file, in segments for those who follow, on the terminal.

The file is bounded: what comes beyond the limit is counted, not kept, except for the end, which is always kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from executor.engine.plan import LOG_LIMIT

TAIL = 8 * 1024
"""Bytes of the end that a record shows."""
_SEGMENT_BYTES = 256 * 1024
_SEGMENT_SECONDS = 1.0


class LogKeeper:
    """A log sink for one attempt; use it as a context manager.

    `publish(segment number, bytes)` runs in a thread of its own, so that a slow store never slows the program.
    """

    def __init__(self, path: Path, publish: Callable[[int, bytes], None], show: Callable[[bytes], None]) -> None:
        self.path, self.dropped = path, 0
        self._publish, self._show = publish, show
        self._kept, self._tail, self._pending, self._segment = 0, b"", bytearray(), 0
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._publish_segments, daemon=True)

    def __enter__(self) -> LogKeeper:
        self._file = self.path.open("wb")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self.dropped:
            self._file.write(b"\n[%d bytes of log were not kept; its end follows]\n" % self.dropped + self._tail)
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Take what the program printed."""
        room = max(0, LOG_LIMIT - self._kept)
        kept = piece[:room]
        self._file.write(kept)
        self._kept += len(kept)
        self.dropped += len(piece) - len(kept)
        self._tail = (self._tail + piece)[-TAIL:]
        with self._lock:
            self._pending += kept
        self._show(piece)

    @property
    def tail(self) -> str:
        """The last lines, or the end of an endless one, as text; bytes that are no UTF-8 are shown as U+FFFD."""
        text = self._tail.decode("utf-8", "replace")
        _, newline, rest = text.partition("\n")
        return rest if newline and len(self._tail) == TAIL else text

    def _publish_segments(self) -> None:
        last = time.monotonic()
        while True:
            ended = self._done.wait(0.1)
            full = len(self._pending) >= _SEGMENT_BYTES or time.monotonic() - last > _SEGMENT_SECONDS
            if self._pending and (full or ended):
                with self._lock:
                    data, self._pending = bytes(self._pending), bytearray()
                self._publish(self._segment, data)
                self._segment, last = self._segment + 1, time.monotonic()
            if ended:
                return
