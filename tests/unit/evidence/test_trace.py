from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from typing import Any
from unittest.mock import MagicMock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executor.errors import CorruptObject
from executor.evidence.trace import (
    DIGESTS,
    FLAGS,
    ORDER,
    PROGRAM,
    STRUCT,
    Parting,
    Process,
    Row,
    Trace,
    from_parquet,
    own_lines,
    part,
    rows,
    to_parquet,
)
from executor.inside import trace as inside

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
ROWS = st.lists(
    st.builds(
        Row,
        step=st.integers(-1, 2**62),
        optimizer=U16,
        threads=U16,
        flags=U32,
        **dict.fromkeys(DIGESTS, U64),
    ),
    max_size=6,
)
TENSORS = st.fixed_dictionaries(dict.fromkeys(("gradients", "parameters"), st.lists(U64, max_size=3)))
NUMBERS = tuple(name for name in ORDER if name not in ("step", "optimizer"))
KINDS = {
    "python": "rng", "numpy": "rng", "torch": "rng", "cuda": "rng", "inputs": "data", "samples": "data",
    "gradients": "gradient", "parameters": "optimizer", "state": "optimizer",
}  # fmt: skip
BATCHES = [(11, 1), (12, 2), (13, 3), (14, 4)]
"""Inputs and samples of steps."""


def chained(taken: Iterable[Row]) -> list[Row]:
    """Rows with the chain that the inside room gives them."""
    found, chain = [], 0
    for row in taken:
        chain = int.from_bytes(sha256(inside.ROW.pack(*row[:-1], chain)).digest()[:8], "little")
        found.append(row._replace(chain=chain))
    return found


def steps(count: int, **changes: int) -> list[Row]:
    """Rows of a run in which every column differs from step to step."""
    return [
        Row(at, 0, 1, 3, **{name: 100 * at + number for number, name in enumerate(NUMBERS, 1)})._replace(**changes)
        for at in range(count)
    ]


def changed(taken: Sequence[Row], at: int, **changes: int) -> list[Row]:
    return [row._replace(**changes) if at == number else row for number, row in enumerate(taken)]


def of(taken: Iterable[Row], name: str = "0", **more: Any) -> Trace:
    return Trace({name: Process(name, chained(taken), **more)})


def parted(one: Iterable[Row], other: Iterable[Row]) -> Parting:
    found = part(of(one), of(other))
    assert found is not None
    return found


# The format


def test_a_row_is_what_the_inside_room_writes() -> None:
    assert (STRUCT.format, DIGESTS) == (inside.ROW.format, inside.COLUMNS)
    assert Row._fields == ("step", "optimizer", "threads", "flags", *inside.COLUMNS)


def test_what_the_inside_room_writes_is_read() -> None:
    taken = [Row(-1, 1, 0, 0, parameters=5), *steps(3)]
    writer: Any = object.__new__(inside.Trace)
    writer._chain, writer._file = 0, io.BytesIO()
    writer._late = [({name: value for name, value in row._asdict().items() if value}, {}, list) for row in taken]
    for row, *_ in writer._late:
        row.update(step=row.get("step", 0), optimizer=row.get("optimizer", 0))
    writer._flush()
    assert rows(writer._file.getvalue()) == chained(taken)


SWITCHES = {
    "deterministic algorithms": "are_deterministic_algorithms_enabled",
    "warn only": "is_deterministic_algorithms_warn_only_enabled",
    "cudnn.deterministic": "_C._get_cudnn_deterministic",
    "cudnn.benchmark": "_C._get_cudnn_benchmark",
    "mkldnn": "_C._get_mkldnn_enabled",
    "cublas.tf32": "_C._get_cublas_allow_tf32",
    "cudnn.tf32": "_C._get_cudnn_allow_tf32",
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_flag_is_named_as_it_is_written(name: str) -> None:
    torch = MagicMock(**{f"{path}.return_value": one == name for one, path in SWITCHES.items()})
    torch.utils.deterministic.fill_uninitialized_memory = False
    assert inside.flags(torch) == 1 << FLAGS.index(name)


def test_the_last_flags_are_named_as_they_are_written() -> None:
    torch = MagicMock()
    torch.get_default_dtype.return_value = torch.float32
    assert inside.flags(torch) == 2 ** len(FLAGS) - 1
    torch.get_default_dtype.return_value = None
    assert inside.flags(torch) == 2 ** len(FLAGS) - 1 - (1 << FLAGS.index("float32"))


@given(ROWS, st.binary(max_size=STRUCT.size - 1))
def test_a_torn_tail_is_left_out(taken: list[Row], tail: bytes) -> None:
    assert rows(b"".join(STRUCT.pack(*row) for row in taken) + tail) == taken


# Parquet


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    found = {}
    for name in draw(st.lists(st.sampled_from(["0", "0.1", "0.1.2", PROGRAM]), unique=True)):
        taken = draw(ROWS)
        numbers = sorted({row.step for row in taken})
        each = draw(st.dictionaries(st.sampled_from(numbers), TENSORS)) if numbers else {}
        level = draw(st.sampled_from(["steps", "tensors"]))
        names = tuple(draw(st.lists(st.text(max_size=5), max_size=3)))
        found[name] = Process(name, taken, names, draw(st.text(max_size=9)), level, each)
    return Trace(found)


@settings(deadline=None)
@given(traces())
def test_a_trace_survives_its_parquet(trace: Trace) -> None:
    assert from_parquet(to_parquet(trace), "key") == trace


STORED = to_parquet(of(steps(3), names=("w", "b"), each={1: {"gradients": [1, 2], "parameters": [3, 2**64 - 1]}}))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(STORED) - 1), st.integers(1, 255)), min_size=1, max_size=3))
@example([(at, 255) for at in range(4, 200, 4)])
def test_flipped_bits_give_a_trace_or_a_corrupt_object(flips: list[tuple[int, int]]) -> None:
    data = bytearray(STORED)
    for at, mask in flips:
        data[at] ^= mask
    with suppress(CorruptObject):
        from_parquet(bytes(data), "key")


