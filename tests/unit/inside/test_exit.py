from __future__ import annotations

import sys
from pathlib import Path

import pytest

from executor.inside.exit import libraries
from tests.unit.inside.rooms import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


ENDING = """
    import sys, types
    from _executor import entropy, exit, lineage
    ending = exit.Ending(lineage.Lineage("0.7"), entropy.Log())
    torch = types.SimpleNamespace(set_num_threads=lambda *a, **k: ("set", a, k))
"""
"""A report of a process, at hand, and a torch with one setting."""


def told(room: Room, code: str) -> str:
    """What `code` prints, which has `ENDING` before it."""
    done = room.run(ENDING + code)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_report_says_what_ran(room: Room) -> None:
    found = room.ended("pass")
    assert (found["process"], found["python"]) == ("0", sys.version.split()[0])
    assert (found["numpy"], found["torch"], found["settings"]) == (None, None, {})
    assert found["calls"] == found["entropy"] == found["undetermined"] == found["probe_changed"] == []


def test_versions_of_loaded_modules_are_told_with_their_files(room: Room) -> None:
    modules = room.ended("import library", library="__version__ = '1.2'")["modules"]
    assert modules["library"] == f"1.2 ({room.folder / 'library.py'})"


def test_a_torch_that_is_not_whole_has_no_settings(room: Room) -> None:
    found = room.ended("import sys, types\nsys.modules['torch'] = types.ModuleType('torch')")
    assert (found["torch"], found["settings"]) == (None, {})


# Calls that change what torch computes ------------------------------------------------------------------------------


def test_who_changes_a_setting_is_written_down_and_the_call_goes_through(room: Room) -> None:
    code = """
    ending.watch(torch)
    print(torch.set_num_threads(3, hard=True), torch.set_num_threads.__name__)
    call, = ending.document()["calls"]
    print(call["call"], call["where"].rpartition("/")[2], call["step"])
"""
    assert told(room, code) == (
        "('set', (3,), {'hard': True}) set_num_threads\ntorch.set_num_threads(3, hard=True) train.py:8 0\n"
    )


def test_a_library_s_calls_are_its_own_affair(room: Room) -> None:
    code = """
    ending.watch(torch)
    exec(compile("torch.set_num_threads(1)", "/usr/lib/python3/some.py", "exec"))
    print(ending.document()["calls"])
"""
    assert told(room, code) == "[]\n"


def test_only_so_many_calls_are_kept(room: Room) -> None:
    code = """
    ending.watch(torch)
    for _ in range(300): torch.set_num_threads(1)
    print(len(ending.document()["calls"]))
"""
    assert told(room, code) == "200\n"


# Operations without a deterministic implementation ------------------------------------------------------------------


def test_what_torch_warns_of_is_written_down_and_still_warned_of(room: Room) -> None:
    code = """
    import warnings
    shown = []
    warnings.showwarning = lambda message, *_, **__: shown.append(str(message))
    ending.watch(torch)
    for text in ("put_ does not have a deterministic implementation, but you set", "something else"):
        warnings.warn(text)
    print(len(shown), [one.replace(__file__, "train.py") for one in ending.document()["undetermined"]])
"""
    assert told(room, code) == "2 ['put_ at train.py:12']\n"


def test_the_operation_that_ended_the_program_is_told_with_its_line(room: Room) -> None:
    code = "def step():\n    raise RuntimeError('put_ does not have a deterministic implementation')\nstep()"
    assert room.run(code).returncode == 1
    (found,) = room.reports("process")
    assert [Path(one).name for one in found["undetermined"]] == ["train.py:2"]
    assert found["undetermined"][0].startswith("put_ at ")


def test_another_error_is_no_operation(room: Room) -> None:
    room.run("raise RuntimeError('out of memory')")
    assert room.reports("process")[0]["undetermined"] == []


# The end -----------------------------------------------------------------------------------------------------------


def test_the_report_is_written_once_after_everything_else_that_ends(room: Room) -> None:
    told(room, "\n    ending.at_end.append(lambda: print('trace closed'))\n    ending.end(); ending.end()\n")
    assert [one["process"] for one in room.reports("process")] == ["0.7", "0"]


def test_a_report_that_fails_is_missing_and_the_program_ends_as_it_would(room: Room) -> None:
    told(room, "\n    ending.at_end.append(lambda: 1 / 0)\n    ending.end()\n")
    assert [one["process"] for one in room.reports("process")] == ["0"]


def test_a_forked_child_does_not_repeat_what_its_parent_called(room: Room) -> None:
    code = """
    import os
    ending.watch(torch)
    torch.set_num_threads(1)
    if not os.fork():
        ending.end(); os._exit(0)
    os.wait(); ending.end()
"""
    told(room, code)
    assert [len(one["calls"]) for one in room.reports("process") if one["process"] == "0.7"] == [0, 1]


def test_a_probe_that_gives_other_numbers_at_the_end_is_told_by_the_process_that_took_it(room: Room) -> None:
    code = """
    import os
    sys.modules["_executor.numeric"] = numeric = types.ModuleType("_executor.numeric")
    numeric.probe = lambda: {"matmul": "a", "sum": "c"}
    sys.modules["_executor"].numeric = numeric
    ending.probed({"matmul": "a", "sum": "b"})
    document = ending.document()
    print(document["probe_changed"], bool(document["libraries"]), flush=True)
    if not os.fork():
        print(ending.document()["probe_changed"], flush=True); os._exit(0)
    os.wait()
"""
    assert told(room, code) == "['sum'] True\n[]\n"


def test_libraries_are_files_of_this_process_with_their_sizes() -> None:
    found = libraries()
    assert found == sorted(found)
    paths = {Path(line.rpartition(" ")[0]): int(line.rpartition(" ")[2]) for line in found}
    assert any("libc.so" in path.name for path in paths)
    assert all(path.stat().st_size == size for path, size in paths.items())
