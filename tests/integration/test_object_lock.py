"""Buckets that keep what objects were before, and lock what is written once: SeaweedFS enforces both."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.errors import Retained
from executor.evidence.record import Record
from executor.spec.canonical import sealed
from executor.steps.history import read
from executor.store import layout
from executor.store.s3 import S3Store, open_s3
from tests.integration.conftest import S3Server
from tests.integration.site import Machine

pytestmark = [pytest.mark.s3, pytest.mark.engine]

_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """A machine whose store is a bucket below a prefix, and the bucket as its owner sees it."""

    machine: Machine
    store: S3Store

    @property
    def records(self) -> list[Record]:
        """Every record, the oldest first."""
        (spec_hash,) = self.store.spec_hashes()
        return [read(self.store, spec_hash, attempt) for attempt in self.store.attempts(spec_hash)]

    @property
    def run(self) -> str:
        return layout.run(self.records[0].spec_hash)

    def attempt(self, number: int) -> str:
        return layout.attempt(self.records[number].spec_hash, self.records[number].attempt)

    def head(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.store._s3.head_object(**self.store._at(key))
        return found

    def put(self, key: str, data: bytes) -> None:
        """As somebody does who may write, and is none of ours."""
        self.store._s3.put_object(**self.store._at(key), Body=data)

    def wrong(self) -> dict[str, str]:
        """What `store check` finds: key to problem; its exit code says the same."""
        ran = self.machine.run("store", "check", "--quiet", "--json")
        found = {one["key"]: one["problem"] for kind in ("damaged", "missing") for one in ran.json[kind]}
        assert (ran.code == 0) == (not found), ran
        return found


Make = Callable[..., Place]


@pytest.fixture
def make(s3_server: S3Server, finished: Machine, tmp_path: Path) -> Make:
    """Copies two attempts of a spec to a new bucket with Object Lock, or with versions alone."""

    def made(*, lock: bool = True, setting: str = "", default: dict[str, Any] | None = None) -> Place:
        name, env = f"locked-{next(_numbers)}", s3_server.env | ({"EXECUTOR_S3_LOCK": setting} if setting else {})
        store = open_s3(f"s3://{name}/some/prefix", env)
        store._s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if not lock:
            store._s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if default:
            rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}
            store._s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=rule)
        copied = finished.run("store", "copy", "--to", store.url, "--quiet", env=env)
        assert copied.code == (2 if setting and not lock else 0), copied
        return Place(Machine(tmp_path, store.url, env), store)

    return made


def test_evidence_is_locked_for_ten_years_and_what_changes_is_not(make: Make) -> None:
    place = make()
    for key in (f"{place.attempt(0)}/record.json", f"{place.attempt(1)}/provenance.json", f"{place.run}/spec.json",
                f"{place.run}/reference.json"):  # fmt: skip
        found = place.head(key)
        years = (found["ObjectLockRetainUntilDate"] - datetime.now(UTC)) / timedelta(days=365)
        assert (found["ObjectLockMode"], round(years)) == ("GOVERNANCE", 10), key
    assert "ObjectLockMode" not in place.head(layout.blob(place.records[0].outputs[0].digest))
    assert place.wrong() == {}


@pytest.mark.parametrize(
    ("setting", "default", "mode", "days"),
    [
        ("compliance:30d", None, "COMPLIANCE", 30),
        ("governance:1d", {"Mode": "COMPLIANCE", "Days": 3}, "GOVERNANCE", 1),
        ("", {"Mode": "GOVERNANCE", "Days": 3}, "GOVERNANCE", 3),
    ],
)
def test_the_setting_says_how_long_or_else_the_bucket(
    make: Make, setting: str, default: dict[str, Any] | None, mode: str, days: int
) -> None:
    place = make(setting=setting, default=default)
    found = place.head(f"{place.attempt(0)}/record.json")
    left = (found["ObjectLockRetainUntilDate"] - datetime.now(UTC)) / timedelta(days=1)
    assert (found["ObjectLockMode"], round(left)) == (mode, days)


def test_off_locks_nothing(make: Make) -> None:
    place = make(setting="off")
    assert "ObjectLockMode" not in place.head(f"{place.attempt(0)}/record.json")


def test_a_lock_that_is_asked_for_and_cannot_be_is_refused(make: Make) -> None:
    place = make(lock=False, setting="governance:1d")
    assert [one.key for one in place.store.objects() if layout.is_evidence(one.key)] == []


@pytest.mark.parametrize("lock", [True, False])
def test_a_record_that_was_written_over_is_named_and_put_back(make: Make, lock: bool) -> None:
    place = make(lock=lock)
    key = f"{place.attempt(1)}/record.json"
    true = place.store.read(key)
    lie = place.records[1].model_copy(update={"metrics": {"accuracy": 1.0}})
    place.put(key, lie.to_json())
    assert place.records[1] == lie  # its seal is right
    assert "written over" in place.wrong()[key]
    repaired = place.machine.run("store", "repair", "--json")
    assert (repaired.code, [one["key"] for one in repaired.json["refilled"]]) == (0, [key])
    assert place.store.read(key) == true
    assert place.wrong() == {}


def test_a_record_that_was_hidden_is_named_and_put_back(make: Make) -> None:
    place = make()
    key = f"{place.attempt(1)}/record.json"
    true = place.store.read(key)
    place.store.remove(key)
    assert len(place.records) == 1
    assert place.wrong() == {key: "it was removed; what it was is kept beside it"}
    assert place.machine.run("store", "repair").code == 0
    assert place.store.read(key) == true


def test_a_reference_to_another_attempt_is_named_and_put_back(make: Make) -> None:
    place = make()
    first, second = place.records
    place.put(f"{place.run}/reference.json", sealed({"attempt": second.attempt}))
    assert list(place.wrong()) == [f"{place.run}/reference.json"]
    assert place.machine.run("store", "repair").code == 0
    assert place.store.reference(first.spec_hash) == first.attempt


def test_a_blob_that_was_written_over_is_refilled_from_its_first_version(make: Make) -> None:
    place = make()
    output = place.records[0].outputs[0]
    place.put(layout.blob(output.digest), b"?" * output.size)
    assert list(place.wrong()) == [layout.blob(output.digest)]
    assert place.machine.run("store", "repair").code == 0
    assert place.store.read_blob(output.digest, 1000)


def test_a_lock_keeps_a_version_from_removal_even_by_its_writer(make: Make) -> None:
    place = make()
    key = f"{place.attempt(0)}/record.json"
    with pytest.raises(Retained):
        place.store.purge(key)
    assert place.store.read(key)


def test_garbage_that_is_locked_is_counted_and_stays(make: Make) -> None:
    place = make(default={"Mode": "GOVERNANCE", "Days": 1})
    digest = place.store.put_bytes(b"of no use")
    ran = place.machine.run("store", "gc", "--grace", "0", "--json")
    assert (ran.code, ran.json["removed"]["blobs"]["count"]) == (0, 0)
    assert ran.json["retained"]["count"] >= 1
    assert place.store.read_blob(digest, 100) == b"of no use"


def test_garbage_in_a_bucket_with_versions_is_gone_with_all_of_them(make: Make) -> None:
    place = make(lock=False)
    key = layout.blob(place.store.put_bytes(b"of no use"))
    place.put(key, b"again")
    place.store.remove(key)
    place.put(key, b"of no use")
    assert len([one for one in place.store.versions(key) if one.id]) == 3
    assert place.machine.run("store", "gc", "--grace", "0", "--json").json["removed"]["blobs"]["count"] == 1
    assert list(place.store.versions(key)) == []
    assert place.wrong() == {}


def test_many_versions_are_listed_page_by_page(make: Make) -> None:
    store = make(lock=False).store
    for number in range(1050):
        store.overwrite(f"{layout.PROBES}/one", b"%d" % number)
    found = [one for one in store.versions(f"{layout.PROBES}/") if one.id]
    with store.open_version(found[0].key, found[0].id) as newest:
        assert newest.read() == b"1049"
    assert len({one.id for one in found}) == 1050
