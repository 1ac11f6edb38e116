"""PNG: what is drawn, pixel by pixel, apart from how it was compressed and from its texts, time and resolution."""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from executor.evidence.content.binary import elements, xor
from executor.evidence.content.found import MISSING, Explanation, Found, Limits, reject, short
from executor.evidence.content.png_filters import unfilter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 16 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By type of colour: gray, RGB, palette, gray and RGB with alpha."""
_COLORS = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with alpha", 6: "RGB with alpha"}
_PALETTE = 3
_COLORING = (b"PLTE", b"tRNS")
"""Chunks that say the colours and the alpha of a palette."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_UNSEEN = {b"tIME": "time of change", b"pHYs": "pixels per metre", b"eXIf": "Exif data"}
"""Chunks that change nothing of what is drawn; any other that differs is a difference."""


@dataclass
class Image:
    """One file, with its pixels still filtered."""

    width: int
    height: int
    depth: int
    """Bits of a sample."""
    color: int
    interlaced: bool
    raw: bytes = b""
    """Decompressed rows."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts, time and resolution by key."""
    chunks: dict[bytes, list[bytes]] = field(default_factory=dict)
    """What else says how to draw it, the palette among them."""

    @property
    def pixel(self) -> int:
        """Bytes of a pixel, at least one."""
        return max(1, _CHANNELS[self.color] * self.depth // 8)

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return -(-self.width * _CHANNELS[self.color] * self.depth // 8)

    @property
    def shape(self) -> str:
        """Size and colours, in words."""
        laced = ", interlaced" if self.interlaced else ""
        return f"{self.width}×{self.height}, {self.depth}-bit {_COLORS[self.color]}{laced}"


def explain_png(_path: str, reference: bytes, observed: bytes, limits: Limits) -> Explanation:
    """Two images."""
    old, new = _read(reference, limits), _read(observed, limits)
    found = Found("png")
    if old.shape != new.shape:
        found.add(f"{old.shape} → {new.shape}")
    else:
        _pixels(old, new, found)
        _chunks(old, new, found)
    same = not found.count
    for key in sorted(old.texts.keys() | new.texts.keys()):
        one, other = old.texts.get(key, MISSING), new.texts.get(key, MISSING)
        if one != other:
            found.value(short(key), one, other)
    if not found.count:
        found.add("the same pixels, compressed differently")
    return found.explanation(same=same)


def _chunks(old: Image, new: Image, found: Found) -> None:
    for kind in sorted(old.chunks.keys() | new.chunks.keys()):
        seen_in_pixels = old.color == _PALETTE and kind in _COLORING
        if old.chunks.get(kind) != new.chunks.get(kind) and not seen_in_pixels:
            found.add(f"chunk {kind.decode('latin-1')} differs")


def _pixels(old: Image, new: Image, found: Found) -> None:
    colored = old.color == _PALETTE and any(old.chunks.get(kind) != new.chunks.get(kind) for kind in _COLORING)
    if old.raw == new.raw and not colored:
        return
    reject(old.interlaced or old.depth < 8, "a layout that is not decoded")
    size = 4 if old.color == _PALETTE else old.pixel
    many, largest, first = 0, 0, ""
    for y, (one, other) in enumerate(_rows(old, new)):
        if one != other:
            mask = xor(one, other)
            first = first or f"x={(len(mask) - len(mask.lstrip(bytes(1)))) // size}, y={y}"
            many += elements(mask, size)
            largest = max(largest, _largest(one, other, old.depth))
    if many:
        of = f"{largest} of {(1 << old.depth) - 1}"
        found.add(f"{many} of {old.width * old.height} pixels differ, first at {first}; largest difference {of}")


def _rows(old: Image, new: Image) -> Iterator[tuple[bytes, bytes]]:
    """Both sides of each row; where they are filtered alike from the top on, filters are undone once."""
    width, pixel = old.row, old.pixel
    one = other = bytes(width)
    to_color, to_color_too = _coloring(old), _coloring(new)
    for start in range(0, old.height * (width + 1), width + 1):
        left, right = (side.raw[start : start + width + 1] for side in (old, new))
        alike = left == right and one == other
        one = unfilter(left, one, pixel)
        other = one if alike else unfilter(right, other, pixel)
        yield to_color(one), to_color_too(other)


def _coloring(image: Image) -> Callable[[bytes], bytes]:
    """What makes a row of palette indices one of RGB with alpha; any other row stays what it is."""
    if image.color != _PALETTE:
        return bytes
    palette, alpha = (b"".join(image.chunks.get(kind, [])) for kind in _COLORING)
    table = [palette[at : at + 3] + (alpha[at // 3 : at // 3 + 1] or b"\xff") for at in range(0, len(palette), 3)]
    return lambda row: b"".join(map(table.__getitem__, row))


def _largest(one: bytes, other: bytes, depth: int) -> int:
    if depth == 8:
        return max(abs(a - b) for a, b in zip(one, other, strict=True))
    rows = array("H", one), array("H", other)
    for row in rows if sys.byteorder == "little" else ():
        row.byteswap()
    return max(abs(a - b) for a, b in zip(*rows, strict=True))


def _read(data: bytes, limits: Limits) -> Image:
    chunks = _split(data)
    kind, header = next(chunks)
    reject(kind != b"IHDR" or len(header) != 13, "no header")
    width, height, depth, color, _, _, laced = struct.unpack(">IIBBBBB", header)
    reject(color not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or laced > 1, "no header")
    reject(not 0 < width * height <= MOST_PIXELS, "too many pixels")
    image, packed = Image(width, height, depth, color, bool(laced)), bytearray()
    for kind, content in chunks:
        if kind == b"IDAT":
            packed += content
        elif kind in _UNSEEN or kind in _TEXTS:
            key, value = _text(kind, content, limits)
            image.texts[key] = f"{image.texts[key]}; {value}" if key in image.texts else value
        else:
            image.chunks.setdefault(kind, []).append(content)
    image.raw, _ = limits.inflate(packed, 15)
    reject(not image.interlaced and len(image.raw) != height * (image.row + 1), "rows are missing")
    return image


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks up to the end of the image, which must be the end of the file."""
    reject(not data.startswith(SIGNATURE), "no PNG")
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        reject(start + 12 > len(data), "cut off")
        length = int.from_bytes(data[start : start + 4], "big")
        kind, content = data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        end = start + 12 + length
        reject(zlib.crc32(kind + content) != int.from_bytes(data[end - 4 : end], "big"), "a broken chunk")
        yield kind, content
        start = end
    reject(start != len(data), "more than an image")


def _text(kind: bytes, content: bytes, limits: Limits) -> tuple[str, str]:
    """Key and text of a chunk that changes nothing of what is drawn."""
    if kind in _UNSEEN:
        return _UNSEEN[kind], "-".join(map(str, content[:64])) if kind == b"tIME" else content.hex()
    key, _, text = content.partition(b"\0")
    if kind == b"zTXt":
        text, _ = limits.inflate(text[1:], 15)
    elif kind == b"iTXt":
        packed, (_, _, text) = text[:1] == b"\1", text[2:].split(b"\0", 2)
        text = limits.inflate(text, 15)[0] if packed else text
    return f"text {key.decode('latin-1')}", text.decode("utf-8" if kind == b"iTXt" else "latin-1")
