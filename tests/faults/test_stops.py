"""The executor is told to stop, or its clock is wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from tests.faults.conftest import MakeWorld, Row
from tests.faults.test_engine import ENDLESS
from tests.faults.world import make_world
from tests.integration.site import EXECUTOR, wait_until
from tests.thorough import ALL, thorough

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]
PREEMPTION_S = 25
"""Seconds that a spot machine has left when it is told."""
STUBBORN = ENDLESS.replace("trap 'exit 0' TERM", "trap '' TERM")


@pytest.mark.parametrize(
    "script", [ENDLESS, STUBBORN] if ALL else [ENDLESS], ids=lambda text: "stubborn" if text == STUBBORN else "obeys"
)
def test_a_preempted_run_is_recorded_and_another_host_goes_on(script: str, make: MakeWorld, row: Row) -> None:
    world = make(script=script)
    spec_hash = world.run("hash", world.spec).out.strip()
    with world.machine.start("submit", "--json", world.spec) as process:
        wait_until(lambda: list(world.machine.home.glob("attempts/*/**/begun")), "the run")
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        row.injected("SIGTERM")
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - told < PREEMPTION_S
    view = json.loads(out)
    assert (process.returncode, view["status"]) == (130, "interrupted"), (view, err)
    lease, _ = world.store.document(f"v1/runs/{spec_hash}/lease.json")
    assert b'"released"' in lease
    assert world.store.reference(Digest(spec_hash)) is None
    world.check()


def test_told_twice_it_leaves_at_once_and_the_next_one_cleans_up(make: MakeWorld, row: Row) -> None:
    world = make(script=STUBBORN)
    with world.machine.start("submit", "--json", world.spec) as process:
        wait_until(lambda: list(world.machine.home.glob("attempts/*/**/begun")), "the run")
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            row.injected("SIGTERM")
            time.sleep(0.5)
        process.communicate(timeout=30)
    assert process.returncode == 130
    quick = world.spec.with_name("quick.lock.yaml")
    quick.write_text(world.seeded(7).read_text().replace('"run.sh"', '"-c", "echo quick >/outputs/model.pt"'))
    assert world.submit(quick).code == 0
    world.check()


@thorough
@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
@pytest.mark.parametrize("shift", ["+400d", "-400d", "+1h"])
def test_a_wrong_clock_does_not_matter_to_a_folder(shift: str, small_image: str, tmp_path: Path, row: Row) -> None:
    world = make_world(tmp_path / "world", None)
    env = {**world.machine.environment, "DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run(["faketime", "-f", shift, str(EXECUTOR), "submit", "--json", str(world.spec)], env=env,
                          capture_output=True, text=True, check=False, cwd=world.machine.folder)  # fmt: skip
    row.injected(f"a clock that is {shift} off")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "succeeded"), done.stderr
    assert world.submit(world.spec).json["cached"] is True
    world.check()


@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
def test_a_clock_that_a_bucket_refuses_is_named(make: MakeWorld, row: Row) -> None:
    world = make()
    env = {**world.machine.environment, "DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run(["faketime", "-f", "+1h", str(EXECUTOR), "submit", "--json", str(world.spec)], env=env,
                          capture_output=True, text=True, check=False, cwd=world.machine.folder)  # fmt: skip
    row.injected("a clock that is +1h off")
    assert done.returncode in (3, 6), done
    assert "clock" in done.stderr
    assert world.submit(world.spec).code == 0
    world.check()