@settings(deadline=None)
@given(st.binary(max_size=100) | st.integers(0, len(STORED) - 1).map(lambda end: STORED[:end]))
def test_what_is_cut_off_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptObject, match="expected a trace"):
        from_parquet(data, "key")


def rewritten(metadata: dict[str, str] | None, table: pa.Table | None = None) -> bytes:
    table = pq.read_table(io.BytesIO(STORED)) if table is None else table
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue()


ABOUT = {"name": "0", "names": [], "problem": "", "level": "steps"}


def test_a_table_with_the_same_metadata_is_read() -> None:
    assert from_parquet(rewritten({"executor": json.dumps([ABOUT])}), "key").steps == 3


@pytest.mark.parametrize(
    "about",
    [
        None, {}, {"executor": "{"}, {"executor": "1"}, {"executor": "[1]"}, {"executor": "[{}]"}, {"executor": "[]"},
        {"executor": json.dumps([ABOUT | {"name": "0.7"}])}, {"executor": json.dumps([ABOUT | {"name": []}])},
        {"executor": json.dumps([ABOUT | {"names": None}])}, {"executor": "[" * 100_000},
    ],
)  # fmt: skip
def test_a_table_that_says_other_things_of_itself_is_corrupt(about: dict[str, str] | None) -> None:
    with pytest.raises(CorruptObject):
        from_parquet(rewritten(about), "key")


@pytest.mark.parametrize("column", ["process", "step", "chain", "each_gradient"])
def test_a_table_without_a_column_is_corrupt(column: str) -> None:
    table = pq.read_table(io.BytesIO(STORED))
    with pytest.raises(CorruptObject):
        from_parquet(rewritten({"executor": json.dumps([ABOUT])}, table.drop_columns([column])), "key")


def test_a_column_of_words_or_with_holes_is_corrupt() -> None:
    table = pq.read_table(io.BytesIO(STORED))
    for values in (pa.array(["a", "b", "c"]), pa.array([1, None, 2], pa.uint64())):
        other = table.set_column(table.schema.get_field_index("gradients"), "gradients", values)
        with pytest.raises(CorruptObject):
            from_parquet(rewritten({"executor": json.dumps([ABOUT])}, other), "key")


# Where two traces part


@given(st.integers(1, 30), st.data())
def test_the_first_planted_difference_is_found(length: int, data: st.DataObject) -> None:
    at, column = data.draw(st.integers(0, length - 1)), data.draw(st.sampled_from(NUMBERS))
    one = steps(length)
    other = changed(one, at, **{column: getattr(one[at], column) + 1})
    for later, noisy in data.draw(st.lists(st.tuples(st.integers(at, length - 1), st.sampled_from(NUMBERS)))):
        if (later, ORDER.index(noisy)) > (at, ORDER.index(column)):
            other = changed(other, later, **{noisy: 7})
    found, back = parted(one, other), parted(other, one)
    assert (found.process, found.step, found.column, found.kind) == ("0", at, column, KINDS[column])
    assert (back.step, back.column, back.kind) == (found.step, found.column, found.kind)


@given(*[st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40)] * 3)
def test_bisection_finds_what_a_linear_scan_finds(shared: list[Any], left: list[Any], right: list[Any]) -> None:
    one, other = (
        [Row(at, 0, 1 + word, 0, torch=data, gradients=gradient) for at, (data, gradient, word) in enumerate(values)]
        for values in (shared + left, shared + right)
    )
    both = list(zip(one, other, strict=False))
    expected = next((at for at, (left_row, right_row) in enumerate(both) if left_row != right_row), len(both))
    found = part(of(one), of(other))
    assert (found is None) == (one == other)
    assert found is None or found.step == expected


