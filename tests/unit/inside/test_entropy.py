from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.inside.entropy import Log, is_program, shown
from tests.unit.inside.rooms import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def read_by(room: Room, code: str, **modules: str) -> list[tuple[str, str, str, int]]:
    """Kind, source, file and line of what `code` reads."""
    reads = room.ended(code, **modules)["entropy"]
    return [(one["kind"], one["what"], Path(one["file"]).name, one["line"]) for one in reads]


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        ("import os\nos.urandom(8)", "entropy", "os.urandom"),
        ("import os\nos.getrandom(8)", "entropy", "os.getrandom"),
        ("import uuid\nuuid.uuid4()", "entropy", "os.urandom"),
        ("import secrets\nsecrets.token_bytes(8)", "entropy", "os.urandom"),
        ("import random\nrandom.SystemRandom().random()", "entropy", "os.urandom"),
        ("f = open\nf('/dev/urandom', 'rb').close()", "entropy", "/dev/urandom"),
        ("f = open\nf(b'/dev/urandom', 'rb').close()", "entropy", "/dev/urandom"),
        ("import os\nos.close(os.open('/dev/random', os.O_RDONLY))", "entropy", "/dev/random"),
        ("import time\ntime.time()", "clock", "time.time"),
        ("import time\ntime.perf_counter_ns()", "clock", "time.perf_counter_ns"),
        ("from time import monotonic\nmonotonic()", "clock", "time.monotonic"),
        ("f = open\nf('/proc/cpuinfo').close()", "host", "/proc/cpuinfo"),
        ("f = open\nf('/etc/hostname').close()", "host", "/etc/hostname"),
        ("import socket\nsocket.gethostname()", "host", "socket.gethostname"),
    ],
)
def test_every_source_is_told_with_its_line(room: Room, code: str, kind: str, what: str) -> None:
    assert read_by(room, code) == [(kind, what, "train.py", 2)]


def test_a_program_that_reads_nothing_has_no_entry(room: Room) -> None:
    code = "import random, json\nrandom.random()\nopen('train.py').close()\nopen('/dev/null').close()"
    assert read_by(room, code) == []


def test_a_place_is_one_entry_with_a_count(room: Room) -> None:
    (one,) = room.ended("import os\nfor _ in range(5):\n    os.urandom(1)")["entropy"]
    assert (one["count"], one["first"], one["last"]) == (5, 0, 0)


def test_places_are_in_the_order_of_their_first_read(room: Room) -> None:
    code = """
        import os, time
        def later(): return time.time()
        os.urandom(1)
        later(), later()
    """
    assert [(what, line) for _, what, _, line in read_by(room, code)] == [("os.urandom", 4), ("time.time", 3)]


def test_a_module_of_the_program_counts(room: Room) -> None:
    assert read_by(room, "import noise", noise="import os\nseed = os.urandom(8)") == [
        ("entropy", "os.urandom", "noise.py", 2)
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import logging\nlogging.LogRecord('', 0, '', 0, '', (), None)",
        "import linecache\nlinecache.getlines('/proc/cpuinfo')",
    ],
)
def test_a_library_s_own_look_at_a_clock_or_the_host_does_not_count(room: Room, code: str) -> None:
    assert read_by(room, code) == []


def test_what_is_read_returns_what_it_would(room: Room) -> None:
    done = room.run("import os, time\nprint(len(os.urandom(7)), os.urandom.__name__, type(time.time()).__name__)")
    assert done.stdout == "7 urandom float\n"


def test_a_forked_child_tells_only_what_it_read_itself(room: Room) -> None:
    code = """
        import os
        os.urandom(1)
        if not os.fork():
            os.urandom(2); os._exit(0)
        os.wait()
    """
    assert room.run(code).returncode == 0
    told = {one["process"]: [read["line"] for read in one["entropy"]] for one in room.reports("process")}
    assert told == {"0": [3], "0.1": [5]}


def noting(log: Log) -> dict[str, Any]:
    """Names for a program: `read` is what a watched function is, and `note` looks for whoever calls it."""
    return {"read": lambda kind, what: log.note(kind, what)}


def test_steps_of_the_first_and_the_last_read_are_told() -> None:
    log, program = Log(), compile("read('clock', 'a')", "/code/train.py", "exec")
    steps = iter((2, 3, 7))
    log.step = lambda: next(steps)
    for _ in range(3):
        exec(program, noting(log))
    assert log.document() == [
        {"kind": "clock", "what": "a", "file": "train.py", "line": 1, "count": 3, "first": 2, "last": 7}
    ]


def test_places_beyond_the_most_are_left_out() -> None:
    log = Log()
    exec(compile("read('entropy', 'a')\n" * 1001, "/code/train.py", "exec"), noting(log))
    assert (len(log.document()), log.document()[-1]["line"]) == (1000, 1000)


def test_files_are_shown_as_their_author_knows_them() -> None:
    files = ("/code/a/b.py", "/outputs/c.py", "/data/d.py", "/codes/e.py")
    assert [shown(file) for file in files] == ["a/b.py", "c.py", "/data/d.py", "/codes/e.py"]


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/code/train.py", True), ("<string>", True), (os.__file__, False), ("<frozen importlib._bootstrap>", False),
        (f"{sys.prefix}/lib/python3/site-packages/torch/__init__.py", False), ("/run/executor/inside/seed.py", False),
    ],
)  # fmt: skip
def test_whose_code_it_is(file: str, own: bool) -> None:
    assert is_program(file) == own
