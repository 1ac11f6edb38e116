"""A machine whose store and engine fail as a test tells them to, and the five invariants that hold all the same.

1. A record is there: every blob that it needs is there and is what its digest says.
2. A spec has one reference, whose bytes never change.
3. A result that was acknowledged is never lost.
4. After the next start nothing is left: no container, mount, loop device, folder of an attempt, unfinished upload.
5. No credential and no secret is anywhere that outlives the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor.errors import NotFound
from executor.spec.canonical import Digest
from executor.steps.history import read, records
from executor.store import open_store
from executor.store.interface import Store
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy
from tests.integration.site import Machine, containers, docker, locked
from tests.ran import Ran

CANARY = "canary-7f3d9b-of-a-secret-that-must-not-be-seen"
"""Value of a secret that every run of a test is given the way to see; nowhere else may it be found."""
SCRIPT = """
echo hello
number=0
while [ $number -lt 6 ]; do
    number=$((number + 1))
    echo "$EXECUTOR_SEED $number" >/outputs/file-$number
done
echo '{"step": 1, "loss": 0.5}' >/outputs/metrics.jsonl
echo "weights of $EXECUTOR_SEED" >/outputs/model.pt
"""
"""A short run with a few outputs, which depend on the seed alone."""


@dataclass
class World:
    """One machine and its store: what was acknowledged, and what was seen of its references."""

    machine: Machine
    server: S3Server | None
    """The S3 server itself, past any proxy; none when the store is a folder."""
    spec: Path
    """A locked spec; `with_seed` makes others of it."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Attempts that a command said were stored, and their spec hash."""
    references: dict[str, bytes] = field(default_factory=dict)
    """What reference each spec had when it was last looked at."""
    said: list[str] = field(default_factory=list)
    """Everything that commands printed."""

    @property
    def store(self) -> Store:
        """The store as it is, past any proxy."""
        return open_store(self.machine.url, self.server.env if self.server else {})

    def seeded(self, seed: int) -> Path:
        """The same spec with another seed: a run that the store does not know."""
        target = self.spec.with_name(f"{seed}.lock.yaml")
        target.write_text(self.spec.read_text().replace("\nseed: 1\n", f"\nseed: {seed}\n"))
        return target

    def run(self, *words: object, env: Mapping[str, str] | None = None) -> Ran:
        """Run a command to its end and note what it acknowledges."""
        done = self.machine.run(*words, env={"EXECUTOR_SECRET_TOKEN": CANARY, **(env or {})})
        self.note(done)
        return done

    def submit(self, spec: Path, *more: str, env: Mapping[str, str] | None = None) -> Ran:
        """Submit a spec, as JSON."""
        return self.run("submit", "--json", *more, spec, env=env)

    def note(self, done: Ran) -> None:
        """Note what a command acknowledged."""
        self.said.append(done.out + done.err)
        view = json.loads(done.out) if done.out.startswith("{") else {}
        if view.get("status") in ("succeeded", "failed") and view.get("attempt"):
            self.acknowledged[view["attempt"]] = view["spec_hash"]

    def check(self) -> None:
        """All five invariants; call it when nothing runs."""
        store, found = self.store, 0
        for spec_hash in store.spec_hashes():
            for record in records(store, spec_hash):
                found += 1
                for digest in record.blobs():
                    store.read_blob(digest, 1 << 30)  # verified, or raises
            self._check_reference(store, spec_hash)
        for attempt, acknowledged in self.acknowledged.items():
            assert read(store, Digest(acknowledged), attempt), f"{attempt} was acknowledged and is lost"
        assert found >= len(self.acknowledged)
        assert self.left() == []
        assert list(self.canaries()) == []

    def _check_reference(self, store: Store, spec_hash: Digest) -> None:
        try:
            data, _ = store.document(f"v1/runs/{spec_hash.hex}/reference.json")
        except NotFound:
            assert spec_hash.hex not in self.references, "a reference is gone"
            return
        assert self.references.setdefault(spec_hash.hex, data) == data, "a reference changed"
        reference = store.reference(spec_hash)
        assert reference
        assert read(store, spec_hash, reference).status == "succeeded"

    def left(self) -> list[str]:
        """What no run may leave behind."""
        home = str(self.machine.home)
        found = [f"container {name}" for one in self.store.spec_hashes() for name in containers(one.hex)]
        found += [
            f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if f"{home}/" in line
        ]
        found += [f"attempt {path.name}" for path in self.machine.attempts_left()]
        found += [f"loop device of {path}" for path in loop_files() if home in path]
        if self.server:
            found += [f"upload {key}" for key in uploads(self.machine.url, self.server)]
        return found

    def canaries(self) -> Iterator[str]:
        """Where the secret, or the store's, is found."""
        words = [CANARY.encode()] + ([self.server.secret_key.encode()] if self.server else [])
        for text in self.said:
            yield from (f"printed: {text[:200]}" for word in words if word.decode() in text)
        store = self.store
        for one in store.objects():
            with store.open_object(one.key) as stream:
                data = stream.read()
            yield from (one.key for word in words if word in data)
        for path in self.machine.home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                yield from (str(path) for word in words if word in data)


def loop_files() -> list[str]:
    """Files behind the loop devices of this machine."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(path.read_text().strip())
        except OSError:  # it was given back in the meantime
            continue
    return found


def uploads(url: str, server: S3Server) -> list[str]:
    """Keys of the unfinished multipart uploads of a store."""
    import boto3  # of the tests alone: the store has no verb to list what others began

    client: Any = boto3.client("s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key,
                               aws_secret_access_key=server.secret_key, region_name="us-east-1")  # fmt: skip
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    keys = [one["Key"] for one in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]
    return [key for key in keys if key.startswith(prefix + "/")]


def make_world(folder: Path, server: S3Server | None, proxy: FaultProxy | None = None, script: str = SCRIPT) -> World:
    """A machine with a home of its own and a locked spec; its store is in a bucket, behind `proxy` if one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    if server is None:
        machine = Machine(folder, f"file:{folder}/store")
    else:
        variables = server.env | ({"EXECUTOR_S3_ENDPOINT": proxy.endpoint} if proxy else {})
        machine = Machine(folder, server.fresh_url(), variables)
    spec, _ = locked(machine, script)
    return World(machine, server, spec)


def kill_containers(spec_hash: str) -> None:
    """Remove what the engine has of a spec, as someone else would."""
    for name in containers(spec_hash):
        docker("rm", "--force", name)