def test_equal_traces_do_not_part() -> None:
    assert part(of(steps(5)), of(steps(5))) is None
    assert part(Trace({}), Trace({})) is None


@pytest.mark.parametrize(("column", "later"), list(pairwise(ORDER)))
def test_within_a_step_the_first_column_counts(column: str, later: str) -> None:
    assert parted(steps(3), changed(steps(3), 1, **{column: 9999, later: 9998})).column == column


@pytest.mark.parametrize("column", NUMBERS)
def test_a_difference_before_the_first_step_is_one_of_the_initial_parameters(column: str) -> None:
    one = [Row(-1, 0, 0, 0, parameters=1), *steps(2)]
    found = parted(one, changed(one, 0, **{column: 2}))
    assert (found.step, found.kind, found.column) == (0, "init", column)
    assert of(one).steps == 2


def test_a_setting_that_changes_is_told_and_the_first_numbers_that_follow() -> None:
    one = steps(5)
    other = [row._replace(threads=2, flags=1) if row.step >= 2 else row for row in one]
    found = parted(one, changed(other, 4, gradients=7, parameters=8))
    assert (found.step, found.column, found.kind) == (2, "gradients", "gradient")
    assert found.settings == ("threads: 1 → 2", "warn only: True → False")


@pytest.mark.parametrize("setting", ["threads", "flags"])
def test_a_setting_alone_is_the_column(setting: str) -> None:
    one = steps(3)
    found = parted(one, changed(one, 1, **{setting: 2}))
    assert (found.step, found.column, found.kind, len(found.settings)) == (1, setting, "gradient", 1)


def test_the_same_numbers_with_the_same_settings_are_told_without_settings() -> None:
    assert parted(steps(3), changed(steps(3), 1, gradients=1)).settings == ()


def batches(order: Sequence[tuple[int, int]]) -> list[Row]:
    return [Row(at, 0, 1, 0, inputs=inputs, samples=samples) for at, (inputs, samples) in enumerate(order)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([(11, 1), (13, 3), (12, 2), (14, 4)], True),
        ([(11, 1), (99, 2), (13, 3), (14, 4)], True),
        ([(11, 1), (98, 3), (99, 2), (14, 4)], True),
        ([(11, 1), (98, 2**64 - 1), (99, 6), (14, 4)], True),
        ([(11, 1), (99, 9), (13, 3), (14, 4)], False),
        ([(11, 1), (98, 9), (99, 3), (14, 4)], False),
        ([(11, 1), (99, 0), (13, 3), (14, 4)], False),
    ],
)
def test_the_same_samples_in_another_order(order: list[tuple[int, int]], expected: bool) -> None:
    found = parted(batches(BATCHES), batches(order))
    assert (found.step, found.kind, found.order) == (1, "data", expected)


def test_samples_that_nobody_saw_are_not_the_same_samples() -> None:
    one, other = ([(inputs, 0) for inputs, _ in order] for order in (BATCHES, [(11, 1), (99, 2), (98, 3), (97, 4)]))
    assert not parted(batches(one), batches(other)).order


def test_a_programs_own_lines_with_other_inputs_are_other_data() -> None:
    one, other = (own_lines([b'{"step": 0, "inputs": %d}' % number]) for number in (1, 2))
    found = part(Trace({PROGRAM: Process(PROGRAM, one)}), Trace({PROGRAM: Process(PROGRAM, other)}))
    assert found is not None
    assert (found.kind, found.order) == ("data", False)


def test_another_generator_is_no_other_order() -> None:
    other = changed(batches([BATCHES[1], BATCHES[0], *BATCHES[2:]]), 0, torch=5)
    assert (parted(batches(BATCHES), other).kind, parted(batches(BATCHES), other).order) == ("rng", False)


@pytest.mark.parametrize(
    ("column", "each", "expected"),
    [
        ("gradients", {1: {"gradients": [1, 9], "parameters": [9, 9]}}, "b"),
        ("gradients", {1: {"gradients": [1, 2], "parameters": [9, 9]}}, None),
        ("gradients", {2: {"gradients": [9, 9]}}, None),
        ("parameters", {1: {"gradients": [1, 9], "parameters": [9, 4]}}, "w"),
        ("parameters", {1: {"gradients": [1, 2], "parameters": [3, 4, 5, 6]}}, None),
        ("parameters", {}, None),
    ],
)
def test_the_tensor_that_differs_first_is_named(column: str, each: Any, expected: str | None) -> None:
    known = {1: {"gradients": [1, 2], "parameters": [3, 4]}}
    one = of(steps(3), names=("w", "b"), each=known)
    found = part(one, of(changed(steps(3), 1, **{column: 7}), each=each))
    assert found is not None
    assert found.tensor == expected


