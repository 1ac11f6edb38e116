"""A real registry on loopback, for one test: Debian's docker-registry."""

from __future__ import annotations

import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from executor.engine.oci import INDEX
from executor.spec.canonical import Digest
from tests.integration.site import docker, wait_until

PASSWORDS = "ada:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"
"""Who may ask where passwords are wanted: `ada`, `secret`."""
_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "{address}"}}
"""


@dataclass
class Running:
    """A registry that runs."""

    address: str
    process: subprocess.Popen[bytes]
    pulled: list[str] = field(default_factory=list)
    """What the engine was given of it, and is to forget again."""

    def kill(self) -> None:
        """It is gone, with all that it had."""
        self.process.kill()
        self.process.wait()

    def push(self, image: str, name: str) -> str:
        """Push an image of the engine; gives the reference that a spec takes."""
        reference = f"{self.address}/{name}"
        docker("tag", image.partition("@")[0], reference)
        said = docker("push", reference)
        digest = said.partition("digest: ")[2].split()[0]
        docker("image", "rm", reference)
        return self.pull(f"{reference}@{digest}")

    def pull(self, reference: str) -> str:
        """Have the engine pull; gives the reference back."""
        docker("pull", "--quiet", reference)
        self.pulled.append(reference)
        return reference

    def put_index(self, name: str, index: bytes) -> str:
        """Keep an index, and have the engine pull it; gives the reference that a spec takes."""
        digest = Digest.of(index)
        url = f"http://{self.address}/v2/{name}/manifests/{digest}"
        request = urllib.request.Request(url, data=index, method="PUT", headers={"Content-Type": INDEX})
        urllib.request.urlopen(request, timeout=10).close()
        return self.pull(f"{self.address}/{name}@{digest}")


@contextmanager
def registry(folder: Path, *, passwords: str = "") -> Iterator[Running]:
    """Start a registry whose images lie below `folder`."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs Debian's docker-registry: apt-get install docker-registry")
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = _CONFIG.format(folder=folder, address=address)
    if passwords:
        (folder / "passwords").write_text(passwords)
        config += f"auth: {{htpasswd: {{realm: here, path: {folder}/passwords}}}}\n"
    (folder / "config.yml").write_text(config)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    running = Running(address, process)
    try:
        wait_until(lambda: _answers(address, process), "the registry")
        yield running
    finally:
        for reference in running.pulled:
            subprocess.run(["docker", "image", "rm", reference], capture_output=True, check=False)
        process.kill()
        process.wait()


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    except OSError:
        return False
    return True
