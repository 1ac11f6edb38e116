from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.evidence.operations import MOST, Operation, Origin, origin, read

ENTRY: dict[str, Any] = {
    "op": "aten.add.Tensor", "in": ["a", "b"], "at": [1, 2], "args": ["1"], "where": "train.py:3", "out": ["c"],
    "to": [3], "wrote": [],
}  # fmt: skip


def op(name: str, inputs: str = "", outputs: str = "", *wrote: int, **more: Any) -> Operation:
    """`a1 b2` are tensors: a letter for the value, a number for the storage."""
    ins, outs = ([(one[0], int(one[1:])) for one in text.split()] for text in (inputs, outputs))
    values: dict[str, Any] = {"scalars": (), "where": f"{name}.py:1", "rng": ""}
    return Operation(
        name=f"aten.{name}", inputs=tuple(one for one, _ in ins), outputs=tuple(one for one, _ in outs),
        sources=tuple(at for _, at in ins), targets=tuple(at for _, at in outs), wrote=frozenset(wrote),
        **values | more,
    )  # fmt: skip


def found(*pairs: tuple[Operation, Operation] | Operation) -> Origin | None:
    """The origin in two lists, given side by side; an operation of both is given once."""
    both = [pair if isinstance(pair, tuple) else (pair, pair) for pair in pairs]
    return origin([one for one, _ in both], [other for _, other in both])


def what(*pairs: tuple[Operation, Operation] | Operation) -> tuple[str, int] | None:
    origin = found(*pairs)
    return (origin.what, origin.index) if origin else None


EMPTY = (op("empty.memory_format", "", "x1"), op("empty.memory_format", "", "y1"))
"""Memory that nobody wrote to."""
ADD = op("add.Tensor", "a1 b2", "c3")


# Reading


def test_what_the_inside_room_writes_is_read() -> None:
    lines = [json.dumps(one).encode() for one in (ENTRY, ENTRY | {"rng": "r", "wrote": [3]})]
    assert read(lines) == [
        Operation("aten.add.Tensor", ("a", "b"), ("c",), ("1",), "train.py:3", "", (1, 2), (3,), frozenset()),
        Operation("aten.add.Tensor", ("a", "b"), ("c",), ("1",), "train.py:3", "r", (1, 2), (3,), frozenset({3})),
    ]


@pytest.mark.parametrize("torn", [b"", b'{"op": "x"', b"[]", b"1", b"\xff", b"[" * 10**6])
def test_reading_ends_at_the_first_line_that_is_not_whole(torn: bytes) -> None:
    good = json.dumps(ENTRY).encode()
    assert len(read([good, torn, good])) == 1


@pytest.mark.parametrize("field", [one for one in ENTRY if one != "rng"])
def test_a_line_that_lacks_a_field_is_not_whole(field: str) -> None:
    assert read([json.dumps({name: value for name, value in ENTRY.items() if name != field}).encode()]) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
ENTRIES = st.dictionaries(st.sampled_from([*ENTRY, "rng"]), JSON).map(lambda some: ENTRY | some)


@given(st.lists(st.binary(max_size=20) | (JSON | ENTRIES).map(json.dumps).map(str.encode), max_size=3))
@example([json.dumps(ENTRY | {"at": [float("inf")]}).encode()])
@example([json.dumps(ENTRY | {"wrote": [float("nan")]}).encode()])
def test_any_lines_are_read(lines: list[bytes]) -> None:
    taken = read(lines)
    assert len(taken) <= len(lines)
    assert origin(taken, taken) is None


def test_a_list_is_bounded() -> None:
    line = json.dumps(ENTRY).encode()
    assert len(read(line for _ in range(MOST + 5))) == MOST


# Where two lists part


OPERATIONS = st.lists(
    st.builds(op, st.sampled_from(["add.Tensor", "empty.memory_format", "copy_.default", "view.default"]),
              st.sampled_from(["", "a1", "b2 a1"]), st.sampled_from(["c3", "a1"])), max_size=6
)  # fmt: skip


@given(OPERATIONS)
def test_a_list_does_not_part_from_itself(operations: list[Operation]) -> None:
    assert origin(operations, operations) is None


