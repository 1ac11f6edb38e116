import struct
import zlib

import pytest

from executor.evidence.content.explain import explain
from executor.evidence.content.found import Explanation
from tests.unit.evidence.content.samples import as_png, chunk, gray

ROWS = gray([0, 1, 2], [3, 4, 5])


def of(old: bytes, new: bytes) -> Explanation:
    found = explain("a.png", old, new)
    assert found.format == "png"
    return found


def test_pixels_that_differ_are_counted() -> None:
    found = of(as_png(ROWS, 3), as_png(gray([0, 1, 2], [3, 7, 4]), 3))
    assert not found.same_values
    assert found.lines == ("2 of 6 pixels differ, first at x=1, y=1; largest difference 3 of 255",)


@pytest.mark.parametrize(
    ("color", "depth", "old", "new", "of_"),
    [
        (0, 16, b"\0\1\0\2", b"\0\1\1\2", "256 of 65535"),
        (2, 8, b"abcdef", b"abcdeg", "1 of 255"),
        (4, 8, b"abcd", b"abcf", "2 of 255"),
        (6, 8, b"abcdefgh", b"abcdefgi", "1 of 255"),
        (6, 16, b"a" * 16, b"a" * 14 + b"ba", "256 of 65535"),
    ],
)
def test_layouts(color: int, depth: int, old: bytes, new: bytes, of_: str) -> None:
    pair = [as_png([b"\0" + row], 2, color=color, depth=depth) for row in (old, new)]
    assert of(*pair).lines == (f"1 of 2 pixels differ, first at x=1, y=0; largest difference {of_}",)


def test_a_palette_is_resolved() -> None:
    old = as_png(gray([0, 1], [1, 0]), 2, color=3, extra=[(b"PLTE", b"abcdef")])
    moved = as_png(gray([1, 0], [0, 1]), 2, color=3, extra=[(b"PLTE", b"defabc")])
    assert of(old, moved).lines == ("the same pixels, compressed differently",)
    other = as_png(gray([0, 1], [1, 0]), 2, color=3, extra=[(b"PLTE", b"abcdeg")])
    assert of(old, other).lines == ("2 of 4 pixels differ, first at x=1, y=0; largest difference 1 of 255",)
    clear = as_png(gray([0, 1], [1, 0]), 2, color=3, extra=[(b"PLTE", b"abcdef"), (b"tRNS", b"\0")])
    assert not of(old, clear).same_values
    assert explain("a.png", old, as_png(gray([0, 9], [1, 0]), 2, color=3, extra=[(b"PLTE", b"abc")])).format == "binary"


def test_filters_and_compression_are_no_pixels() -> None:
    filtered = [b"\1\0\1\1", b"\2\3\3\3"]
    found = of(as_png(ROWS, 3), as_png(filtered, 3, level=0))
    assert (found.same_values, found.lines) == (True, ("the same pixels, compressed differently",))


def test_texts_and_times_are_no_pixels() -> None:
    old = [(b"tEXt", b"Software\0Matplotlib 3.9"), (b"tIME", b"\7\xea\1\1\0\0\0"), (b"pHYs", b"a" * 9)]
    new = [
        (b"zTXt", b"Software\0\0" + zlib.compress(b"Matplotlib 3.10")),
        (b"tIME", b"\7\xea\1\2\0\0\0"),
        (b"iTXt", b"Creation Time\0\1\0\0\0" + zlib.compress("é".encode())),
    ]
    found = of(as_png(ROWS, 3, extra=old), as_png(ROWS, 3, extra=new))
    assert (found.same_values, found.leaks) == (True, ("time",))
    assert 'text Software: "Matplotlib 3.9" → "Matplotlib 3.10"' in found.lines
    assert 'text Creation Time: missing → "é"' in found.lines
    assert len(found.lines) == 4


def test_what_changes_the_colours_is_a_difference() -> None:
    old, new = (as_png(ROWS, 3, extra=[(b"gAMA", gamma)]) for gamma in (b"\0\0\0\1", b"\0\0\0\2"))
    assert (of(old, new).same_values, of(old, new).lines) == (False, ("chunk gAMA differs",))


def test_another_size_or_depth() -> None:
    found = of(as_png(ROWS, 3), as_png(gray([1, 2, 3, 4, 5, 6]), 3, depth=16))
    assert found.lines == ("3×2, 8-bit gray → 3×1, 16-bit gray",)


def test_interlaced_and_small_depths_are_compared_as_a_whole() -> None:
    old = as_png([b"\0\x10"], 4, depth=1)
    assert of(old, as_png([b"\0\x10"], 4, depth=1, level=0)).same_values
    assert explain("a.png", old, as_png([b"\0\x20"], 4, depth=1)).format == "binary"
    assert of(as_png(ROWS, 3, laced=1), as_png(ROWS, 3, laced=1, level=0)).same_values


def test_huge_and_broken_images_are_left_to_plain_bytes() -> None:
    good = as_png(ROWS, 3)
    start, end = good[:8], good[8 + 25 :]
    sizes = ((1 << 31, 1 << 31), (4097, 4096), (3, 3), (0, 2), (4096, 4096))
    huge = [start + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)) + end for size in sizes]
    broken = [good[:-5], good + b"x", good[:20], good.replace(b"IDAT", b"IDAU"), start, as_png([b"\7abc"], 3)]
    for data in [*huge, *broken]:
        found = explain("a.png", good, data)
        assert found.format == "binary" or found.lines == ("3×2, 8-bit gray → 3×1, 8-bit gray",)


def test_a_bomb_in_the_pixels_or_a_text_is_left_to_plain_bytes() -> None:
    bomb = zlib.compress(b"\0" * (70 << 20), 9)
    good = as_png(ROWS, 3)
    assert explain("a.png", good, as_png(ROWS, 3, extra=[(b"zTXt", b"a\0\0" + bomb)])).format == "binary"
    assert explain("a.png", good, good.replace(chunk(b"IEND", b""), chunk(b"IDAT", bomb))).format == "binary"
