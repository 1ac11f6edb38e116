import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.screen import LARGEST, MOST_SUSPECTS, Suspect, screen

SNIPPETS = [
    "import time\nt = time.time()\n", "if x:\n  id(x)\n", "sorted(os.listdir(p))", "from x import *\n", "'/proc/'", "{",
    "lambda: set(m.parameters())", "getattr(time, 'time')", "a = b = os.environ['OMP_X'] = 1", "\\\n", "#!/bin/sh\n",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SNIPPETS) | st.text("ab.()[]{}:= \n\\'#$&|;", max_size=20)).map(
    lambda parts: "".join(parts).encode()
)

SHELL = [
    ("date", "clock"),
    ("NOW=$(date +%s)", "clock"),
    ("if true; then date; fi", "clock"),
    ("echo $SECONDS", "clock"),
    ("seed=$RANDOM", "entropy"),
    ("head -c4 </dev/urandom", "entropy"),
    ("tmp=$(mktemp -d)", "entropy"),
    ("uuidgen", "entropy"),
    ("cat x | shuf | head", "entropy"),
    ("sort -R names", "entropy"),
    ("hostname", "host"),
    ("nproc", "host"),
    ("cat /proc/cpuinfo", "host"),
    ("echo $$", "host"),
    ("ls data/*.gz | xargs -n1 -P 4 echo", "concurrency"),
    ("python3 eval.py &", "concurrency"),
    ("find . -name x", "directory-order"),
    ("find . -name x | sort -R --random-source=f", "directory-order"),
    ("ls -t data", "directory-order"),
    ("curl https://x", "network"),
    ("pip install x", "network"),
    ("tar czf x.tgz x", "save"),
    ("make all", "native"),
    ("perl x.pl", "subprocess"),
    ('python3 -c "import os"', "dynamic"),
    ("python3 - <<EOF", "dynamic"),
    ("OMP_NUM_THREADS=2 python3 train.py", "contract"),
    ("timeout 60 python3 train.py", "signal"),
]

QUIET_SHELL = [
    "#!/bin/bash", "set -euo pipefail", "# date", "echo 'date; $RANDOM'", "python3 train.py --date 1 2>&1 | tee log",
    "python3 a.py && python3 b.py", "update", "ls data", "find . -name x | sort", "find . -print0 | sort -z | tee x",
    "find . -name x \\\n  | sort", "shuf --random-source=seed names", "sort names", "xargs echo", "tar xf x.tar",
    "echo x &> log", "cmd >&2", "echo done # then date", "cd data/proc/x", "cp a/dev/random b", "torchrun train.py",
]  # fmt: skip


def found(text: str, path: str = "train.py") -> list[tuple[str, int]]:
    return [(suspect.source, suspect.line) for suspect in screen({path: text.encode()})]


@pytest.mark.parametrize(("line", "source"), SHELL)
def test_a_shell_script_is_looked_at(line: str, source: str) -> None:
    assert found(f"set -e\n{line}\n", "run.sh") == [(source, 2)]


@pytest.mark.parametrize("line", QUIET_SHELL)
def test_an_orderly_shell_script_is_quiet(line: str) -> None:
    assert found(line, "run.sh") == []


def test_a_suspect_says_where_and_what() -> None:
    (suspect,) = screen(
        {"src/train.py": b"import time\n\n\tx = 1\n".replace(b"\tx = 1", b"if 1:\n    s = time.time()")}
    )
    assert suspect == Suspect(source="clock", file="src/train.py", line=4, text="s = time.time()")


def test_a_long_line_is_cut() -> None:
    assert len(screen({"a.py": b"id(x)" + b" + 1" * 200})[0].text) == 120


@pytest.mark.parametrize(
    ("path", "first", "looked_at"),
    [
        ("tool", "#!/usr/bin/env python3", True),
        ("tool", "#!/usr/bin/python3.12 -u", True),
        ("tool", "", False),
        ("notes.txt", "id(x)", False),
        ("train.ipynb", "#!/usr/bin/python", False),
        ("tool", "#!/usr/bin/env ruby", False),
    ],
)
def test_what_has_no_suffix_is_known_by_its_first_line(path: str, first: str, looked_at: bool) -> None:
    assert found(f"{first}\nid(x)", path) == ([("address", 2)] if looked_at else [])


@pytest.mark.parametrize("shell", ["#!/bin/sh", "#! /usr/bin/env bash", "#!/bin/dash -e"])
def test_a_shell_script_without_suffix(shell: str) -> None:
    assert found(f"{shell}\ndate", "run") == [("clock", 2)]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"x = 1\nprint 'python 2'\n", 2),
        (b"x = \xff\n", 1),
        (b"\0", 1),
        (b"# coding: no-such\n", 1),
        (b"x = " + b"-" * 100_000 + b"1", 1),
        (b"a" + b".b" * 100_000, 1),
        (b"f" + b"()" * 100_000, 1),
        (b"x" * (LARGEST + 1), 1),
    ],
)
def test_what_cannot_be_read_is_a_suspect(data: bytes, line: int) -> None:
    assert {(suspect.source, suspect.line) for suspect in screen({"a.py": data})} in (
        {("unreadable", line)},
        {("unreadable", 1)},
    )


def test_a_large_shell_script_is_unreadable() -> None:
    assert found("\n" * (LARGEST + 1), "x.sh") == [("unreadable", 1)]


def test_an_endless_command_is_unreadable() -> None:
    assert found("find;" * 5000 + "\ndate", "x.sh") == [("unreadable", 1), ("clock", 2)]
    assert ("unreadable", 1) in found("x \\\n" * 5000, "x.sh")


def test_suspects_are_in_order_once_each_and_bounded() -> None:
    assert found("import os, time\nos.getpid(), time.time(), time.time()\nid(x)") == [
        ("clock", 2), ("host", 2), ("address", 3),
    ]  # fmt: skip
    many = screen({"b.py": b"id(x)\n" * 150, "a.py": b"id(x)\n" * 150})
    assert len(many) == MOST_SUSPECTS
    assert [(one.file, one.line) for one in many] == sorted((one.file, one.line) for one in many)


def test_line_feeds_are_pythons_own() -> None:
    assert [(one.line, one.text) for one in screen({"a.py": "\ufeffs = '\u2028'\r\nid(x)\r\n".encode()})] == [
        (2, "id(x)")
    ]


def test_odd_escapes_and_paths_are_no_errors() -> None:
    assert found("x = '\\d'\nid(x) is 1") == [("address", 2)]
    assert screen({"\udcff.py": b"id(x)"})[0].file == "?.py"


def test_the_depth_that_a_caller_stands_at_does_not_matter() -> None:
    def deeper(levels: int) -> tuple[Suspect, ...]:
        return deeper(levels - 1) if levels else screen({"a.py": b"x = 1" + b" + 1" * 300})

    assert {one.source for one in deeper(sys.getrecursionlimit() // 2)} <= {"unreadable"}


@given(st.dictionaries(st.sampled_from(["a.py", "b.sh", "c", "d.ipynb"]), st.binary(max_size=60) | TEXTS))
def test_it_never_raises(files: dict[str, bytes]) -> None:
    suspects = screen(files)
    assert len(suspects) == len({(one.file, one.line, one.source) for one in suspects}) <= MOST_SUSPECTS
    assert all(one.line >= 1 and one.file in files for one in suspects)
    assert screen(files) == suspects
