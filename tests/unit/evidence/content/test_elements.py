import struct

import pytest

from executor.evidence.content.elements import explain_elements, shortest
from tests.unit.evidence.content.samples import floats


def test_the_first_element_and_the_largest_difference() -> None:
    old, new = floats(0, 1, 2, 0.1, 4, 5), floats(0, 1, 2, 0.2, 4, 5.5)
    line = "2 of 6 values differ, first at [1, 0]: 0.1 → 0.2, largest difference 0.5"
    assert explain_elements("F32", [2, 3], old, new) == line


@pytest.mark.parametrize(
    ("dtype", "code", "old", "new", "words"),
    [
        ("F64", "d", 0.1, 0.2, "0.1 → 0.2"),
        ("F16", "e", 0.5, 1.5, "0.5 → 1.5"),
        ("I64", "q", -5, 5, "-5 → 5"),
        ("U8", "B", 1, 255, "1 → 255"),
        ("BOOL", "?", False, True, "False → True"),
        ("F32", "f", 1.0, float("nan"), "1 → nan"),
        ("BF16", "H", 0x3F80, 0x4000, "1.0 → 2.0"),
        ("F8_E4M3", "B", 3, 4, "3 → 4"),
    ],
)
def test_types(dtype: str, code: str, old: float, new: float, words: str) -> None:
    pair = [struct.pack(f"<3{code}", 0, 0, value) for value in (old, new)]
    assert explain_elements(dtype, [3], *pair) == f"1 of 3 values differ, first at [2]: {words}"


def test_a_scalar_and_a_shape_that_does_not_fit() -> None:
    assert explain_elements("F32", [], floats(1), floats(2)) == "1 of 1 values differ, first at []: 1 → 2"
    assert explain_elements("F32", [7], floats(1), floats(2)).startswith("2 of 4 values differ")
    assert explain_elements("X", [7], b"1", b"22") == "1 → 2 bytes"


def test_many_pieces() -> None:
    old, new = floats(*[0.0] * 100_000), floats(*[0.0] * 99_999, 3.0)
    assert explain_elements("F32", [100_000], old, new) == "1 of 100000 values differ, first at [99999]: 0 → 3"


def test_the_shortest_text_of_a_number() -> None:
    for value, text in (
        (0.6, "0.6"),
        (1e30, "1e+30"),
        (16777217.0, "16777216"),
        (3.4028234663852886e38, "3.4028235e+38"),
    ):
        assert shortest(struct.unpack("<f", struct.pack("<f", value))[0]) == text
    assert [shortest(float(text)) for text in ("nan", "inf", "-0.0")] == ["nan", "inf", "-0"]
