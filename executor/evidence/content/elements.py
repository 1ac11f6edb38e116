"""Arrays of numbers given as bytes: how many elements differ, where first, and by how much at most."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from executor.evidence.content.binary import PIECE, elements, masks

FORMATS = {
    "F64": "d", "F32": "f", "F16": "e", "BF16": "H", "BOOL": "?",
    "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U64": "Q", "U32": "I", "U16": "H", "U8": "B",
}  # fmt: skip
"""`struct` code of each type of safetensors that Python can read; the others are compared as bytes."""
MOST_SUBTRACTED = 64 << 20
"""Bytes of one array up to which the largest difference is sought."""


def explain_elements(dtype: str, shape: Sequence[int], old: bytes, new: bytes) -> str:
    """One sentence on two arrays of one type and shape that differ; little-endian."""
    if len(old) != len(new):
        return f"{len(old)} → {len(new)} bytes"
    size = struct.calcsize("<" + FORMATS.get(dtype, "B"))
    whole = math.prod(shape) * size == len(old)
    if dtype not in FORMATS or not whole:
        dtype, size, shape = "U8", 1, (len(old),)
    first, many, largest = -1, 0, 0.0
    for start, mask in masks(old, new):
        many += elements(mask, size)
        if first < 0:
            first = (start + len(mask) - len(mask.lstrip(b"\0"))) // size
        if len(old) <= MOST_SUBTRACTED:
            largest = max(largest, _largest(dtype, old[start : start + PIECE], new[start : start + PIECE]))
    pair = [_decode(dtype, side[first * size : (first + 1) * size])[0] for side in (old, new)]
    values = " → ".join(shortest(value) if dtype == "F32" else str(value) for value in pair)
    rest = f", largest difference {largest:.3g}" if many > 1 and 0 < largest < math.inf else ""
    return f"{many} of {len(old) // size} values differ, first at {_place(first, shape)}: {values}{rest}"


def shortest(value: float) -> str:
    """The shortest decimal that is this number in 32 bits."""
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next((text for text in texts if _rounded(float(text)) == value), str(value))


def _rounded(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf


def _largest(dtype: str, old: bytes, new: bytes) -> float:
    """The largest difference; NaN and infinity have none."""
    pairs = zip(_decode(dtype, old), _decode(dtype, new), strict=True)
    return max((gap for gap in (abs(b - a) for a, b in pairs) if gap < math.inf), default=0.0)


def _decode(dtype: str, data: bytes) -> tuple[float, ...]:
    code = FORMATS[dtype]
    if dtype == "BF16":  # the upper half of a 32-bit float
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[::2], data[1::2]
        data, code = bytes(wide), "f"
    return struct.unpack(f"<{len(data) // struct.calcsize('<' + code)}{code}", data)


def _place(at: int, shape: Sequence[int]) -> str:
    """Index along each dimension."""
    place: list[int] = []
    for length in reversed(shape):
        at, here = divmod(at, length)
        place.insert(0, here)
    return str(place)
