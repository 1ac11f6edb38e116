from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from executor.errors import UsageError
from executor.store.s3 import advice_for, is_transient, open_s3

ENV = {"EXECUTOR_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(
    "error",
    [
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        answer(400, "BadDigest"),
        answer(400, "RequestTimeout"),
        answer(409, "ConditionalRequestConflict"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
        ReadTimeoutError(endpoint_url="http://127.0.0.1:9"),
    ],
)
def test_tried_again(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        answer(403, "AccessDenied"),
        answer(403, "SignatureDoesNotMatch"),
        answer(404, "NoSuchKey"),
        answer(404, "NoSuchBucket"),
        answer(412, "PreconditionFailed"),
        answer(409, "BucketAlreadyOwnedByYou"),
        NoCredentialsError(),
    ],
)
def test_not_tried_again(error: Exception) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (answer(404, "NoSuchBucket"), "no such bucket"),
        (answer(403, "InvalidAccessKeyId"), "access key"),
        (answer(403, "SignatureDoesNotMatch"), "access key"),
        (answer(403, "AccessDenied"), "may not"),
        (answer(403, "RequestTimeTooSkewed"), "15 minutes"),
        (answer(400, "ExpiredToken"), "expired"),
        (answer(503, "SlowDown"), "try again later"),
        (EndpointConnectionError(endpoint_url="http://x"), "nothing answers"),
        (NoCredentialsError(), "no credentials"),
    ],
)
def test_every_cause_has_its_own_advice(error: Exception, word: str) -> None:
    assert word in advice_for(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert open_s3(url, ENV).url == shown


@pytest.mark.parametrize("url", ["s3://", "s3:bucket", "s3://b", "s3:///a", "s3://bucket/a//b", "s3://bucket/../b"])
def test_urls_that_name_no_bucket(url: str) -> None:
    with pytest.raises(UsageError, match="URL of a bucket"):
        open_s3(url, ENV)
