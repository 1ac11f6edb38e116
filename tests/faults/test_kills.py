"""`kill -9` of a real submit at random system calls, and at random moments: nothing is lost, the next one succeeds.

EXECUTOR_TEST_KILLS is how many kills of each kind there are when everything is tested, 100 unless told.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Row
from tests.faults.world import CANARY, World
from tests.integration.site import EXECUTOR
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]
KILLS = int(os.environ.get("EXECUTOR_TEST_KILLS", "100")) if ALL else 3
SEED = 20261126
CALLS = "%file,%desc,%network,%process,%memory"
"""Classes of system calls at which strace kills."""


def submit(world: World, spec: Path, *before: str) -> subprocess.Popen[str]:
    """Start a submit of its own session, so that a kill of the tracer leaves nobody."""
    env = {**world.machine.environment, "EXECUTOR_SECRET_TOKEN": CANARY}
    return subprocess.Popen([*before, str(EXECUTOR), "submit", "--json", "--quiet", str(spec)], text=True, env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=world.machine.folder)  # fmt: skip


def system_calls(world: World, spec: Path) -> int:
    """How many system calls of those classes the main thread of a whole submit makes."""
    log = world.machine.folder / "calls"
    with submit(world, spec, "strace", "-qq", f"--trace={CALLS}", f"--output={log}") as process:
        process.communicate()
    assert process.returncode == 0
    return len(log.read_text(errors="replace").splitlines())


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_killed_at_random_system_calls(world: World, row: Row) -> None:
    most, draw = system_calls(world, world.seeded(2)), random.Random(SEED)
    assert most > 1000
    for number in range(KILLS):
        spec, at = world.seeded(1000 + number), draw.randrange(200, most)
        kill = f"--inject={CALLS}:signal=SIGKILL:when={at}"
        with submit(world, spec, "strace", "-f", "-qq", "--output=/dev/null", f"--trace={CALLS}", kill) as process:
            process.communicate()
        row.injected("kill -9 at a system call")
        succeeds(world, spec)
    delivered(world)


def test_killed_at_random_moments(world: World, row: Row) -> None:
    started, draw = time.monotonic(), random.Random(SEED)
    assert world.submit(world.seeded(3)).code == 0
    whole = time.monotonic() - started
    for number in range(KILLS):
        spec = world.seeded(5000 + number)
        with submit(world, spec) as process:
            try:
                process.wait(draw.uniform(0.05, whole))
            except subprocess.TimeoutExpired:
                process.kill()
                row.injected("kill -9 at a moment")
            process.communicate()
        succeeds(world, spec)
    delivered(world)


def succeeds(world: World, spec: Path) -> None:
    """The next submit of a spec succeeds, whatever the last one left."""
    again = world.submit(spec)
    assert (again.code, again.json["status"]) == (0, "succeeded"), again


def delivered(world: World) -> None:
    """What was killed between the end of its run and the store waits, with its disk, for somebody to ask for it."""
    assert world.run("publish", "--pending").code == 0
    world.check()
