from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executor.errors import NotFound, Retained, StoreUnreachable, UsageError
from executor.spec.canonical import Digest
from executor.store import layout
from executor.store.retention import DEFAULT, Retention, Rule

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = f"{layout.attempt(Digest.of(b'spec'), 'one')}/record.json"
LOCKED = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}


class Refused(Exception):
    """An error as botocore raises it."""

    def __init__(self, status: int | None, code: str = "") -> None:
        super().__init__(code)
        if status is not None:
            self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


class Client:
    """Answers from a table: request to answer, or to what is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()
        self.deleted: list[str | None] = []

    def _answer(self, name: str) -> Any:
        self.asked.append(name)
        answer = self.answers.get(name, {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_object_lock_configuration(self, **_: Any) -> Any:
        return self._answer("lock")

    def get_bucket_versioning(self, **_: Any) -> Any:
        return self._answer("versioning")

    def list_object_versions(self, **_: Any) -> Any:
        return self._answer("versions")

    def head_object(self, **_: Any) -> Any:
        return self._answer("head")

    def delete_object(self, **request: Any) -> Any:
        if request["VersionId"] in self.answers.get("locked", ()):
            raise Refused(403, "AccessDenied")
        self.deleted.append(request["VersionId"])


class Bucket:
    """A bucket whose requests are tried once."""

    place = "here"

    def __init__(self, client: Client) -> None:
        self.client: Any = client

    def address(self, key: str) -> dict[str, Any]:
        return {"Bucket": "bucket", "Key": f"prefix/{key}"}

    def call(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Refused as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") == "NoSuchKey":
                raise NotFound("no such key") from error
            raise StoreUnreachable("refused") from error

    def once(self, action: Callable[[], Any]) -> None:
        action()

    def size_of(self, key: str) -> int | None:
        return None


def retention(setting: str = "", now: datetime | None = NOW, **answers: Any) -> tuple[Retention, Client]:
    client = Client(**answers)
    return Retention(Bucket(client), setting, lambda: now), client


# Rules ----------------------------------------------------------------------------------------------------------------


def test_a_rule_is_a_mode_and_days() -> None:
    assert Rule.parse("governance:3650d") == DEFAULT
    assert Rule.parse("Compliance:1d") == Rule("COMPLIANCE", 1)
    assert Rule.parse("off") is None


@pytest.mark.parametrize(
    "text", ["on", "governance", "governance:1y", "governance:0d", "compliance:-1d", "governance:1d "]
)
def test_what_is_no_rule_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="no such lock"):
        retention(text)


# Locks ----------------------------------------------------------------------------------------------------------------


def test_evidence_is_locked_by_the_clock_of_the_bucket() -> None:
    found, client = retention(lock=LOCKED)
    for _ in range(3):
        arguments = found.arguments(RECORD)
    assert arguments["ObjectLockMode"] == "GOVERNANCE"
    assert timedelta(0) <= arguments["ObjectLockRetainUntilDate"] - (NOW + timedelta(days=3650)) < timedelta(minutes=1)
    assert client.asked == ["lock"]


@pytest.mark.parametrize(
    "key", [layout.lease(Digest.of(b"s")), layout.blob(Digest.of(b"b")), layout.SWEEP, "v1/keys/a.pem"]
)
def test_nothing_else_is_and_nobody_is_asked(key: str) -> None:
    found, client = retention(lock=LOCKED)
    assert (found.arguments(key), client.asked) == ({}, [])


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"ObjectLockConfiguration": {}},
        Refused(404, "ObjectLockConfigurationNotFoundError"), Refused(404, "NoSuchKey"), Refused(501, "NotImplemented"),
        Refused(403, "AccessDenied"), Refused(400, "InvalidRequest"),
        {"ObjectLockConfiguration": LOCKED["ObjectLockConfiguration"] | {"Rule": {"DefaultRetention": {"Days": 1}}}},
    ],
)  # fmt: skip
def test_where_the_bucket_cannot_or_does_it_by_itself_nothing_is_asked_of_it(answer: Any) -> None:
    assert retention(lock=answer)[0].arguments(RECORD) == {}


@pytest.mark.parametrize("answer", [Refused(503, "SlowDown"), Refused(None)])
def test_a_bucket_that_does_not_answer_is_no_bucket_without_locks(answer: Exception) -> None:
    with pytest.raises(StoreUnreachable):
        retention(lock=answer)[0].arguments(RECORD)


def test_the_user_has_the_last_word() -> None:
    default = {
        "ObjectLockConfiguration": LOCKED["ObjectLockConfiguration"] | {"Rule": {"DefaultRetention": {"Days": 1}}}
    }
    assert retention("compliance:7d", lock=default)[0].arguments(RECORD)["ObjectLockMode"] == "COMPLIANCE"
    assert retention("compliance:7d", lock=Refused(403, "AccessDenied"))[0].arguments(RECORD)
    found, client = retention("off", lock=LOCKED)
    assert (found.arguments(RECORD), client.asked) == ({}, [])


def test_a_lock_that_cannot_be_is_refused_to_who_asks_for_it() -> None:
    with pytest.raises(UsageError, match="bucket has no Object Lock"):
        retention("governance:1d", lock=Refused(404, "ObjectLockConfigurationNotFoundError"))[0].arguments(RECORD)


def test_without_a_clock_nothing_can_be_locked() -> None:
    with pytest.raises(StoreUnreachable, match="does not tell its time"):
        retention(now=None, lock=LOCKED)[0].arguments(RECORD)


# Versions -------------------------------------------------------------------------------------------------------------

TWO = {
    "IsTruncated": False,
    "Versions": [{"Key": "prefix/key", "VersionId": id_, "ETag": id_, "LastModified": NOW} for id_ in ("2", "1")],
    "DeleteMarkers": [{"Key": "prefix/key", "VersionId": "gone", "IsLatest": True, "LastModified": NOW},
                      {"Key": "prefix/key", "VersionId": "old", "IsLatest": False, "LastModified": NOW}],
}  # fmt: skip


def test_versions_begin_with_the_mark_that_the_object_is_removed() -> None:
    found, _ = retention(versioning={"Status": "Suspended"}, versions=TWO)
    assert [(one.key, one.id) for one in found.versions("key")] == [("key", ""), ("key", "2"), ("key", "1")]


@pytest.mark.parametrize("answer", [{}, Refused(501, "NotImplemented"), Refused(403, "AccessDenied")])
def test_a_bucket_without_versions_has_none(answer: Any) -> None:
    found, client = retention(versioning=answer, versions=TWO)
    assert (list(found.versions("")), found.purge("key")) == ([], False)
    assert client.asked == ["versioning"]


def test_what_is_purged_leaves_nothing() -> None:
    found, client = retention(versioning={"Status": "Enabled"}, versions=TWO)
    assert found.purge("key")
    assert client.deleted == ["1", "2", "old", "gone"]


def test_a_longer_key_that_begins_alike_is_another_one() -> None:
    found, client = retention(versioning={"Status": "Enabled"}, versions=TWO)
    assert found.purge("ke")
    assert client.deleted == []


@pytest.mark.parametrize("head", [{"ObjectLockMode": "GOVERNANCE"}, {"ObjectLockLegalHoldStatus": "ON"}])
def test_a_locked_version_is_retained_and_the_newest_stays(head: dict[str, str]) -> None:
    found, client = retention(versioning={"Status": "Enabled"}, versions=TWO, locked=["1"], head=head)
    with pytest.raises(Retained):
        found.purge("key")
    assert client.deleted == []


def test_who_may_not_remove_at_all_is_told_so() -> None:
    found, _ = retention(versioning={"Status": "Enabled"}, versions=TWO, locked=["1"], head={})
    with pytest.raises(StoreUnreachable) as told:
        found.purge("key")
    assert not isinstance(told.value, Retained)
