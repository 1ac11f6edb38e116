import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.content.found import Unreadable
from executor.evidence.content.png_filters import unfilter


def paeth(left: int, up: int, corner: int) -> int:
    near = left + up - corner
    return min((left, up, corner), key=lambda value: abs(near - value))


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    return (0, left, up, (left + up) // 2, paeth(left, up, corner))[kind]


def filtered(kind: int, row: bytes, above: bytes, pixel: int) -> bytes:
    """What an encoder writes, byte by byte as the standard says it."""
    line = bytearray([kind])
    for at, value in enumerate(row):
        left, corner = (row[at - pixel], above[at - pixel]) if at >= pixel else (0, 0)
        line.append((value - predicted(kind, left, above[at], corner)) & 255)
    return bytes(line)


@given(st.integers(0, 4), st.sampled_from([1, 2, 3, 4, 6, 8]), st.integers(1, 5), st.data())
def test_each_filter_is_undone(kind: int, pixel: int, width: int, data: st.DataObject) -> None:
    size = pixel * width
    row, above = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    assert unfilter(filtered(kind, row, above, pixel), above, pixel) == row


def test_there_is_no_sixth_filter() -> None:
    with pytest.raises(Unreadable):
        unfilter(b"\5a", b"a", 1)
