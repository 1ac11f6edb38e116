from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.content.binary import PIECE, elements, explain_binary, tally, xor
from executor.evidence.content.explain import _explain
from executor.evidence.content.found import Explanation, Limits


def of(old: bytes, new: bytes) -> Explanation:
    return explain_binary("x", old, new, Limits(_explain))


def test_bytes_of_one_size() -> None:
    assert of(b"abcd", b"aXcY").lines == ("2 of 4 bytes differ, first at offset 1: 0x62 → 0x58",)


def test_bytes_of_two_sizes() -> None:
    assert of(b"abc", b"abcd").lines == ("3 → 4 bytes; the first 3 are the same",)
    assert of(b"abc", b"axcd").lines == ("3 → 4 bytes; 1 of the first 3 differ, first at offset 1",)
    assert of(b"", b"a").lines == ("0 → 1 bytes; the first 0 are the same",)


def test_equal_bytes_need_no_words() -> None:
    assert (of(b"a", b"a").same_values, of(b"a", b"a").lines) == (True, ())


def test_readable_text_around_the_difference_tells_what_leaked() -> None:
    old, new = (b"\x80\2made 2026-01-0" + day + b"T10:00:00\0\0" for day in (b"1", b"2"))
    assert of(old, new).leaks == ("time",)
    assert of(b"\x80\2ip\0\1", b"\x80\2ip\0\2").leaks == ()


def test_pieces_are_joined() -> None:
    old = bytes(3 * PIECE + 5)
    new = bytearray(old)
    new[PIECE + 7] = new[2 * PIECE] = new[-1] = 1
    assert tally(old, bytes(new)) == (PIECE + 7, 3)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_the_tally_is_that_of_a_plain_loop(old: bytes, new: bytes) -> None:
    places = [at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    assert tally(old, new) == (places[0] if places else min(len(old), len(new)), len(places))


def test_elements_are_groups_of_bytes() -> None:
    assert elements(xor(b"aabbccdd", b"aaxbccxy"), 2) == 2
    assert elements(xor(b"aabbccdd", b"aaxbccxy"), 4) == 2
    assert elements(xor(b"aabbccdd", b"aabbccdd"), 2) == 0
