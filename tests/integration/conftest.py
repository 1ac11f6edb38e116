"""What integration tests share: an S3 server (SeaweedFS over HTTP on loopback), images, machines."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pytest

from executor.engine.container import DockerEngine
from executor.engine.registry import serve
from executor.errors import EngineUnreachable
from executor.spec.canonical import Digest
from executor.store.s3 import open_s3
from executor.store.server import Server
from tests.integration.site import SCRIPT, SMALL, TORCH, Machine, locked
from tests.unit.engine.blobs import FolderBlobs

SMALL_PROGRAMS = ("bin/sh", "bin/cat", "bin/sleep", "lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6")
"""All that is in the small image."""


@dataclass(frozen=True)
class S3Server:
    """An S3 server for tests."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def env(self) -> dict[str, str]:
        """What `open_store` needs beside the URL."""
        return {
            "EXECUTOR_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def fresh_url(self) -> str:
        """URL of an empty store: a prefix, for SeaweedFS keeps only as many buckets as the disk has free GiB."""
        return f"{self._shared}/{secrets.token_hex(6)}"

    def fresh_bucket(self) -> str:
        """URL of a new, empty bucket."""
        return self._bucket(f"s3://test-{secrets.token_hex(6)}")

    @cached_property
    def _shared(self) -> str:
        return self._bucket("s3://tests")

    def _bucket(self, url: str) -> str:
        open_s3(url, self.env).create_bucket()
        return url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder: Path = tmp_path_factory.mktemp("s3")
    server = Server(folder)
    info = server.start()
    yield S3Server(info.endpoint, info.access_key, info.secret_key)
    server.stop()


@pytest.fixture(scope="session")
def engine() -> DockerEngine:
    """The engine at hand."""
    found = DockerEngine(os.environ, lambda: datetime.now(UTC))
    try:
        found.observe()
    except EngineUnreachable as error:
        pytest.skip(f"no container engine: {error.message}")
    return found


@pytest.fixture(scope="session")
def torch_image(engine: DockerEngine) -> str:
    """Name of an image with Python, numpy and torch that the engine has: EXECUTOR_TEST_IMAGE, or the one of `make`."""
    named = os.environ.get("EXECUTOR_TEST_IMAGE", TORCH)
    if engine.digest_of(named) is None:
        pytest.skip(f"the engine has no image {named} with a digest: `make image` builds it")
    return named


@pytest.fixture(scope="session")
def small_blobs(torch_image: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderBlobs, Digest]:
    """Blobs of an image with a shell and no Python, made of files of the torch image, and its digest."""
    tar = ("tar", "--create", "--directory=/", "--dereference", "--sort=name", "--mtime=@0", "--owner=0", "--group=0")
    layer = subprocess.run(
        ["docker", "run", "--rm", "--network=none", torch_image, *tar, *SMALL_PROGRAMS], capture_output=True, check=True
    ).stdout
    blobs = FolderBlobs(tmp_path_factory.mktemp("small"))
    return blobs, blobs.image(layer)


@pytest.fixture(scope="session")
def small_image(engine: DockerEngine, small_blobs: tuple[FolderBlobs, Digest]) -> Iterator[str]:
    """Name of that image in the engine."""
    blobs, digest = small_blobs
    with serve(blobs) as address:
        reference = f"{address}/executor-test-small@{digest}"
        engine.pull(reference, lambda *_: None)
    found = engine.image(digest)
    assert found
    engine.tag(found, SMALL)
    yield SMALL
    subprocess.run(["docker", "image", "rm", "--force", SMALL, reference], capture_output=True, check=True)


@pytest.fixture(scope="session")
def images(torch_image: str, small_image: str) -> Mapping[str, str]:
    """The images that specs of tests name, and what they are here."""
    return {TORCH: torch_image, "localhost/executor-test-small": small_image}


@pytest.fixture(scope="session")
def finished(small_image: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine whose store, a folder, holds one spec that ran twice; only to copy from."""
    folder = tmp_path_factory.mktemp("finished")
    machine = Machine(folder, f"file:{folder}/store")
    spec, spec_hash = locked(machine, SCRIPT)
    assert machine.run("submit", spec, "--quiet").code == 0
    assert machine.run("rerun", spec_hash, "--quiet").code == 0
    return machine


MakeMachine = Callable[[str], Machine]


@pytest.fixture
def make_machine(tmp_path: Path, request: pytest.FixtureRequest) -> MakeMachine:
    """Makes a machine whose store is a folder (`file`) or a new prefix of the S3 server (`s3`)."""

    def make(kind: str) -> Machine:
        folder = tmp_path / f"machine-{kind}"
        folder.mkdir()
        if kind == "file":
            return Machine(folder, f"file:{folder}/store")
        server: S3Server = request.getfixturevalue("s3_server")
        return Machine(folder, server.fresh_url(), server.env)

    return make


@pytest.fixture
def machine(make_machine: MakeMachine) -> Machine:
    """A machine whose store is a folder."""
    return make_machine("file")
