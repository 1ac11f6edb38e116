"""Runs under way and runs elsewhere: followed, stopped, two at once, from the bucket alone, with a failing store."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from executor.store.s3 import open_s3
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy
from tests.integration.site import SCRIPT, Machine, containers, locked, wait_until

pytestmark = pytest.mark.engine

WAITS = """
echo started
trap 'echo stopped >/outputs/stopped.txt; exit 0' TERM
until [ -e /outputs/go ]; do sleep 0.1; done
echo went on
"""
"""Runs until a file appears among its outputs, or it is asked to stop."""


# While it runs --------------------------------------------------------------------------------------------------------


def test_logs_follow_a_run_from_elsewhere(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, WAITS)
    with machine.start("submit", "--json", spec) as submit:
        wait_until(lambda: machine.store.live_attempts(Digest(spec_hash)), "the first lines of the log")
        with machine.start("logs", "-f", spec_hash) as follower:
            assert follower.stdout
            assert follower.stdout.readline() == "started\n"
            assert submit.poll() is None, "it followed while the run went on"
            (outputs,) = machine.home.glob("attempts/*/work/outputs")
            (outputs / "go").touch()
            rest, problems = follower.communicate(timeout=60)
        out, err = submit.communicate(timeout=60)
    assert (submit.returncode, follower.returncode) == (0, 0), (err, problems)
    assert rest == "went on\n"
    assert json.loads(out)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_and_is_recorded(machine: Machine, small_image: str, number: signal.Signals) -> None:
    spec, spec_hash = locked(machine, WAITS)
    with machine.start("submit", "--json", spec) as submit:
        wait_until(lambda: machine.store.live_attempts(Digest(spec_hash)), "the program's first line")
        submit.send_signal(number)
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 130, err
    view = json.loads(out)
    assert view["status"] == "interrupted"
    record = machine.record(view)
    assert (record.status, record.outcome.interrupted) == ("interrupted", True)
    assert [file.path for file in record.outputs] == ["stopped.txt"]
    assert machine.store.reference(Digest(spec_hash)) is None
    assert containers(spec_hash) == []
    assert machine.attempts_left() == []


def test_a_second_signal_leaves_at_once(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, "trap '' TERM\necho started\nwhile :; do sleep 1; done\n")
    with machine.start("submit", "--json", spec) as submit:
        wait_until(lambda: machine.store.live_attempts(Digest(spec_hash)), "the program's first line")
        submit.send_signal(signal.SIGINT)
        assert submit.stderr
        wait_until(lambda: "once more" in (submit.stderr.readline() if submit.stderr else ""), "the answer")
        submit.send_signal(signal.SIGINT)
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 130, err
    assert json.loads(out)["error"] == "Interrupted"
    assert containers(spec_hash) == []
    assert machine.attempts_left() == []


# From the bucket alone ------------------------------------------------------------------------------------------------


@pytest.mark.s3
def test_rerun_needs_no_repository(s3_server: S3Server, small_image: str, tmp_path: Path) -> None:
    url = s3_server.fresh_url()
    here, there = (Machine(tmp_path / name, url, s3_server.env) for name in ("here", "there"))
    for machine in (here, there):
        machine.folder.mkdir()
    spec, spec_hash = locked(here, SCRIPT)
    assert here.run("submit", spec).code == 0
    shutil.rmtree(here.folder)
    again = there.run("rerun", "--json", spec_hash[:8])
    assert (again.code, again.json["verdict"]) == (0, "identical"), again


@pytest.mark.s3
def test_data_come_from_a_bucket(s3_server: S3Server, small_image: str, tmp_path: Path) -> None:
    here, there = (Machine(tmp_path / name, s3_server.fresh_url(), s3_server.env) for name in ("here", "there"))
    for machine in (here, there):
        machine.folder.mkdir()
    lake = open_s3(s3_server.fresh_url(), s3_server.env)
    digest = lake.put_bytes(b"1,2\n")
    source = f"{lake.url}/v1/blobs/sha256/{digest.hex[:2]}"
    script = "(cat /data/table/*; echo copied) >/outputs/copy.csv\n"
    spec, _ = locked(here, script, f"data: {{table: {{source: '{source}'}}}}\n")
    for machine in (here, there):
        ran = machine.run("submit", "--json", spec)
        assert (ran.code, ran.json["cached"]) == (0, False), ran
        assert ran.json["outputs"][0]["digest"] == str(Digest.of(b"1,2\ncopied\n"))
    lake.put_bytes(next(b"%d" % n for n in range(10_000) if Digest.of(b"%d" % n).hex[:2] == digest.hex[:2]))
    assert here.run("rerun", here.run("hash", spec).out.strip()).code == 0, "the cache holds what the spec names"
    shutil.rmtree(there.home)
    changed = there.run("submit", "--force", "--json", spec)
    assert (changed.code, changed.json["findings"][0]["field"]) == (3, "data.table.hash"), changed


def test_rerun_after_the_data_are_gone(machine: Machine, small_image: str) -> None:
    data = machine.folder / "data"
    data.mkdir()
    (data / "a.csv").write_text("1\n")
    script = "(cat /data/*/a.csv; echo copied) >/outputs/copy.csv\n"  # a bare copy would be in the store, as an output
    spec, spec_hash = locked(machine, script, f"data: {{one: {{source: {data}/a.csv}}}}\n")
    assert machine.run("submit", spec).code == 0
    shutil.rmtree(data)
    assert machine.run("rerun", spec_hash).code == 0, "one file is in the cache"
    shutil.rmtree(machine.home)
    gone = machine.run("rerun", "--json", spec_hash)
    assert (gone.code, gone.json["error"]) == (6, "SourceUnreachable"), gone
    assert "data.one" in gone.json["message"]


# Two at once, and a store that fails ----------------------------------------------------------------------------------


def test_two_submits_at_once_agree(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, SCRIPT)
    with machine.start("submit", "--json", spec) as one, machine.start("submit", "--json", spec) as other:
        problems = [process.communicate(timeout=120)[1] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), problems
    shown = machine.run("show", "--json", spec_hash).json
    assert shown["agreement"]["identical"] == shown["agreement"]["succeeded"] == len(shown["attempts"])
    assert machine.attempts_left() == []


@pytest.mark.s3
@pytest.mark.parametrize("key", ["record.json", "/blobs/"])
def test_a_result_that_cannot_be_stored_is_kept(
    s3_server: S3Server, small_image: str, tmp_path: Path, key: str
) -> None:
    machine = Machine(tmp_path, s3_server.fresh_url(), s3_server.env)
    spec, spec_hash = locked(machine, SCRIPT)
    with FaultProxy(s3_server.endpoint, lambda method, path: "503" if method == "PUT" and key in path else "") as proxy:
        failed = machine.run("submit", "--json", spec, env={"EXECUTOR_S3_ENDPOINT": proxy.endpoint})
    assert (failed.code, failed.json["error"]) == (6, "Unpublished"), failed
    (kept,) = (machine.home / "attempts").glob("*/staging/model.pt")
    assert str(kept.parents[1]) == failed.json["folder"]
    assert machine.store.attempts(Digest(spec_hash)) == []
    assert containers(spec_hash) == []
    again = machine.run("submit", "--json", spec)
    assert (again.code, again.json["cached"]) == (0, False), again
    assert kept.exists(), "only the user throws it away"
