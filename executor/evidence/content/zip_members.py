"""zip archives, `.npz` and the `.pt` of torch among them; what is pickled in them stays bytes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from executor.evidence.content.found import Explanation, Limits, reject
from executor.evidence.content.members import Member, explain_members

MOST_MEMBERS = 100_000
_LOCAL = struct.Struct("<4s22xHH")
"""Signature, and the lengths of name and extra field, which lie between it and the content."""


def explain_zip(_path: str, reference: bytes, observed: bytes, limits: Limits) -> Explanation:
    """Two archives, member by member."""
    return explain_members("zip", _read(reference, limits), _read(observed, limits), limits)


def _read(data: bytes, limits: Limits) -> list[Member]:
    reject(data.count(b"PK\1\2") > MOST_MEMBERS, "too many members")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    reject(sum(entry.compress_size for entry in entries) > len(data), "members lie over each other")
    return [_member(data, entry, limits) for entry in entries]


def _member(data: bytes, entry: zipfile.ZipInfo, limits: Limits) -> Member:
    """One member, read by hand: zipfile would take each length in the archive for true."""
    start = entry.header_offset
    signature, name, extra = _LOCAL.unpack_from(data, start)
    start += _LOCAL.size + name + extra
    packed = memoryview(data)[start : start + entry.compress_size]
    reject(signature != b"PK\3\4" or start < 0 or len(packed) != entry.compress_size, "a member is cut off")
    reject(entry.flag_bits & 1, "encrypted")
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        content, _ = limits.inflate(packed, -15)
    else:
        reject(entry.compress_type != zipfile.ZIP_STORED, "a compression whose cost cannot be bounded")
        content = bytes(packed)
    reject(len(content) != entry.file_size or zlib.crc32(content) != entry.CRC, "a member is not what it says")
    date = "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*entry.date_time)
    mode = entry.external_attr >> 16
    return Member(entry.filename, content, date, kind=f"mode {mode:o}" if mode else "no mode")