@given(OPERATIONS, OPERATIONS)
def test_the_first_difference_is_not_before_the_lists_differ(one: list[Operation], other: list[Operation]) -> None:
    parted = origin(one, other)
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert parted is None or parted.index >= same
    assert (parted is None) == (origin(other, one) is None)


def test_equal_inputs_and_unequal_outputs_are_an_operation() -> None:
    other = op("cumsum", "c3", "e4")
    assert found(ADD, (op("cumsum", "c3", "d4"), other), (op("sum", "d4", "f5"), op("sum", "e4", "g5"))) == Origin(
        "operation", 1, "aten.cumsum", "cumsum.py:1"
    )


def test_a_value_that_no_operation_made_is_from_outside() -> None:
    assert found((op("add", "a1 b2", "c3"), op("add", "a1 x2", "d3"))) == Origin(
        "outside", 0, "aten.add", "add.py:1", "input 1"
    )


def test_a_value_that_an_operation_made_was_changed_between() -> None:
    assert found(ADD, (op("sum", "c3", "d4"), op("sum", "x3", "e4"))) == Origin(
        "changed-outside", 1, "aten.sum", "sum.py:1", "input 0"
    )


def test_another_number_is_a_scalar() -> None:
    one, other = (op("mul.Scalar", "a1", f"{out}2", scalars=("7", number)) for out, number in (("b", "1"), ("c", "2")))
    assert found((one, other)) == Origin("scalar", 0, "aten.mul.Scalar", "mul.Scalar.py:1", "1 against 2")
    longer = op("mul.Scalar", "a1", "b2", scalars=("7",))
    assert (found((one, longer)) or Origin("operation", 0, "", "")).detail == "1 against nothing"


def test_another_state_of_the_generator_is_random() -> None:
    assert what((op("normal_", "a1", "b1", 1, rng="r"), op("normal_", "a1", "c1", 1, rng="s"))) == ("random", 0)
    assert what((op("normal_", "a1", "b1", 1, rng="r"), op("normal_", "a1", "c1", 1, rng="r"))) == ("operation", 0)


def test_what_came_in_outranks_the_generator_and_the_numbers() -> None:
    one, other = op("dropout", "a1", "c2", rng="r"), op("dropout", "b1", "d2", rng="s", scalars=("1",))
    assert what((one, other)) == ("outside", 0)


@pytest.mark.parametrize("swap", [False, True])
def test_another_operation_is_another_way(swap: bool) -> None:
    one, other = [ADD, op("mul", "c3", "d4")], [ADD, op("div", "c3", "d4")]
    parted = origin(other, one) if swap else origin(one, other)
    assert parted is not None
    assert (parted.what, parted.index) == ("other-way", 1)
    assert parted.detail == ("aten.div against aten.mul" if swap else "aten.mul against aten.div")


def test_a_list_that_ends_early_is_another_way() -> None:
    assert origin([ADD], [ADD, ADD]) == Origin(
        "other-way", 1, "aten.add.Tensor", "add.Tensor.py:1", "the end against aten.add.Tensor"
    )
    parted = origin([ADD, ADD], [ADD])
    assert parted is not None
    assert parted.detail == "aten.add.Tensor against the end"


def test_the_same_operation_on_more_tensors_is_another_way() -> None:
    assert what((op("cat", "a1 b2", "c3"), op("cat", "a1 b2 d4", "e3"))) == ("other-way", 0)


def test_a_line_that_one_side_does_not_know_is_taken_from_the_other() -> None:
    one, other = op("sum", "a1", "b2", where=""), op("sum", "a1", "c2", where="train.py:9")
    assert (found((one, other)) or Origin("operation", 0, "", "")).where == "train.py:9"


# Memory that nobody wrote


def test_memory_that_nobody_reads_does_not_matter() -> None:
    assert what(EMPTY) is None
    assert what(EMPTY, ADD) is None


@pytest.mark.parametrize(
    "name", ["empty_like.default", "new_empty.default", "empty_strided.default", "resize_.default"]
)
def test_reading_memory_that_nobody_wrote_is_told_with_the_line_that_made_it(name: str) -> None:
    parted = found((op(name, "", "x1"), op(name, "", "y1")), (op("sum", "x1", "a2"), op("sum", "y1", "b2")))
    assert parted == Origin("uninitialised", 1, "aten.sum", f"{name}.py:1", f"memory made at {name}.py:1")


