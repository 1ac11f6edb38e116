"""What a container prints, carried to whoever takes it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from executor.engine.interface import LogSink

SILENT_AFTER = 30
"""Seconds without a byte after which a stream that should have ended is given up."""


class LogPump(threading.Thread):
    """Carries all that the program prints to a sink: attached before the start, it makes the program wait for us.

    The engine's own log file is bounded and forgets; it only helps when the stream broke with the engine. `errors` are
    what the engine's client raises when it is lost.
    """

    def __init__(self, api: Any, container: str, sink: LogSink, errors: tuple[type[Exception], ...]) -> None:
        super().__init__(daemon=True)
        self.lost = threading.Event()  # whether the engine was ever out of reach
        self._api, self._container, self._sink, self._errors = api, container, sink, errors
        self._seen, self._ended, self._given_up = 0, 0.0, False
        self._stream = api.attach(container, stream=True, logs=False)

    def run(self) -> None:
        """Follow the stream to its end, which need not be the container's."""
        with contextlib.suppress(*self._errors):
            for piece in self._stream:
                if self._given_up:
                    return
                self._seen += len(piece)
                self._sink(piece)
        self._ended = time.monotonic()

    def finish(self, ended: float) -> None:
        """After the container ended at monotonic time `ended`: take the rest, as long as there is any."""
        seen = -1
        while self.is_alive() and self._seen > seen:
            seen = self._seen
            self.join(SILENT_AFTER)
        self._given_up = self.is_alive()
        if self._given_up or self._ended > ended - 1:
            return
        skip = self._seen
        with contextlib.suppress(*self._errors):
            for piece in self._api.logs(self._container, stream=True, follow=False):
                if len(piece) > skip:
                    self._sink(piece[skip:])
                skip = max(0, skip - len(piece))
