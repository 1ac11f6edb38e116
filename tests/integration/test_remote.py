"""Runs on an engine of another machine: what it does not see is carried there and back, and nothing stays behind.

The other machine is a second `dockerd` in a mount namespace of its own, in which this machine's folders are empty; it
is reached as `ssh://elsewhere`, with an `ssh` that needs no server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from executor.engine.container import DockerEngine
from executor.engine.plan import LABEL
from executor.spec.canonical import Digest
from tests.integration.site import SMALL, SPEC, Machine, project, wait_until
from tests.unit.engine.blobs import FolderBlobs

pytestmark = [pytest.mark.engine, pytest.mark.slow]

START = """
mount --make-rprivate /
mount -t tmpfs none "$1"
if [ -d /run/containerd ]; then mount -t tmpfs none /run/containerd; fi
exec dockerd --host "unix://$2/socket" --data-root "$2/data" --exec-root "$2/run" --pidfile "$2/pid" \
    --bridge none --iptables=false --ip-masq=false --ip-forward=false
"""
SCRIPT = """
read -r word </data/words/deep/word
echo $word >/outputs/word
cat /run/executor/params.json >/outputs/params
(echo no >/data/words/new) 2>/dev/null || echo read-only >/outputs/data
(echo no >/run/executor/new) 2>/dev/null || echo read-only >/outputs/control
echo yes >/code/scribble && echo writable >/outputs/code
echo said
if [ $EXECUTOR_SEED = 2 ]; then sleep 100; fi
"""
ODD = """
import os
os.chdir("/outputs")
open("good", "w").write("good")
open("run", "w").write("#!")
os.chmod("run", 0o755)
os.makedirs("deep/er")
open("deep/er/in", "w").write("in")
os.symlink("/etc/shadow", "link")
os.mkfifo("pipe")
open("one", "w").write("one")
os.link("one", "other")
open(b"\\xff", "w").write("bytes")
"""


@dataclass(frozen=True)
class Elsewhere:
    """An engine of another machine."""

    socket: Path
    variables: Mapping[str, str]
    """What makes commands use it."""

    def docker(self, *words: str) -> list[str]:
        done = subprocess.run(["docker", f"--host=unix://{self.socket}", *words], capture_output=True, text=True,
                              check=True)  # fmt: skip
        return done.stdout.split()

    def left(self) -> list[str]:
        """Containers and volumes of runs that it still has."""
        mine = f"--filter=label={LABEL}.attempt"
        return self.docker("ps", "-aq", mine) + self.docker("volume", "ls", "-q", mine)


def elsewhere(socket: Path, folder: Path) -> Elsewhere:
    """The engine at a socket as one that is reached by ssh."""
    command = folder / "ssh"
    command.write_text(f'#!/bin/sh\nexec docker --host "unix://{socket}" system dial-stdio\n')
    command.chmod(0o755)
    return Elsewhere(socket, {"DOCKER_HOST": "ssh://elsewhere", "PATH": f"{folder}:{os.environ['PATH']}"})


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of this machine, which the other one does not have."""
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def other(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """Another machine's engine, without any image."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "docker", "unshare"))):
        pytest.skip("a second engine needs root, dockerd, docker and unshare")
    folder = tmp_path_factory.mktemp("there")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a second engine needs a mount namespace, which is forbidden here")
    socket, log = folder / "socket", folder / "log"
    with log.open("w") as file, subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", START, "sh", here, folder], stdout=file, stderr=file
    ) as daemon:  # fmt: skip
        try:
            wait_until(lambda: socket.exists() or daemon.poll() is not None, "the second engine")
            if daemon.poll() is not None:
                pytest.skip(f"a second engine does not start here: {log.read_text()[-300:]}")
            yield elsewhere(socket, folder)
        finally:
            daemon.terminate()


@pytest.fixture(scope="module")
def machine(here: Path, other: Elsewhere, small_blobs: tuple[FolderBlobs, Digest]) -> Machine:
    """The machine at hand; its store holds the small image."""
    machine = Machine(here, f"file:{here}/store", other.variables)
    blobs, _ = small_blobs
    for path in blobs.root.iterdir():
        machine.store.put_blob(path, Digest(path.name), path.stat().st_size)
    return machine


@pytest.fixture(scope="module")
def spec(machine: Machine, small_blobs: tuple[FolderBlobs, Digest]) -> Path:
    """A locked spec with code and data; the image's digest is all that the other machine is given of it."""
    words = machine.folder / "words" / "deep"
    words.mkdir(parents=True)
    (words / "word").write_text("sesame\n")
    text = SPEC.replace(SMALL, f"{SMALL}@{small_blobs[1]}") + f"data: {{words: {{source: {words.parent}}}}}\n"
    draft = project(machine.folder / "project", text, run_sh=SCRIPT)
    made = machine.run("lock", draft, "--output", draft.with_name("spec.lock.yaml"))
    assert made.code == 0, made
    return draft.with_name("spec.lock.yaml")


def test_a_run_elsewhere_has_all_it_needs_and_leaves_nothing_there(
    machine: Machine, spec: Path, other: Elsewhere
) -> None:
    ran = machine.run("submit", "--json", spec)
    assert (ran.code, ran.json["status"]) == (0, "succeeded"), ran
    record = machine.record(ran.json)
    found = {file.path: machine.store.read_blob(file.digest, 1000).decode() for file in record.outputs}
    assert found == {"word": "sesame\n", "params": "{}", "data": "read-only\n", "control": "read-only\n",
                     "code": "writable\n"}  # fmt: skip
    assert machine.log(record) == "said\n"
    assert other.left() == []
    assert machine.attempts_left() == []


def test_the_image_came_from_the_store_and_is_known_again(machine: Machine, spec: Path, other: Elsewhere) -> None:
    before = other.docker("images", "--no-trunc", "--quiet")
    ran = machine.run("submit", "--json", "--force", spec)
    assert (ran.code, ran.json["verdict"]) == (0, "identical"), ran
    image = machine.record(ran.json).fingerprint.image
    assert image
    assert (image.source, image.id) == ("engine", other.docker("images", "--no-trunc", "--quiet")[0])
    assert other.docker("images", "--no-trunc", "--quiet") == before


def test_the_other_machine_sees_nothing_of_this_one(machine: Machine, spec: Path, other: Elsewhere) -> None:
    ran = machine.run("submit", "--force", spec, env={"DOCKER_HOST": f"unix://{other.socket}"})
    assert (ran.code, "does not exist" in ran.err) == (6, True), ran
    assert other.left() == []


def test_what_a_killed_run_left_elsewhere_is_removed(machine: Machine, spec: Path, other: Elsewhere) -> None:
    slow = spec.with_name("slow.lock.yaml")
    slow.write_text(spec.read_text().replace("seed: 1\n", "seed: 2\n"))
    with machine.start("submit", slow) as process:
        wait_until(lambda: other.docker("ps", "-q"), "a container")
        process.kill()
    assert other.left() != []
    assert machine.run("submit", "--quiet", "--force", spec).code == 0
    assert other.left() == []
    assert machine.attempts_left() == []


def test_odd_outputs_are_told_apart_and_the_container_is_looked_at_as_if_it_ran_here(
    torch_image: str, engine: DockerEngine, tmp_path: Path
) -> None:
    if not engine.observe().address.startswith("unix://"):
        pytest.skip("the engine at hand is on another machine already")
    text = SPEC.replace(SMALL, torch_image).replace("[sh, run.sh]", "[python3, odd.py]").replace("256", "512")
    records = []
    for name, variables in (("here", {}), ("there", elsewhere(Path(engine.address[7:]), tmp_path).variables)):
        folder = tmp_path / name
        folder.mkdir()
        machine = Machine(folder, f"file:{folder}/store", variables)
        draft = project(folder / "project", text, odd_py=ODD)
        assert machine.run("lock", draft, "--output", draft.with_name("lock.yaml")).code == 0
        ran = machine.run("submit", "--json", draft.with_name("lock.yaml"))
        assert (ran.code, ran.json["status"]) == (1, "failed"), ran
        records.append(machine.record(ran.json))
    here, there = records
    assert [(f.path, f.digest, f.executable) for f in here.outputs] == [
        (f.path, f.digest, f.executable) for f in there.outputs
    ]
    assert here.refused_outputs == there.refused_outputs
    assert here.refused_outputs.keys() == {"link", "pipe", "one", "other", "\\xff"}
    assert here.fingerprint.container == there.fingerprint.container