@pytest.mark.parametrize("name", ["fill_.Scalar", "zero_.default", "uniform_.default", "normal_.default",
                                  "_foreach_zero_.default"])  # fmt: skip
def test_memory_that_is_written_whole_is_no_longer_unwritten(name: str) -> None:
    write = (op(name, "x1", "a1", 1), op(name, "y1", "a1", 1))
    assert what(EMPTY, write, op("sum", "a1", "b2")) is None


def test_memory_that_is_copied_to_is_no_longer_unwritten() -> None:
    assert what(EMPTY, (op("copy_.default", "x1 a2", "a1", 1), op("copy_.default", "y1 a2", "a1", 1))) is None
    assert what((op("mm.out", "a2 b3 x1", "c1", 1), op("mm.out", "a2 b3 y1", "c1", 1))) is None


def test_what_is_copied_is_read() -> None:
    parted = what(EMPTY, (op("copy_.default", "a2 x1", "x2", 2), op("copy_.default", "a2 y1", "y2", 2)))
    assert parted == ("uninitialised", 1)


def test_written_with_other_values_is_no_longer_unwritten_but_differs() -> None:
    write = (op("fill_.Scalar", "x1", "a1", 1, scalars=("1",)), op("fill_.Scalar", "y1", "b1", 1, scalars=("2",)))
    assert what(EMPTY, write) == ("scalar", 1)


@pytest.mark.parametrize("name", ["add_.Tensor", "mul_.Tensor", "index_put_.default"])
def test_an_operation_in_place_reads_what_it_writes(name: str) -> None:
    assert what(EMPTY, (op(name, "x1 a2", "c1", 1), op(name, "y1 a2", "d1", 1))) == ("uninitialised", 1)


@pytest.mark.parametrize("name", ["masked_fill_.Scalar", "index_fill_.int_Scalar", "index_copy_.default"])
def test_what_writes_a_part_reads_the_rest(name: str) -> None:
    write = (op(name, "x1 a2", "c1", 1), op(name, "y1 a2", "d1", 1))
    assert what(write) == ("outside", 0)
    assert what(EMPTY, write) == ("uninitialised", 1)


@pytest.mark.parametrize("name", ["view.default", "slice.Tensor", "as_strided.default", "select.int", "t.default"])
def test_a_view_of_memory_that_nobody_wrote_reads_nothing(name: str) -> None:
    view = (op(name, "x1", "x1"), op(name, "y1", "y1"))
    fill = (op("fill_.Scalar", "x1", "a1", 1), op("fill_.Scalar", "y1", "a1", 1))
    assert what(EMPTY, view) is None
    assert what(EMPTY, view, fill, op("sum", "a1", "b2")) is None
    assert what(EMPTY, view, (op("sum", "x1", "a2"), op("sum", "y1", "b2"))) == ("uninitialised", 2)


def test_memory_of_which_a_part_was_written_is_still_unwritten() -> None:
    part = (op("slice.Tensor", "x1", "x1"), op("slice.Tensor", "y1", "y1"))
    fill = (op("fill_.Scalar", "x1", "a1", 1), op("fill_.Scalar", "y1", "a1", 1))
    parted = found(EMPTY, part, fill, (op("sum", "p1", "c2"), op("sum", "q1", "d2")))
    assert parted is not None
    assert parted.what == "uninitialised"


def test_a_view_of_other_values_is_told() -> None:
    assert what((op("view.default", "a1", "a1"), op("view.default", "b1", "b1"))) == ("outside", 0)


def test_the_working_memory_of_an_operation_explains_nothing() -> None:
    forward = (op("mkldnn_rnn_layer.default", "a1", "b2 c3 d4 w5"), op("mkldnn_rnn_layer.default", "a1", "b2 c3 d4 v5"))
    backward = (
        op("mkldnn_rnn_layer_backward.default", "b2 w5", "g6"),
        op("mkldnn_rnn_layer_backward.default", "b2 v5", "g6"),
    )
    assert what(forward, backward) is None
    other = (op("mkldnn_rnn_layer.default", "a1", "b2 c3 d4 w5"), op("mkldnn_rnn_layer.default", "a1", "x2 c3 d4 w5"))
    assert what(other) == ("operation", 0)
