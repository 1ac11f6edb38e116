"""Small real files of each format, made by hand or by the standard library."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence

from executor.evidence.content.wire import checksum

JANUARY = (2026, 1, 1, 0, 0, 0)
Stamp = tuple[int, int, int, int, int, int]


def as_json(value: object, **options: object) -> bytes:
    return json.dumps(value, **options).encode()  # type: ignore[arg-type]


def as_zip(members: Mapping[str, bytes], stamp: Stamp = JANUARY, kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, stamp), content, kind)
    return file.getvalue()


def as_torch(root: str, data: bytes = b"\0" * 64, stamp: Stamp = JANUARY) -> bytes:
    return as_zip({f"{root}/data.pkl": b"\x80\2.", f"{root}/data/0": data, f"{root}/version": b"3\n"}, stamp)


def as_tar(members: Mapping[str, bytes], mtime: float = 0, uname: str = "", kind: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname = len(content), mtime, uname
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def as_gzip(content: bytes, mtime: int = 0, name: str = "", level: int = 9) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, file, mtime) as stream:
        stream.write(content)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def as_png(
    rows: Sequence[bytes],
    width: int,
    *,
    color: int = 0,
    depth: int = 8,
    extra: Iterable[tuple[bytes, bytes]] = (),
    level: int = 9,
    laced: int = 0,
) -> bytes:
    """`rows` are given with their filters; `extra` chunks come before the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, laced)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(b"".join(rows), level)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def gray(*rows: Sequence[int]) -> list[bytes]:
    return [bytes([0, *row]) for row in rows]


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", checksum(length)) + content + struct.pack("<I", checksum(content))


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def counted(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def simple(tag: str, value: float) -> bytes:
    return counted(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, value: float, *, packed: bool = True) -> bytes:
    data = struct.pack("<f", value)
    return counted(1, tag.encode()) + counted(
        8, b"\x08\x01\x12\x00" + (counted(5, data) if packed else counted(4, data))
    )


def event(wall: float, step: int = 0, *values: bytes, other: bytes = b"") -> bytes:
    summary = counted(5, b"".join(counted(1, value) for value in values)) if values else b""
    return record(b"\x09" + struct.pack("<d", wall) + b"\x10" + varint(step) + other + summary)


def as_events(losses: Sequence[float], wall: float = 1767225600.0) -> bytes:
    start = event(wall, other=counted(3, b"brain.Event:2"))
    return start + b"".join(event(wall + at, at, simple("loss", loss)) for at, loss in enumerate(losses))


def as_safetensors(
    tensors: Mapping[str, tuple[str, list[int], bytes]],
    metadata: Mapping[str, str] | None = None,
    *,
    swap: bool = False,
) -> bytes:
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    start = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(data)]}
        start += len(data)
    if swap:
        header = dict(reversed(header.items()))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
