from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from executor.engine.pump import LogPump


class Lost(Exception):
    """What a client raises when its engine is lost."""


class Api:
    """Streams what it is told to, and breaks off where it is told to."""

    def __init__(self, attached: list[bytes | Exception], kept: list[bytes]) -> None:
        self.attached, self.kept = attached, kept

    def attach(self, *_: Any, **__: Any) -> Iterator[bytes]:
        for piece in self.attached:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def logs(self, *_: Any, **__: Any) -> Iterator[bytes]:
        return iter(self.kept)


def pumped(attached: list[bytes | Exception], kept: list[bytes], *, ended: float) -> bytes:
    taken: list[bytes] = []
    pump = LogPump(Api(attached, kept), "c", taken.append, (Lost,))
    pump.start()
    pump.join()
    pump.finish(ended)
    return b"".join(taken)


def test_a_stream_that_ends_with_its_container_is_all_there_is() -> None:
    assert pumped([b"one ", b"two"], [b"never read"], ended=time.monotonic()) == b"one two"


def test_what_a_broken_stream_did_not_bring_is_read_from_the_engine_once() -> None:
    broken: list[bytes | Exception] = [b"one ", Lost()]
    assert pumped(broken, [b"one t", b"wo"], ended=time.monotonic() + 10) == b"one two"
