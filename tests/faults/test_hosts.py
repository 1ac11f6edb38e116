"""Many hosts submit the same specs at once through a store that fails: one result each, all readable."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.faults.conftest import Row
from tests.faults.world import make_world
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(3000)]
HOSTS, SPECS = (16, 50) if ALL else (3, 3)
SHARE = 0.04
"""Share of all requests that meet each kind of fault."""
KINDS = ("lose", "503", "flip", "cut", "reset")
SEED = 20261126

HOST = """
import sys
from executor.cli.main import app
from executor.errors import Unreachable
for spec in sys.argv[1:]:
    for _ in range(8):  # a store that fails long enough is told by exit code 6; a person would try again
        try:
            code = app.main(["submit", "--json", "--quiet", spec], standalone_mode=False)
        except Unreachable as error:
            code = error
        if code == 0:
            break
    else:
        sys.exit(f"{spec}: {code}")
app.main(["publish", "--pending"], standalone_mode=False)
"""
"""One host: submits its specs one after the other, in one process."""


def test_hosts_share_specs_over_a_store_that_fails(
    s3_server: S3Server, small_image: str, tmp_path: Path, row: Row
) -> None:
    draw, lock = random.Random(SEED), threading.Lock()

    def plan(method: str, path: str) -> str:
        with lock:
            at = draw.random()
        kind = KINDS[int(at / SHARE)] if at < SHARE * len(KINDS) else ""
        if kind:
            row.injected(f"{kind} an answer" if kind in ("lose", "cut") else kind)
        return kind

    with FaultProxy(s3_server.endpoint, plan) as proxy:
        world = make_world(tmp_path / "world", s3_server, proxy)
        specs = [world.seeded(100 + number) for number in range(SPECS)]
        hosts = [start(world.machine.environment, tmp_path / f"host-{n}", shuffled(specs, n)) for n in range(HOSTS)]
        for host in hosts:
            out, err = host.communicate()
            assert host.returncode == 0, err[-2000:]
            world.said += [out, err]
    found = {digest: world.store.attempts(digest) for digest in world.store.spec_hashes()}
    assert len(found) == SPECS
    assert all(world.store.reference(digest) in attempts for digest, attempts in found.items())
    world.check()


def start(environment: dict[str, str], home: Path, specs: list[Path]) -> subprocess.Popen[str]:
    """One host with a home of its own."""
    env = environment | {"EXECUTOR_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-c", HOST, *map(str, specs)], env=env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def shuffled(specs: list[Path], seed: int) -> list[Path]:
    """The same specs in another order."""
    mine = list(specs)
    random.Random(seed).shuffle(mine)
    return mine
