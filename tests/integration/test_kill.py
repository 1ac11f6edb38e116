"""`kill -9` of the executor at any moment: the store stays true, and the next start cleans up and succeeds.

EXECUTOR_TEST_KILLS is how many kills at random moments there are beside the chosen ones, 2 unless told.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from executor.engine.plan import LABEL
from executor.spec.canonical import Digest
from executor.steps.history import records
from tests.integration.conftest import S3Server
from tests.integration.site import PATIENCE, Machine, containers, docker, locked
from tests.thorough import thorough

pytestmark = [pytest.mark.engine, pytest.mark.slow]

RANDOM_KILLS = int(os.environ.get("EXECUTOR_TEST_KILLS", "2"))
FILES = 24
SCRIPT = f"""
echo begun | cat >/outputs/begun
block=x
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do block=$block$block; done
number=0
while [ $number -lt {FILES} ]; do
    number=$((number + 1))
    for _ in 1 2 3 4 5 6 7 8; do echo "$EXECUTOR_SEED $number $block"; done >/outputs/file-$number
done
sleep 1
echo done >/outputs/done
"""


@dataclass(frozen=True)
class Run:
    """A run that is under way."""

    machine: Machine
    hash: Digest
    stderr: Path
    blobs: int
    """How many the store held before it."""
    others: frozenset[Path]
    """Attempts that were left before it."""

    def said(self, words: str) -> bool:
        return words in self.stderr.read_text()

    def left(self, name: str) -> bool:
        return any((folder / "work" / "outputs" / name).exists() for folder in attempts(self.machine) - self.others)

    def stored(self) -> int:
        return count_blobs(self.machine) - self.blobs

    def created(self) -> bool:
        folders = attempts(self.machine) - self.others
        return any(docker("ps", "-aq", f"--filter=label={LABEL}.attempt={folder.name}") for folder in folders)


MOMENTS: Mapping[str, Callable[[Run], bool]] = {
    "start": lambda run: run.said("· checking"),
    "inputs": lambda run: run.said("· inputs"),
    "created": Run.created,
    "running": lambda run: run.left("begun"),
    "exited": lambda run: run.left("done"),
    "keeping": lambda run: run.said("· keeping"),
    "upload": lambda run: run.stored() > 0,
    "before the record": lambda run: run.stored() >= FILES,
    "after the record": lambda run: bool(run.machine.store.attempts(run.hash)),
}
EARLY = ("start", "inputs", "created", "running")
"""Moments after which so much is left to do that the kill cannot come too late."""


def attempts(machine: Machine) -> frozenset[Path]:
    return frozenset(path for path in machine.home.glob("attempts/*") if path.is_dir())


def count_blobs(machine: Machine) -> int:
    return sum(1 for _ in machine.store.objects("v1/blobs/"))


@pytest.fixture(scope="module")
def base(small_image: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Path]:
    """A machine whose store is a folder, and a locked spec."""
    folder = tmp_path_factory.mktemp("kill")
    machine = Machine(folder, f"file:{folder}/store")
    return machine, locked(machine, SCRIPT)[0]


def with_seed(spec: Path, seed: int) -> Path:
    """The same spec with a seed of its own: a run that the store does not know."""
    target = spec.with_name(f"{seed}.lock.yaml")
    target.write_text(spec.read_text().replace("\nseed: 1\n", f"\nseed: {seed}\n"))
    return target


def kill_at(machine: Machine, spec: Path, now: Callable[[Run], bool], *more: str) -> int | None:
    """Submit, kill when `now` is true; gives the exit status, None when it had ended by itself."""
    spec_hash = Digest(machine.run("hash", spec).out.strip())
    stderr = machine.folder / "stderr.txt"
    with stderr.open("w") as file:
        run = Run(machine, spec_hash, stderr, count_blobs(machine), attempts(machine))
        with machine.start("submit", "--json", spec, *more, stderr=file) as process:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and not now(run):
                assert time.monotonic() < deadline, stderr.read_text()
                time.sleep(0.001)
            process.kill()
            return process.wait()


def check_store(machine: Machine, spec_hash: Digest) -> None:
    """No record without its blobs, no reference without its record."""
    found = records(machine.store, spec_hash)
    assert all(machine.store.missing_blobs(record.blobs()) == [] for record in found)
    assert machine.store.reference(spec_hash) in {None, *(record.attempt for record in found)}


def check_next(machine: Machine, spec: Path) -> None:
    """The next submit succeeds, agrees with whatever there was, and leaves nothing behind."""
    again = machine.run("submit", "--json", spec)
    assert (again.code, again.json["status"]) == (0, "succeeded"), again
    spec_hash = Digest(again.json["spec_hash"])
    check_store(machine, spec_hash)
    assert machine.store.reference(spec_hash) is not None
    assert len({record.result_digest for record in records(machine.store, spec_hash)}) == 1
    assert containers(spec_hash.hex) == []
    assert machine.attempts_left() == []
    check_waiting(machine, spec_hash)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    assert [folder for folder in mounted if folder.startswith(f"{machine.home}/")] == []


def check_waiting(machine: Machine, spec_hash: Digest) -> None:
    """What had ended when its executor was killed is not lost: it is published, and agrees."""
    waiting = {folder.name for folder in attempts(machine)}
    published = machine.run("publish", "--pending", "--json")
    assert published.code == 0, published
    assert {one["attempt"] for one in published.json if one["state"] == "published"} == waiting
    found = records(machine.store, spec_hash)
    assert waiting <= {record.attempt for record in found}
    assert len({record.result_digest for record in found}) == 1
    check_store(machine, spec_hash)
    assert attempts(machine) == frozenset()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at(moment: str, base: tuple[Machine, Path]) -> None:
    machine, spec = base
    spec = with_seed(spec, 100 + list(MOMENTS).index(moment))
    status = kill_at(machine, spec, MOMENTS[moment])
    assert status == -9 or moment not in EARLY, "the kill came too late"
    check_store(machine, Digest(machine.run("hash", spec).out.strip()))
    check_next(machine, spec)


def test_killed_while_it_repeated_a_known_run(base: tuple[Machine, Path]) -> None:
    machine, spec = base
    spec = with_seed(spec, 50)
    assert machine.run("submit", "--quiet", spec).code == 0
    assert kill_at(machine, spec, MOMENTS["running"], "--force") == -9
    check_next(machine, spec)


@pytest.mark.s3
@thorough  # a fault row does the same, with all invariants
def test_killed_at_random_moments(s3_server: S3Server, small_image: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, s3_server.fresh_url(), s3_server.env)
    spec, _ = locked(machine, SCRIPT)
    started = time.monotonic()
    assert machine.run("submit", "--quiet", with_seed(spec, 2)).code == 0
    whole, draw = time.monotonic() - started, random.Random(20260101)
    for number in range(RANDOM_KILLS):
        moment = time.monotonic() + draw.uniform(0, whole)
        this = with_seed(spec, 1000 + number)
        kill_at(machine, this, lambda _, moment=moment: time.monotonic() > moment)  # type: ignore[misc]
        check_store(machine, Digest(machine.run("hash", this).out.strip()))
        check_next(machine, this)
