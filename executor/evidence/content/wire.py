"""Two layers below TensorBoard's event files: records with check sums, and protobuf messages without their schema."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from executor.evidence.content.found import Unreadable, reject

Field = tuple[int, int | bytes]
"""Number, and value: of fixed and counted fields the bytes, else the number."""

MOST_CHECKED = 4096
"""Bytes of a record up to which its check sum is computed; images and graphs would take too long in Python."""
_HEADER = struct.Struct("<QI")
_VARINT, _FIXED64, _COUNTED, _FIXED32 = 0, 1, 2, 5


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_TABLE = tuple(_table())


def checksum(data: bytes) -> int:
    """CRC-32C, masked as records keep it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def starts_with_record(data: bytes) -> bool:
    """Whether a file starts with the length of a record and its check sum."""
    return len(data) >= _HEADER.size and checksum(data[:8]) == _HEADER.unpack_from(data)[1]


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file, each checked as far as it is cheap."""
    start = 0
    while start < len(data):
        reject(not starts_with_record(data[start : start + _HEADER.size]), "no record")
        length, _ = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        reject(start + length + 4 > len(data), "a record is cut off")
        record = data[start : start + length]
        start += length
        stated = int.from_bytes(data[start : start + 4], "little")
        reject(length <= MOST_CHECKED and checksum(record) != stated, "a record is broken")
        start += 4
        yield record


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in their order."""
    start = 0
    while start < len(message):
        key, start = _varint(message, start)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, start = _varint(message, start)
            yield number, value
            continue
        reject(kind not in (_FIXED64, _COUNTED, _FIXED32), "no field")
        length, start = _varint(message, start) if kind == _COUNTED else (8 if kind == _FIXED64 else 4, start)
        reject(start + length > len(message), "a field is cut off")
        yield number, message[start : start + length]
        start += length


def _varint(message: bytes, start: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        reject(start >= len(message), "a number is cut off")
        byte = message[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise Unreadable("a number is too long")
