from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from executor.evidence.trace import PROGRAM, STRUCT, Row
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
