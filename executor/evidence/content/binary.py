"""Bytes without a format: sizes, where they first differ, and how many differ."""

from __future__ import annotations

import re
from collections.abc import Iterator

from executor.evidence.content.found import Explanation, Found, Limits
from executor.evidence.content.leaks import leaked

PIECE = 64 * 1024
"""Bytes compared at a time; a multiple of every size of a number."""
_AROUND = 64
"""Bytes before and after the first difference that are searched for readable text."""
_READABLE = re.compile(rb"[ -~]{6,}")


def explain_binary(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Any two files; never unreadable."""
    found = Found("binary")
    first, many = tally(reference, observed)
    if reference != observed:
        found.add(_sentence(reference, observed, first, many), _leaks(reference, observed, first))
    return found.explanation(same=reference == observed)


def tally(old: bytes, new: bytes) -> tuple[int, int]:
    """Offset of the first byte that differs, and how many do, over the length that both have."""
    first, many = min(len(old), len(new)), 0
    for start, mask in masks(old, new):
        if not many:
            first = start + len(mask) - len(mask.lstrip(b"\0"))
        many += len(mask) - mask.count(0)
    return first, many


def masks(old: bytes, new: bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces that differ, by offset: each byte of one side XOR that of the other."""
    one, other = memoryview(old), memoryview(new)
    for start in range(0, min(len(old), len(new)), PIECE):
        left, right = one[start : start + PIECE], other[start : start + PIECE]
        size = min(len(left), len(right))
        if left[:size] != right[:size]:
            yield start, xor(left[:size], right[:size])


def xor(old: bytes | memoryview, new: bytes | memoryview) -> bytes:
    """Two strings of one length, byte by byte; as numbers, so that the loop runs in C."""
    return (int.from_bytes(old, "big") ^ int.from_bytes(new, "big")).to_bytes(len(old), "big")


def elements(mask: bytes, size: int) -> int:
    """How many groups of `size` bytes have one that differs."""
    groups, merged = len(mask) // size, 0
    for byte in range(size):
        merged |= int.from_bytes(mask[byte::size], "big")
    return groups - merged.to_bytes(groups, "big").count(0)


def _sentence(old: bytes, new: bytes, first: int, many: int) -> str:
    if len(old) == len(new):
        return f"{many} of {len(old)} bytes differ, first at offset {first}: 0x{old[first]:02x} → 0x{new[first]:02x}"
    sizes = f"{len(old)} → {len(new)} bytes"
    if not many:
        return f"{sizes}; the first {first} are the same"
    return f"{sizes}; {many} of the first {min(len(old), len(new))} differ, first at offset {first}"


def _leaks(old: bytes, new: bytes, first: int) -> frozenset[str]:
    window = slice(max(0, first - _AROUND), first + _AROUND)
    return leaked("", *(b"\n".join(_READABLE.findall(side[window])).decode() for side in (old, new)))
