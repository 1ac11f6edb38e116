from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.inside.rooms import Room

FORK = """
    import os
    if not os.fork():
        {child}
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def names(room: Room, stem: str) -> list[str]:
    return [one["process"] for one in room.reports(stem)]


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 0), ("import sys; sys.exit(4)", 4), ("import os; os._exit(5)", 5), ("raise ValueError", 1)],
)
def test_a_program_reports_however_it_ends_and_ends_as_it_would(room: Room, end: str, code: int) -> None:
    assert room.run(end).returncode == code
    assert (names(room, "began"), names(room, "process")) == (["0"], ["0"])


def test_a_program_that_is_killed_has_begun_and_left_no_report(room: Room) -> None:
    assert room.run("import os; os.kill(os.getpid(), 9)").returncode == -9
    assert (names(room, "began"), names(room, "process")) == (["0"], [])


def test_the_name_of_what_began_has_the_process_and_its_id(room: Room) -> None:
    pid = room.run("import os; print(os.getpid())").stdout.strip()
    assert [path.name for path in room.report.glob("began-*")] == [f"began-0-{pid}.json"]


def test_a_program_that_becomes_another_one_owes_one_report(room: Room) -> None:
    room.run("import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'pass'])")
    assert (names(room, "began"), names(room, "process")) == (["0"], ["0"])


def test_a_forked_child_reports_when_it_leaves_at_once(room: Room) -> None:
    assert room.run(FORK.format(child="pass")).stdout == "3\n"
    assert names(room, "process") == ["0.1", "0"]


def test_a_child_that_computes_nothing_owes_nothing(room: Room) -> None:
    room.run("import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'])")
    assert (names(room, "began"), names(room, "process")) == (["0"], ["0"])


def test_a_child_that_imports_numpy_owes_a_report(room: Room) -> None:
    room.run("import subprocess, sys; subprocess.run([sys.executable, '-c', 'import numpy'])", numpy="")
    assert (names(room, "began"), sorted(names(room, "process"))) == (["0", "0.1"], ["0", "0.1"])


def test_the_end_comes_once_even_when_it_is_asked_for_twice(room: Room) -> None:
    room.run("import os, atexit; atexit.register(lambda: os._exit(0))")
    assert names(room, "process") == ["0"]


def test_without_a_place_to_report_to_the_program_runs_all_the_same(room: Room) -> None:
    shutil.rmtree(room.report)
    done = room.run("print('trained')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "trained\n", "")
