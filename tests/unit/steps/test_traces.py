from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.evidence.trace import PROGRAM, STRUCT, Row, from_parquet, to_parquet
from executor.steps import traces
from executor.steps.traces import gather, load, operations, packed_operations
from tests.unit.evidence.samples import record
from tests.unit.sites import World

ROW = Row(0, 0, 1, 53, inputs=7, gradients=8, parameters=9, chain=10)


def left(report: Path, name: str, *rows: Row, **about: object) -> None:
    (report / f"trace-{name}.bin").write_bytes(b"".join(STRUCT.pack(*row) for row in rows))
    if about:
        (report / f"trace-{name}.json").write_text(json.dumps(about))


def test_every_process_has_its_trace(tmp_path: Path) -> None:
    left(tmp_path, "0", ROW, names=["weight"], problem="")
    left(tmp_path, "0.2", ROW, ROW._replace(step=1))
    found = gather(tmp_path)
    assert found
    assert {name: len(one.rows) for name, one in found.processes.items()} == {"0": 1, "0.2": 2}
    assert (found.processes["0"].names, found.processes["0"].problem) == (("weight",), "")
    assert "no end" in found.processes["0.2"].problem, "a process that was killed is told"


def test_a_program_s_own_lines_are_a_process(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text('{"step": 0, "state": "a"}\nno json\n{"step": 1, "state": "b"}\n')
    found = gather(tmp_path)
    assert found
    assert [row.step for row in found.processes[PROGRAM].rows] == [0, 1]


@pytest.mark.parametrize("name", ["trace-../../etc.bin", "trace-0 .bin", "trace-x.bin"])
def test_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name.replace("/", "_")).write_bytes(STRUCT.pack(*ROW))
    assert gather(tmp_path) is None


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(STRUCT.pack(*ROW))
    (tmp_path / "trace-0.bin").symlink_to("real")
    os.mkfifo(tmp_path / "trace-0.1.bin")
    (tmp_path / "operations-0.jsonl").symlink_to("real")
    assert gather(tmp_path) is None
    assert operations(tmp_path, "0") == []


def test_tensors_of_every_step_are_kept(tmp_path: Path) -> None:
    left(tmp_path, "0", ROW, names=["w"], problem="")
    (tmp_path / "trace-0.jsonl").write_text('{"step": 0, "gradients": [1], "parameters": [2]}\n{"step": "torn')
    found = gather(tmp_path)
    assert found
    assert found.processes["0"].each == {0: {"gradients": [1], "parameters": [2]}}
    assert found.processes["0"].level == "tensors"


def test_operations_are_packed_with_their_process(tmp_path: Path) -> None:
    (tmp_path / "operations-0.jsonl").write_text('{"op": "a"}\n{"op": "b"}\n{"torn')
    lines = gzip.decompress(packed_operations(tmp_path)).splitlines()
    assert [json.loads(line) for line in lines] == [{"process": "0", "op": "a"}, {"process": "0", "op": "b"}]
    assert packed_operations(tmp_path) == packed_operations(tmp_path), "the same bytes every time"


def test_an_attempt_without_a_trace_has_none(world: World) -> None:
    assert load(world.store, record()) is None


def test_all_traces_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        left(tmp_path, f"0.{number}", *[ROW] * 10)
        (tmp_path / f"operations-{number}.jsonl").write_text('{"op": "a"}\n' * 50)
    monkeypatch.setattr(traces, "LIMIT", 3 * 10 * STRUCT.size + 5)
    found = gather(tmp_path)
    assert found
    assert sorted(found.processes) == ["0.0", "0.1", "0.2"]
    packed = gzip.decompress(packed_operations(tmp_path)).splitlines()
    assert {json.loads(line)["process"] for line in packed} < {"0", "1", "2", "3", "4"}


TENSORS = [
    b'{"step": 0, "gradients": [Infinity], "parameters": [1]}', b'{"step": 1e999, "gradients": [], "parameters": []}',
    b'{"step": 0, "gradients": [-5, 99999999999999999999999], "parameters": [1.5, "7"]}', b'{"process": 1, "op": NaN}',
    b'{"step": 0, "gradients": {"a": 1}, "parameters": "12"}', b"[[[", b'{"\\ud800": "\\udfff"}',
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    rows=st.binary(max_size=3 * STRUCT.size), tensors=st.binary(max_size=60) | st.sampled_from(TENSORS),
    about=st.binary(max_size=60),
    own=st.lists(st.binary(max_size=20) | st.sampled_from([b'{"step": 1e400}', b'{"step": -1, "rng": []}', b"[" * 9999,
                                                            b'{"step": 99999999999999999999, "x": "\\ud800"}']),
                 max_size=4),
)  # fmt: skip
def test_whatever_a_program_leaves_becomes_a_trace_that_can_be_stored(
    rows: bytes, tensors: bytes, about: bytes, own: list[bytes]
) -> None:
    with TemporaryDirectory() as folder:
        for name, data in (("trace-0.bin", rows), ("trace-0.jsonl", tensors), ("trace-0.json", about),
                           ("steps.jsonl", b"\n".join(own)), ("operations-0.jsonl", tensors)):  # fmt: skip
            Path(folder, name).write_bytes(data)
        found = gather(Path(folder))
        packed_operations(Path(folder))
    if found:
        again = from_parquet(to_parquet(found), "key")
        assert {name: list(one.rows) for name, one in again.processes.items()} == {
            name: list(one.rows) for name, one in found.processes.items()
        }