def test_a_tensor_without_a_name_is_numbered() -> None:
    one, other = (of(steps(1, gradients=at), each={0: {"gradients": [1, at]}}, names=("w",)) for at in (5, 6))
    found = part(one, other)
    assert found is not None
    assert found.tensor == "parameter 1"


def test_a_run_that_took_more_steps_took_another_way() -> None:
    found = parted([Row(-1, 0, 0, 0), *steps(3)], [Row(-1, 0, 0, 0), *steps(5)])
    assert (found.step, found.kind, found.column) == (3, "output", "step")
    assert found.reason == "the reference took 3 steps, this run 5"


@pytest.mark.parametrize("which", [0, 1])
def test_a_trace_that_ended_early_tells_only_of_what_it_has(which: int) -> None:
    whole, short = of(steps(5)), of(steps(3), problem="killed")
    assert part(*((whole, short), (short, whole))[which]) is None
    found = part(whole, of(changed(steps(3), 1, torch=1), problem="killed"))
    assert found is not None
    assert found.step == 1


def test_the_earliest_process_is_told() -> None:
    one = {name: Process(name, chained(steps(5))) for name in ("0", "0.1", "0.2")}
    other = one | {name: replace(one[name], rows=chained(changed(steps(5), at, gradients=1)))
                   for name, at in (("0", 4), ("0.1", 2))}  # fmt: skip
    found = part(Trace(one), Trace(other))
    assert found is not None
    assert (found.process, found.step) == ("0.1", 2)


def test_a_process_of_one_run_alone_is_told() -> None:
    one, other = of(steps(2)), Trace({**of(steps(2)).processes, **of(steps(2), "0.1").processes})
    found, back = part(one, other), part(other, one)
    assert found is not None
    assert back is not None
    assert (found.process, found.step, found.kind) == ("0.1", 0, "output")
    assert found.reason == "only this run has a process 0.1"
    assert back.reason == "only the reference has a process 0.1"


def test_the_steps_of_a_trace_are_those_of_its_longest_process() -> None:
    assert Trace({}).steps == 0
    assert Trace({**of(steps(2)).processes, **of(steps(4), "0.1").processes}).steps == 4


# A program's own lines


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
LINES = st.binary(max_size=30) | JSON.map(json.dumps).map(str.encode) | st.builds(
    lambda step, more: json.dumps({**more, "step": step}).encode(),
    JSON, st.dictionaries(st.sampled_from(["loss", "rng", "inputs", "gradients", "state"]), JSON),
)  # fmt: skip


@given(st.lists(LINES, max_size=4))
@example([b'{"step": Infinity}'])
@example([b'{"step": -1e999}'])
@example([b'{"step": NaN, "loss": NaN}'])
def test_any_lines_are_read(lines: list[bytes]) -> None:
    found = own_lines(lines)
    assert rows(b"".join(STRUCT.pack(*row) for row in found)) == found == chained(found)
    assert len(found) <= len(lines)


def test_lines_nested_too_deeply_are_left_out() -> None:
    limit = sys.getrecursionlimit()
    lines = [b'{"step": 0, "x": ' + b"[" * depth + b"]" * depth + b"}" for depth in range(limit - 300, limit + 50)]
    assert len(own_lines([*lines, b"[" * 10**6, b'{"step": 1}'])) <= len(lines) + 1


def test_each_field_goes_to_its_column() -> None:
    plain = own_lines([b'{"step": 3}'])[0]
    assert plain == Row(3, 0, 0, 0, parameters=plain.parameters, chain=plain.chain)
    assert {getattr(plain, name) for name in DIGESTS} == {0, plain.parameters, plain.chain}
    for name, column in (("inputs", "inputs"), ("rng", "python"), ("gradients", "gradients"), ("state", "state"),
                         ("loss", "parameters")):  # fmt: skip
        (row,) = own_lines([b'{"step": 3, "%s": 1}' % name.encode()])
        (other,) = own_lines([b'{"step": 3, "%s": 2}' % name.encode()])
        differing = {one for one in Row._fields if getattr(row, one) != getattr(other, one)}
        assert differing == {column, "chain"}


@pytest.mark.parametrize(
    "line", [b"", b"1", b"[]", b"{}", b'{"step": null}', b'{"step": "x"}', b'{"step": []}', b"\xff"]
)
def test_a_line_that_is_no_step_is_left_out(line: bytes) -> None:
    good = [b'{"step": 0, "loss": 1}', b'{"step": 1, "loss": 1}']
    assert own_lines([good[0], line, good[1]]) == own_lines(good)


def test_how_a_line_is_written_does_not_matter() -> None:
    assert own_lines([b'{"step": 0, "a": 1, "b": "\\u00e9"}']) == own_lines(['{"b":"é",  "a":1,"step":0}'.encode()])
