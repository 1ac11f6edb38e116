"""The engine fails while a run goes on: it is restarted, killed, or someone removes the container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from tests.faults.conftest import MakeWorld, Row
from tests.faults.world import kill_containers
from tests.integration.site import SMALL, containers, docker, wait_until
from tests.unit.engine.blobs import FolderBlobs

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]

LONG = """
trap 'exit 0' TERM
echo begun
echo begun >/outputs/begun
number=0
while [ $number -lt TENTHS ]; do
    number=$((number + 1))
    sleep 0.1
done
echo done >/outputs/done
"""
"""A program that answers SIGTERM with 0 must not pass for one that has ended well."""
BRIEF, ENDLESS = LONG.replace("TENTHS", "80"), LONG.replace("TENTHS", "1200")


@dataclass
class Daemon:
    """An engine of our own, which can be killed."""

    folder: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/socket"

    def start(self) -> None:
        """Start it and wait until it answers."""
        flags = (f"--host={self.address}", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/run",
                 f"--pidfile={self.folder}/pid", "--bridge=none", "--iptables=false", "--ip-masq=false",
                 "--ip-forward=false", *self.options)  # fmt: skip
        for left in ("pid", "run/containerd/containerd.pid"):  # of a daemon that was killed
            (self.folder / left).unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["dockerd", *flags], stdout=log, stderr=log)
        wait_until(lambda: self.docker("version").returncode == 0, "an engine of our own")

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Its own command."""
        return subprocess.run(["docker", f"--host={self.address}", *words], capture_output=True, text=True, check=False)

    def clear(self) -> None:
        """Leave nothing of it, whatever state it is in: containers, shims, mounts, files."""
        for name in self.docker("ps", "--all", "--quiet").stdout.split():
            self.docker("rm", "--force", name)
        if self.process and self.process.poll() is None:
            self.end(signal.SIGTERM)
        subprocess.run(["pkill", "-KILL", "-f", f"{self.folder}/run/"], check=False)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, number: int) -> None:
        """Send it a signal and wait for its end."""
        assert self.process
        self.process.send_signal(number)
        self.process.wait()


@pytest.fixture(params=[(), ("--live-restore",)], ids=["ends its containers", "lets them live"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("an engine of our own needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="engine-"))  # sockets have short paths
    made = Daemon(folder, request.param)
    try:
        made.start()
        yield made
    finally:
        made.clear()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_the_engine_is_restarted_while_a_run_goes_on(
    number: int, daemon: Daemon, make: MakeWorld, small_blobs: tuple[FolderBlobs, Digest], row: Row
) -> None:
    world = make(script=BRIEF if daemon.options else ENDLESS)
    blobs, digest = small_blobs
    for path in blobs.root.iterdir():
        world.store.put_blob(path, Digest(path.name), path.stat().st_size)
    text = world.spec.read_text()
    image = next(line for line in text.splitlines() if line.startswith("image: "))
    world.spec.write_text(text.replace(image, f"image: {SMALL}@{digest}"))
    world.machine = replace(world.machine, variables={**world.machine.variables, "DOCKER_HOST": daemon.address})
    with world.machine.start("submit", "--json", world.spec) as process:
        wait_until(lambda: list(world.machine.home.glob("attempts/*/**/begun")), "the run")
        wait_until(lambda: daemon.docker("ps", "--quiet").stdout, "the engine to know of it")
        daemon.end(number)
        row.injected(f"the engine gets {signal.Signals(number).name}")
        daemon.start()
        out, err = process.communicate(timeout=120)
    view = json.loads(out)
    if daemon.options:
        assert (process.returncode, view.get("status")) == (0, "succeeded"), (view, err)
        assert {"begun", "done"} <= {file["path"] for file in view["outputs"]}, (view, err)
    else:
        assert (process.returncode, view.get("status")) == (130, "interrupted"), (view, err)
        assert "engine" in view["reason"]
        assert world.store.reference(Digest(view["spec_hash"])) is None
    world.check()
    assert daemon.docker("ps", "--all", "--quiet").stdout == ""


def test_someone_stops_the_container(make: MakeWorld, row: Row) -> None:
    world = make(script=ENDLESS)
    spec_hash = world.run("hash", world.spec).out.strip()
    with world.machine.start("submit", "--json", world.spec) as process:
        wait_until(lambda: list(world.machine.home.glob("attempts/*/**/begun")), "the run")
        docker("stop", *containers(spec_hash))
        row.injected("the container is stopped")
        out, err = process.communicate(timeout=120)
    view = json.loads(out)
    assert (process.returncode, view.get("status")) == (130, "interrupted"), (view, err)
    assert "someone else" in view["reason"]
    world.check()


def test_someone_removes_the_container(make: MakeWorld, row: Row) -> None:
    world = make(script=ENDLESS)
    spec_hash = world.run("hash", world.spec).out.strip()
    with world.machine.start("submit", "--json", world.spec) as process:
        wait_until(lambda: list(world.machine.home.glob("attempts/*/**/begun")), "the run")
        kill_containers(spec_hash)
        row.injected("the container is removed")
        out, err = process.communicate(timeout=120)
    view = json.loads(out)
    assert (process.returncode, view.get("status")) == (130, "interrupted"), (view, err)
    assert "someone else" in view["reason"]
    assert {file["path"] for file in view["outputs"]} == {"begun"}
    world.check()
