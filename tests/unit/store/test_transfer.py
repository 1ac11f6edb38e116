from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from executor.errors import CorruptObject
from executor.spec.canonical import CHUNK, Digest
from executor.store.transfer import Payload, in_threads, verified, write_whole


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_right_bytes_pass_unchanged(size: int) -> None:
    data = b"ab" * size
    with verified(io.BytesIO(data), "key", Digest.of(data), size=len(data)) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("chunk", [1, 7, 4096, -1])
def test_wrong_bytes_raise_at_their_end(chunk: int) -> None:
    stream = verified(io.BytesIO(b"wrong" * 100), "key", Digest.of(b"right"))
    with pytest.raises(CorruptObject, match="key"), stream:
        list(iter(lambda: stream.read(chunk), b""))


def test_a_payload_opened_again_tells_its_progress_once() -> None:
    data, told = b"x" * (3 * CHUNK), list[int]()
    payload = Payload(lambda: io.BytesIO(data), "data", Digest.of(data), len(data), told.append)
    for amount in (2 * CHUNK, -1, -1):
        with payload.open() as stream:
            stream.read(amount)
    assert sum(told) == len(data)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pytest.raises(CorruptObject):
        write_whole(target, verified(io.BytesIO(b"wrong"), "key", Digest.of(b"right")))
    assert list(tmp_path.iterdir()) == []
    assert write_whole(target, io.BytesIO(b"first"))
    assert write_whole(target, io.BytesIO(b"second"))
    assert not write_whole(target, io.BytesIO(b"third"), if_absent=True)
    assert target.read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_threads_answer_in_order() -> None:
    def slowest_first(number: int) -> int:
        time.sleep(0.01 * (3 - number))
        return number

    assert in_threads(slowest_first, range(4), 4) == [0, 1, 2, 3]


def test_the_first_error_stops_what_has_not_begun() -> None:
    begun, gate = list[int](), threading.Event()

    def task(number: int) -> Any:
        begun.append(number)
        if number == 0:
            raise CorruptObject("key", expected="a", observed="b")
        gate.wait(0.05)

    with pytest.raises(CorruptObject):
        in_threads(task, range(1000), 2)
    assert len(begun) < 100
