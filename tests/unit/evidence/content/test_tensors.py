import json
import struct

import pytest

from executor.evidence.content.explain import explain
from tests.unit.evidence.content.samples import as_safetensors, floats

TENSORS = {"w": ("F32", [2, 2], floats(1, 2, 3, 4)), "b": ("F32", [1], floats(5))}
META = {"format": "pt", "step": "3"}


def test_a_value_of_a_tensor() -> None:
    new = as_safetensors(TENSORS | {"w": ("F32", [2, 2], floats(1, 2, 3.5, 4))})
    found = explain("m.safetensors", as_safetensors(TENSORS), new)
    assert (found.format, found.same_values) == ("safetensors", False)
    assert found.lines == ("tensor w: 1 of 4 values differ, first at [1, 0]: 3 → 3.5",)


def test_the_order_of_the_header_is_no_value() -> None:
    swapped = dict(reversed(META.items()))
    for new in (
        as_safetensors(TENSORS, META, swap=True),
        as_safetensors(TENSORS, swapped),
        as_safetensors(dict(reversed(TENSORS.items())), META),
    ):
        found = explain("m", as_safetensors(TENSORS, META), new)
        assert (found.format, found.same_values, len(found.lines)) == ("safetensors", True, 1)


def test_metadata_are_told_apart() -> None:
    found = explain("m", as_safetensors(TENSORS, META), as_safetensors(TENSORS, META | {"saved_at": "x", "step": "4"}))
    assert found.lines == ('metadata step: "3" → "4"', 'metadata saved_at: missing → "x"')
    assert (found.same_values, found.leaks) == (False, ("time",))


def test_other_tensors_and_shapes() -> None:
    found = explain("m", as_safetensors(TENSORS), as_safetensors({"w": ("F32", [4], floats(1, 2, 3, 4))}))
    assert found.lines == ("tensor only in the reference: b", "tensor w: F32 [2, 2] → F32 [4]")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 5]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [10**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]},
        {"dtype": "F32"},
        7,
    ],
)
def test_a_broken_header_is_left_to_plain_bytes(entry: object) -> None:
    text = json.dumps({"w": entry}).encode()
    old, new = (struct.pack("<Q", len(text)) + text + value for value in (floats(1), floats(2)))
    assert explain("m.safetensors", old, new).format == "binary"


def test_a_header_longer_than_the_file_is_left_to_plain_bytes() -> None:
    assert explain("m.safetensors", b"\xff" * 8 + b"{}", b"\xff" * 8 + b"{ }").format == "binary"
