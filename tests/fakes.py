"""Real implementations of the interfaces, in memory."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import urlopen

from executor.engine.interface import Credentials, LogSink
from executor.engine.interface import Progress as EngineProgress
from executor.engine.oci import Manifest
from executor.engine.plan import Plan
from executor.errors import EngineUnreachable, ImageNotFound, NotFound, RegistryUnreachable, StoreUnreachable
from executor.facts import EngineFacts, ImageFacts, Outcome
from executor.spec.canonical import Digest
from executor.store.interface import Store
from executor.store.objects import Listed, Stat
from executor.store.transfer import Payload

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Program = Callable[[Path, LogSink], int]
ENGINE = EngineFacts(
    name="docker", version="28.2.2", api_version="1.50", address="unix:///var/run/docker.sock", architecture="x86_64",
    kernel="6.1", cpus=64, memory=2**40, storage_driver="overlay2", cgroup_version="2",
    security=("name=seccomp,profile=default",), gpu_requests=(),
)  # fmt: skip


class MemoryStore(Store):
    """A store in a dict. `conditional=False` makes one that overwrites what it should keep, as some servers do."""

    def __init__(self, *, conditional: bool = True, clock: datetime | None = None) -> None:
        super().__init__("memory:")
        self.contents: dict[str, bytes] = {}
        self.modified: dict[str, datetime] = {}
        """When each key was written, where a clock was given."""
        self.requests: list[str] = []
        """Every primitive that was called, such as `size v1/…`."""
        self.down = False
        """Makes every request fail as if nothing answered."""
        self._conditional, self._clock, self._lock = conditional, clock, threading.Lock()

    def _open(self, key: str) -> BinaryIO:
        self._request("open", key)
        if key not in self.contents:
            raise NotFound(key)
        return io.BytesIO(self.contents[key])

    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        self._request("put", key)
        with payload.open() as stream:
            data = stream.read()
        with self._lock:
            if if_absent and self._conditional and key in self.contents:
                return False
            if if_version is not None and self._conditional and self._version(key) != if_version:
                return False
            self.contents[key] = data
            self.modified[key] = self._clock or EPOCH
            return True

    def _version(self, key: str) -> str:
        return Digest.of(self.contents[key]).hex if key in self.contents else "none"

    def _stat(self, key: str) -> Stat | None:
        self._request("size", key)
        if key not in self.contents:
            return None
        return Stat(len(self.contents[key]), self.modified.get(key, EPOCH), self._version(key))

    def _list(self, prefix: str, *, deep: bool) -> Iterator[Listed]:
        self._request("list", prefix)
        found = {}
        for key, data in list(self.contents.items()):
            if key.startswith(prefix):
                head, slash, _ = key[len(prefix) :].partition("/")
                if deep or not slash:
                    found[key] = Listed(key, len(data), self.modified.get(key, EPOCH))
                else:
                    found[f"{prefix}{head}/"] = Listed(f"{prefix}{head}/")
        yield from found.values()

    def _delete(self, key: str) -> None:
        self._request("delete", key)
        self.contents.pop(key, None)

    def server_time(self) -> datetime | None:
        self._request("time", "")
        return self._clock

    def _request(self, verb: str, key: str) -> None:
        self.requests.append(f"{verb} {key}")
        if self.down:
            raise StoreUnreachable("memory: nothing answers", advice="set down to False")


class FakeEngine:
    """An engine that has images and runs a Python function in place of a container; records what it was asked."""

    def __init__(self, *digests: Digest, program: Program | None = None) -> None:
        self.digests = set(digests)
        self.program = program or (lambda work, log: 0)
        """Called with the attempt's folder and the log sink; returns the exit status."""
        self.plans: list[Plan] = []
        self.removed: list[str] = []
        """Attempts that were asked to be removed."""
        self.stuck: tuple[str, ...] = ()
        """Beginnings of attempts that it does not remove."""
        self.has_python = True
        self.facts = ENGINE
        self.registry: set[Digest] = set()
        """What every registry but those on loopback has; those on loopback are really asked."""
        self.pulled: list[str] = []
        self.names: dict[str, Digest] = {}
        """What `tag` named."""
        self.loaded = b""
        self.saved = b""
        """What `save` gives."""
        self.logins: dict[str, Credentials] = {}

    def observe(self) -> EngineFacts:
        return self.facts

    def image(self, digest: Digest, config: Digest | None = None) -> ImageFacts | None:
        if digest not in self.digests:
            return None
        return ImageFacts(digest=digest, id=f"id-{digest.hex[:8]}", size=1, architecture="amd64", environment={})

    def images(self) -> list[tuple[str, ImageFacts]]:
        return [(f"localhost/fake@{digest}", image) for digest in self.digests if (image := self.image(digest))]

    def digest_of(self, reference: str) -> Digest | None:
        return next(iter(self.digests), None)

    def pull(self, reference: str, progress: EngineProgress) -> None:
        self.pulled.append(reference)
        name, _, text = reference.partition("@")
        address, _, repository = name.partition("/")
        digest = Digest.parse(text)
        if address.startswith("127.0.0.1:"):
            self._fetch_all(f"http://{address}/v2/{repository}", digest, progress)
        elif digest not in self.registry:
            raise ImageNotFound(f"{reference}: nowhere")
        self.digests.add(digest)

    def _fetch_all(self, base: str, digest: Digest, progress: EngineProgress) -> None:
        for blob in Manifest.parse(_fetch(f"{base}/manifests/{digest}", digest)):
            size = len(_fetch(f"{base}/blobs/{blob.digest}", blob.digest))
            progress(blob.digest.hex[:12], size, blob.size)

    def load(self, archive: Iterable[bytes]) -> None:
        self.loaded = b"".join(archive)
        with tarfile.open(fileobj=io.BytesIO(self.loaded)) as tar:
            index = tar.extractfile("index.json")
            assert index is not None
            self.digests.update(Digest.parse(entry["digest"]) for entry in json.load(index)["manifests"])

    def save(self, image: ImageFacts) -> Iterator[bytes]:
        yield self.saved

    def credentials(self, registry: str) -> Credentials | None:
        return self.logins.get(registry)

    def tag(self, image: ImageFacts, name: str) -> None:
        self.names[name] = image.digest

    def run(self, plan: Plan, image: ImageFacts, *, log: LogSink, stop: threading.Event) -> tuple[Outcome, bool]:
        self.plans.append(plan)
        outputs = next(m["Source"] for m in plan.request["HostConfig"]["Mounts"] if m["Target"] == "/outputs")
        code = self.program(Path(outputs).parent, log)
        return Outcome(exit_code=code, interrupted=stop.is_set(), started=NOON, finished=NOON), self.has_python

    def remove(self, attempt: str, *, patience: float = 0) -> None:
        if attempt.startswith(self.stuck):
            raise EngineUnreachable("device or resource busy")
        self.removed.append(attempt)


def _fetch(url: str, digest: Digest) -> bytes:
    """What a registry on loopback answers, compared with its digest as every engine does."""
    try:
        with urlopen(url, timeout=10) as answer:
            data: bytes = answer.read()
    except HTTPError as error:
        with error:
            raise RegistryUnreachable(f"{url}: {error.code}") from error
    if Digest.of(data) != digest:
        raise RegistryUnreachable(f"{url}: other bytes")
    return data
