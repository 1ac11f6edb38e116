from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from executor import inside

CPUS = len(os.sched_getaffinity(0))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "inside").symlink_to(Path(inside.__file__).parent)
    (tmp_path / "report").mkdir()
    return tmp_path


def launch(home: Path, *command: str, cpus: int = CPUS, **plan: Any) -> subprocess.CompletedProcess[str]:
    expect = {"threads": 1, "isa": "default", "torch": None, "gpus": [], "cpus": cpus}
    document = {"expect": expect, "allow": [], "workdir": str(home)} | plan
    (home / "plan.json").write_text(json.dumps(document))
    return subprocess.run(
        [sys.executable, home / "inside", "--", *command], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_takes_the_launcher_s_place(home: Path) -> None:
    done = launch(home, "sh", "-c", "pwd; yes | head -1; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{home}\ny\n", "")
    assert json.loads((home / "report/launch.json").read_text())["findings"] == []


@pytest.mark.parametrize(("command", "code"), [("/no/such/program", 127), ("/", 126)])
def test_a_command_that_cannot_run_ends_as_in_a_shell(home: Path, command: str, code: int) -> None:
    done = launch(home, command)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"executor: {command}: ")


def test_a_refusal_starts_nothing_and_is_written_down(home: Path) -> None:
    done = launch(home, "echo", "started", cpus=CPUS + 1)
    assert (done.returncode, done.stdout) == (97, "")
    assert f"cpu.threads: expected {CPUS + 1} CPUs, found {CPUS} CPUs" in done.stderr
    assert json.loads((home / "report/refusal.json").read_text())["findings"][0]["field"] == "cpu.threads"


def test_an_allowed_difference_runs(home: Path) -> None:
    assert launch(home, "echo", "started", cpus=CPUS + 1, allow=["cpu.threads"]).stdout == "started\n"
