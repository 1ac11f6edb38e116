from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor import inside

BOOT = Path(inside.__file__).parent / "boot"


def python(code: str, *path: Path, **variables: str) -> str:
    """What a fresh Python prints; nothing may come on stderr."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, (BOOT, *path))), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


DRAW = "import random; print(random.random(), random.Random().random(), random.Random(1).random())"


def test_unseeded_numbers_repeat_and_follow_the_seed() -> None:
    first = python(DRAW, EXECUTOR_SEED="1")
    assert first == python(DRAW, EXECUTOR_SEED="1")
    other = python(DRAW, EXECUTOR_SEED=str(2**64 - 1))
    assert [a == b for a, b in zip(first.split(), other.split(), strict=True)] == [False, False, True]


def test_the_first_process_draws_what_its_author_s_seed_would_give() -> None:
    assert (
        python(DRAW, EXECUTOR_SEED="7").split()[0] == python("import random; print(random.Random(7).random())").strip()
    )


def test_forked_and_started_children_differ_and_repeat() -> None:
    code = f"""
import os, random, subprocess, sys
for _ in range(2):
    pid = os.fork()
    if not pid:
        print(random.random(), flush=True); os._exit(0)
    os.waitpid(pid, 0)
for options in ({{}}, {{"close_fds": False}}, {{"env": dict(os.environ)}}):
    subprocess.run([sys.executable, "-c", {DRAW!r}], **options)
os.system(sys.executable + " -c 'import random; print(random.random())'")
print(random.random())
"""
    first = python(code, EXECUTOR_SEED="1")
    assert first == python(code, EXECUTOR_SEED="1")
    assert len({line.split()[0] for line in first.splitlines()}) == 7


def test_a_process_that_belongs_to_no_run_is_left_alone() -> None:
    assert python(DRAW) != python(DRAW)
    assert python("import sys; print('_executor' in sys.modules)") == "False\n"


@pytest.mark.parametrize("variables", [{}, {"EXECUTOR_SEED": "1"}])
def test_the_image_s_own_sitecustomize_still_runs(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.chained = __name__, __file__\n")
    code = "import sitecustomize; print(chained[0], sitecustomize.__file__ == chained[1])"
    assert python(code, tmp_path, **variables) == "sitecustomize True\n"


def test_modules_of_the_program_are_never_shadowed(tmp_path: Path) -> None:
    for name in ("seed", "hook", "report", "probe", "strict", "lineage", "inside"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    code = "import seed, hook, report, probe, strict, lineage, inside; print(seed.mine and inside.mine)"
    assert python(code, tmp_path, EXECUTOR_SEED="1") == "True\n"


def test_a_plain_tool_imports_nothing_that_costs() -> None:
    code = "import sys; print(sorted({'typing', 'json', 're', 'random', 'hashlib', 'subprocess'} & set(sys.modules)))"
    assert python(code, EXECUTOR_SEED="1") == python(code)
