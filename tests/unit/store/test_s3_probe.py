"""The real client and its border, against answers of a server that does some things and not others."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from executor.errors import StoreUnreachable
from executor.store.objects import Seen
from executor.store.s3 import open_s3

ENV = {"EXECUTOR_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
Answer = Callable[..., Any]


def refuse(status: int, code: str) -> Answer:
    def answer(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "x")

    return answer


def give(**answer: Any) -> Answer:
    return lambda **_: answer


class Client:
    """Answers as it was told to; what it was not told succeeds."""

    def __init__(self, **answers: Answer) -> None:
        self._answers, self.meta = answers, SimpleNamespace(endpoint_url="http://127.0.0.1:9")
        self.asked: list[str] = []

    def __getattr__(self, verb: str) -> Answer:
        def ask(**request: Any) -> Any:
            self.asked.append(verb)
            return self._answers.get(verb, give(UploadId="u", ETag="e"))(**request)

        return ask


ABSENT, DAMAGED = refuse(404, "404"), refuse(400, "BadDigest")


def tried(name: str, **answers: Answer) -> Seen:
    store = open_s3("s3://bucket/prefix", ENV, pauses=())
    store._s3 = Client(**answers)
    return store.trials()[name]("v1/probes/a")


@pytest.mark.parametrize(
    ("name", "answers", "seen"),
    [
        ("checksum", {"put_object": DAMAGED, "head_object": ABSENT}, Seen(True, "refused (BadDigest)")),
        ("checksum", {}, Seen(False, "it was accepted: checksums are not looked at")),
        ("checksum", {"put_object": DAMAGED}, Seen(False, "refused (BadDigest), but stored")),
        ("range", {"get_object": lambda **_: {"Body": io.BytesIO(b"345")}}, Seen(True, "read as asked")),
        ("range", {"get_object": lambda **_: {"Body": io.BytesIO(b"0123456789")}},
         Seen(False, "bytes 3 to 5 came as b'0123456789'")),
        ("multipart", {"list_parts": ABSENT, "head_object": ABSENT}, Seen(True, "nothing is left")),
        ("multipart", {"head_object": ABSENT}, Seen(False, "its parts are still there")),
        ("multipart", {"list_parts": refuse(404, "NoSuchUpload")}, Seen(False, "there is an object")),
        ("delete", {"delete_object": refuse(412, "PreconditionFailed")}, Seen(True, "refused (PreconditionFailed)")),
        ("delete", {"head_object": ABSENT}, Seen(False, "deleted all the same")),
        ("delete", {}, Seen(True, "not refused")),
        ("versioning", {"get_bucket_versioning": give(Status="Enabled")}, Seen(True, "enabled")),
        ("versioning", {"get_bucket_versioning": give()}, Seen(False, "off")),
        ("versioning", {"get_bucket_versioning": refuse(501, "NotImplemented")}, Seen(None, "NotImplemented")),
        ("lock", {"get_object_lock_configuration": give(ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})},
         Seen(True, "enabled")),
        ("lock", {"get_object_lock_configuration": refuse(404, "NoLock")}, Seen(None, "off (NoLock)")),
        ("lock", {"get_object_lock_configuration": give()}, Seen(False, "off")),
    ],
)  # fmt: skip
def test_what_is_made_of_an_answer(name: str, answers: dict[str, Answer], seen: Seen) -> None:
    assert tried(name, **answers) == seen


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        ({"list_objects_v2": refuse(403, "SignatureDoesNotMatch")}, Seen(True, "refused (SignatureDoesNotMatch)")),
        ({}, Seen(False, "any secret is accepted")),
    ],
)
def test_a_wrong_secret(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer], seen: Seen) -> None:
    made: list[str] = []

    def client(env: dict[str, str]) -> Client:
        made.append(env["AWS_SECRET_ACCESS_KEY"])
        return Client(**answers)

    monkeypatch.setattr("executor.store.s3._client", client)
    assert open_s3("s3://bucket", ENV, pauses=()).trials()["credentials"]("v1/probes/a") == seen
    assert made == ["b", "bx"]


def test_a_secret_that_is_not_in_the_environment_is_nobodys_to_change() -> None:
    store = open_s3("s3://bucket", {"EXECUTOR_S3_ENDPOINT": "http://127.0.0.1:9"}, pauses=())
    assert store.trials()["credentials"]("v1/probes/a").good is None


@pytest.mark.parametrize("name", ["checksum", "range", "multipart", "delete", "versioning", "lock"])
def test_trouble_of_the_server_is_no_answer(name: str) -> None:
    trouble = refuse(503, "SlowDown")
    verbs = ("put_object", "create_multipart_upload", "get_bucket_versioning", "get_object_lock_configuration")
    with pytest.raises(StoreUnreachable, match="SlowDown"):
        tried(name, **dict.fromkeys(verbs, trouble))


def test_an_upload_is_given_up_whatever_comes_of_its_parts() -> None:
    store = open_s3("s3://bucket", ENV, pauses=())
    store._s3 = client = Client(upload_part=refuse(500, "InternalError"))
    with pytest.raises(StoreUnreachable):
        store.trials()["multipart"]("v1/probes/a")
    assert client.asked[-1] == "abort_multipart_upload"
