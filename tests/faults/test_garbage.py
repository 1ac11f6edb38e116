"""Blobs are collected, without any grace, while results are published: no record ever lacks one."""

from __future__ import annotations

import threading

import pytest

from tests.faults.conftest import MakeWorld, Row
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]
RUNS = 20 if ALL else 3


def test_a_collector_and_publishers_at_the_same_time(make: MakeWorld, row: Row) -> None:
    world = make()
    done, collected = threading.Event(), []

    def collect() -> None:
        while not done.is_set():
            collected.append(world.machine.run("store", "gc", "--grace", "0s", "--json"))

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(RUNS):  # half of them share every blob with another attempt
            ran = world.submit(world.seeded(number // 2), "--force")
            assert (ran.code, ran.json["status"]) == (0, "succeeded"), ran
            row.injected("a collection during a publication")
    finally:
        done.set()
        collector.join()
    assert collected
    assert all(one.code == 0 for one in collected), collected
    world.check()
    assert world.run("store", "check", "--json").code == 0
