"""Two executors, one spec: real processes, a real engine, a folder and a real S3 server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from executor.steps.history import records
from executor.steps.workspace import Workspace
from executor.store import layout
from executor.store.lease import TTL, Holder
from tests.integration.conftest import MakeMachine
from tests.integration.site import EXECUTOR, PATIENCE, Machine, containers, docker, locked, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SCRIPT = """
echo begun | cat
echo begun >/outputs/begun
while [ ! -e /code/go ]; do sleep 0.1; done
echo weights >/outputs/model.pt
"""
"""Runs until a test lets it go on."""
HURRY = "from executor.store import lease; lease.TTL = 3.0; from executor.cli.main import main; main()"
"""The command with a lease that lasts three seconds."""


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
def one(request: pytest.FixtureRequest, make_machine: MakeMachine, small_image: str) -> Machine:
    return make_machine(request.param)


@pytest.fixture
def spec(one: Machine) -> Iterator[Path]:
    path, spec_hash = locked(one, SCRIPT)
    yield path
    for container in containers(spec_hash):  # of a test that failed
        docker("rm", "--force", container)


@pytest.fixture
def two(one: Machine, tmp_path: Path) -> Machine:
    """Another home with the same store."""
    (tmp_path / "two").mkdir()
    return Machine(tmp_path / "two", one.url, one.variables)


def hash_of(machine: Machine, spec: Path) -> Digest:
    return Digest(machine.run("hash", spec).out.strip())


def lease(machine: Machine, spec_hash: Digest) -> Holder | None:
    key = layout.lease(spec_hash)
    return Holder.parse(machine.store.read(key)) if machine.store.stat(key) else None


def holds(machine: Machine, spec_hash: Digest, pid: int) -> bool:
    holder = lease(machine, spec_hash)
    return holder is not None and holder.state == "held" and holder.process.pid == pid


def running(machine: Machine) -> list[Path]:
    """Code folders of attempts whose program has begun."""
    spaces = map(Workspace, machine.home.glob("attempts/*"))
    return [space.code for space in spaces if (space.outputs / "begun").exists()]


def let_go(machine: Machine) -> None:
    for folder in wait_until(lambda: running(machine), "a run"):
        (folder / "go").touch()


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, object]]:
    """Exit status, and the document on stdout."""
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, json.loads(out)


@contextmanager
def started(machine: Machine, *words: object, hurry: bool = False) -> Iterator[subprocess.Popen[str]]:
    """The command, with short leases when in a `hurry`; no longer there when the test fails."""
    command = [sys.executable, "-c", HURRY] if hurry else [EXECUTOR]
    with (machine.folder / "stderr.txt").open("w") as stderr, subprocess.Popen(
        [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=stderr, text=True, env=machine.environment,
        cwd=machine.folder, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_the_second_waits_shows_the_log_and_is_given_the_result(one: Machine, two: Machine, spec: Path) -> None:
    spec_hash = hash_of(one, spec)
    with started(one, "submit", "--json", spec) as first:
        wait_until(lambda: running(one), "the first run")
        seen = two.folder / "stderr.txt"
        with started(two, "submit", "--json", spec) as second:
            wait_until(lambda: "│ begun" in seen.read_text(), "the log of the first in the second")
            let_go(one)
            code, ran = ended(first)
            assert (code, ran["status"], ran["cached"]) == (0, "succeeded", False)
            code, answer = ended(second)
    assert (code, answer["cached"], answer["attempt"]) == (0, True, ran["attempt"])
    assert f"(process {first.pid}, attempt {ran['attempt']}) runs this spec since" in seen.read_text()
    assert [record.attempt for record in records(one.store, spec_hash)] == [ran["attempt"]]
    found = lease(one, spec_hash)
    assert found
    assert (found.state, found.epoch) == ("released", 1)


def test_who_does_not_wait_ends_with_7(one: Machine, two: Machine, spec: Path) -> None:
    with started(one, "submit", "--json", spec) as first:
        wait_until(lambda: running(one), "the first run")
        refused = two.run("submit", "--json", "--no-wait", spec)
        assert (refused.code, refused.json["error"]) == (7, "HeldElsewhere")
        assert refused.json["holder"]["pid"] == first.pid
        assert "executor logs -f" in two.run("submit", "--no-wait", spec).err
        let_go(one)
        assert ended(first)[0] == 0
    assert two.run("submit", "--json", "--no-wait", spec).json["cached"]


def test_who_waits_takes_over_when_the_first_is_killed(one: Machine, spec: Path) -> None:
    spec_hash = hash_of(one, spec)
    with started(one, "submit", "--json", spec) as first, started(one, "submit", "--json", spec) as second:
        wait_until(lambda: running(one), "a run")
        owner, other = (first, second) if holds(one, spec_hash, first.pid) else (second, first)
        left, killed = running(one), time.monotonic()
        owner.kill()
        owner.wait()
        wait_until(lambda: holds(one, spec_hash, other.pid), "the other to take over")
        assert time.monotonic() - killed < TTL / 2, "it waited for the lease to run out"
        wait_until(lambda: running(one) and left != running(one), "what was left to be removed, and the run")
        let_go(one)
        code, ran = ended(other)
    assert (code, ran["status"], ran["cached"]) == (0, "succeeded", False)
    assert containers(spec_hash.hex) == []
    assert one.attempts_left() == []


def test_who_waits_can_be_stopped_and_changes_nothing(one: Machine, two: Machine, spec: Path) -> None:
    with started(one, "submit", "--json", spec) as first:
        wait_until(lambda: running(one), "the first run")
        seen = two.folder / "stderr.txt"
        with started(two, "submit", "--json", spec) as second:
            wait_until(lambda: "waiting for its result" in seen.read_text(), "the second to wait")
            second.send_signal(signal.SIGINT)
            assert second.wait(timeout=PATIENCE) == 130
        assert holds(one, hash_of(one, spec), first.pid)
        let_go(one)
        assert ended(first)[0] == 0


def test_a_run_that_is_stopped_lets_the_lease_go(one: Machine, spec: Path) -> None:
    spec_hash = hash_of(one, spec)
    with started(one, "submit", "--json", spec) as first:
        wait_until(lambda: running(one), "the run")
        first.send_signal(signal.SIGTERM)
        code, ran = ended(first)
    assert (code, ran["status"]) == (130, "interrupted")
    found = lease(one, spec_hash)
    assert found
    assert found.state == "released"


def test_an_owner_that_slept_too_long_keeps_its_result_and_there_is_one_reference(
    one: Machine, two: Machine, spec: Path
) -> None:
    spec_hash = hash_of(one, spec)
    with started(one, "submit", "--json", spec, hurry=True) as first:
        wait_until(lambda: running(one), "the first run")
        first.send_signal(signal.SIGSTOP)
        with started(two, "submit", "--json", spec, hurry=True) as second:
            wait_until(lambda: holds(two, spec_hash, second.pid), "the second to take over")
            let_go(two)
            code, ran = ended(second)
        assert (code, ran["status"], ran["cached"]) == (0, "succeeded", False)
        let_go(one)
        first.send_signal(signal.SIGCONT)
        code, late = ended(first)
    assert (code, late["status"], late["verdict"]) == (0, "succeeded", "identical")
    (finding,) = (found for found in one.record(late).findings if found.field == "lease")
    assert (finding.severity, f"process {second.pid}" in finding.observed) == ("warn", True)
    assert one.store.reference(spec_hash) == ran["attempt"]
    assert {record.attempt for record in records(one.store, spec_hash)} == {ran["attempt"], late["attempt"]}
