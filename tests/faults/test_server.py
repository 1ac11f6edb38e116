"""The S3 server is killed while results are published, and comes back."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from executor.store.server import Server
from tests.faults.conftest import Row
from tests.faults.world import make_world
from tests.integration.conftest import S3Server
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]
SEED, ROUNDS = 20261126, 8 if ALL else 1


def test_the_server_is_killed_while_results_come_in(small_image: str, tmp_path: Path, row: Row) -> None:
    server = Server(tmp_path / "server")
    info = server.start()
    world = make_world(tmp_path / "world", S3Server(info.endpoint, info.access_key, info.secret_key))
    draw = random.Random(SEED)
    try:
        for number in range(ROUNDS):
            spec = world.seeded(10 + number)

            def kill(wait: float) -> None:
                time.sleep(wait)
                found = server.running()
                assert found
                os.kill(found.pid, signal.SIGKILL)
                row.injected("kill -9 of the server")
                time.sleep(1)
                server.start()

            killer = threading.Thread(target=kill, args=(draw.uniform(0.2, 2.5),))
            killer.start()
            done = world.submit(spec)
            killer.join()
            assert done.code in (0, 6), done
            if done.code:
                pending = world.run("publish", "--pending")
                assert pending.code == 0, pending
                assert world.submit(spec).code == 0
        world.check()
    finally:
        server.stop()
