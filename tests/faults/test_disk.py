"""Disks are full or broken: the store's, this machine's, the run's. An error says so, nothing half-written counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import MakeWorld, Row
from tests.faults.world import CANARY, World, make_world
from tests.integration.site import EXECUTOR, wait_until
from tests.thorough import thorough

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
BIG = """
block=x
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do block=$block$block; done
number=0
while [ $number -lt 400 ]; do
    number=$((number + 1))
    echo "$block" >>/outputs/big || exit 9
done
echo done
"""
"""26 MiB of outputs; fails with 9 when it cannot write them."""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A folder on a file system of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def grow(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def used(folder: Path) -> int:
    """Bytes that a file system holds."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@root
def test_the_disk_of_the_store_is_full(small_image: str, tmp_path: Path, row: Row) -> None:
    world = make_world(tmp_path / "world", None, script=BIG)
    store = Path(world.machine.url.removeprefix("file:"))
    with small_disk(store, "8m"):
        row.injected("the disk of the store is full")
        done = world.submit(world.spec)
        assert (done.code, done.json["error"]) == (6, "Unpublished"), done
        assert "space" in done.err
        grow(store, "512m")
        assert world.run("publish", "--pending").code == 0
        assert world.submit(world.spec).json["cached"] is True
        world.check()


@root
def test_the_disk_of_this_machine_is_full_when_the_result_is_kept(make: MakeWorld, row: Row) -> None:
    world = make(script=BIG + "echo written >/outputs/written\nsleep 2\n")
    home = world.machine.home
    with small_disk(home, "3g"):
        with world.machine.start("submit", "--json", world.spec) as process:
            wait_until(lambda: list(home.glob("attempts/*/**/written")), "what the run leaves")
            subprocess.run(["mount", "-o", f"remount,size={used(home) + (4 << 20)}", home], check=True)
            row.injected("the disk of this machine is full")
            out, err = process.communicate(timeout=60)
        assert process.returncode not in (0, 1), (out, err)
        assert "Traceback" not in err
        assert "space" in err or "room" in err, err
        grow(home, "3g")
        done = world.submit(world.spec)
        assert (done.code, done.json["status"]) == (0, "succeeded"), done
        world.check()


@root
def test_the_disk_of_the_run_is_full(make: MakeWorld, row: Row) -> None:
    world = make(script=BIG)
    text = world.spec.read_text()
    small = re.sub(r"(?m)^  disk: \d+$", "  disk: 16777216", text)
    assert small != text
    world.spec.write_text(small)
    row.injected("the disk of the run is full")
    done = world.submit(world.spec)
    assert (done.code, done.json["status"]) == (1, "failed"), done
    assert "disk" in done.json["reason"], done
    world.check()


@thorough
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", ["fsync:error=EIO", "fsync:error=ENOSPC", "write:error=ENOSPC:when=400+",
                                  "link,linkat:error=EIO", "rename,renameat,renameat2:error=ENOSPC"])  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_system_call_fails(call: str, kind: str, make: MakeWorld, small_image: str, tmp_path: Path, row: Row) -> None:
    world = make() if kind == "s3" else make_world(tmp_path / "world", None)
    names = call.partition(":")[0]
    done = traced(world, f"--trace={names}", f"--inject={call}")
    row.injected(f"{call} ({kind})")
    if done.returncode == 0:  # what failed was not needed
        world.check()
        return
    again = world.submit(world.spec)
    assert (again.code, again.json["status"]) == (0, "succeeded"), (done.stderr, again)
    if any(world.machine.home.glob("attempts/*/unpublished")):
        assert world.run("publish", "--pending").code == 0
    world.check()


def traced(world: World, *flags: str) -> subprocess.CompletedProcess[str]:
    env = {**world.machine.environment, "EXECUTOR_SECRET_TOKEN": CANARY}
    command = ["strace", "-f", "-qq", "--output=/dev/null", *flags, str(EXECUTOR), "submit", "--json", str(world.spec)]
    return subprocess.run(command, env=env, cwd=world.machine.folder, capture_output=True, text=True, check=False)
