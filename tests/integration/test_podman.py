"""The same command on Podman's Docker-compatible socket, unchanged: DOCKER_HOST is all that differs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.engine.oci import INDEX, MANIFEST, Manifest
from executor.spec.canonical import Digest
from tests.integration.site import PATIENCE, Machine
from tests.unit.engine.blobs import FolderBlobs

pytestmark = pytest.mark.engine

SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]  # this process may not raise them
[engine]
runtime = "runc"  # crun does not take cgroups of both versions
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
SPEC = """
version: 1
name: on-podman
image: localhost/executor-test-small@{digest}
command: [sh, -c, "echo {{params.word}} > /outputs/word.txt"]
params: {{word: hello}}
seed: 1
"""


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Podman service with storage of its own."""
    program = shutil.which("podman")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs podman (and catatonit), as root: apt-get install podman catatonit")
    folder = tmp_path_factory.mktemp("podman")
    (folder / "containers.conf").write_text(SETTINGS)
    socket = folder / "socket"
    brief = tempfile.mkdtemp(prefix="podman-")  # it takes no path of more than 50 characters
    podman = [program, f"--root={folder / 'root'}", f"--runroot={brief}", "system"]
    command = [*podman, "service", "--time=0", f"unix://{socket}"]
    environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as service:
        deadline = time.monotonic() + PATIENCE
        while not socket.exists():
            assert service.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"unix://{socket}"
        service.terminate()
    subprocess.run([*podman, "reset", "--force"], capture_output=True, check=True, env=environment)
    shutil.rmtree(brief, ignore_errors=True)


def stored(blobs: FolderBlobs, digest: Digest, machine: Machine) -> None:
    manifest = (blobs.root / digest.hex).read_bytes()
    names = [(digest, len(manifest)), *((blob.digest, blob.size) for blob in Manifest.parse(manifest))]
    machine.store.put_blobs([(blobs.root / name.hex, name, size) for name, size in names])


def test_a_stored_image_runs_and_reruns_identically(
    podman: str, machine: Machine, small_blobs: tuple[FolderBlobs, Digest], tmp_path: Path
) -> None:
    blobs, digest = small_blobs
    stored(blobs, digest, machine)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(digest=digest))
    env = {"DOCKER_HOST": podman}

    first = machine.run("submit", "--json", spec, env=env)

    assert (first.code, first.err.count("Traceback")) == (0, 0), first.err
    assert [file["path"] for file in first.json["outputs"]] == ["word.txt"]
    again = machine.run("rerun", "--json", first.json["spec_hash"], env=env)
    assert (again.code, again.json["verdict"]) == (0, "identical"), again.err


def test_an_image_of_several_platforms_is_restored_and_archived_again(
    podman: str, machine: Machine, tmp_path: Path
) -> None:
    """Into podman and out of it again: both ways its bytes are those of its digest."""
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.root.mkdir()
    digest = blobs.image(bytes(10_240))  # a tar of no files
    stored(blobs, digest, machine)
    entries = [
        {"mediaType": MANIFEST, "digest": str(one), "size": 1, "platform": {"os": "linux", "architecture": name}}
        for one, name in ((Digest.of(b"kept by nobody"), "s390x"), (digest, "amd64"))
    ]
    index = machine.store.put_bytes(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode())
    env = {"DOCKER_HOST": podman}
    for source in ("store", "engine"):
        back = machine.run("image", "restore", str(index), "--json", env=env)
        assert (back.code, back.json["digest"], back.json["source"]) == (0, str(index), source), back
    other = replace(machine, url=f"file:{tmp_path}/other")
    kept = other.run("image", "archive", f"localhost/small@{digest}", "--json", env=env)
    assert kept.code == 0, kept
    assert other.store.has_blob(digest)


def test_a_gpu_is_refused_where_it_would_be_ignored_in_silence(
    podman: str, machine: Machine, small_blobs: tuple[FolderBlobs, Digest], tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(digest=small_blobs[1]) + "gpu: {type: NVIDIA H100 80GB HBM3}\n")
    refused = machine.run("submit", "--json", spec, env={"DOCKER_HOST": podman})
    assert refused.code == 3
    fields = {finding["field"] for finding in refused.json["findings"] if finding["severity"] == "refuse"}
    assert "gpu.requests" in fields
