from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from executor.errors import StoreUnreachable, UsageError
from executor.store import s3
from executor.store.s3 import advice_for, is_transient, open_s3
from executor.store.transfer import Payload

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


def test_a_name_that_is_too_short_is_said() -> None:
    with pytest.raises(UsageError, match="the name 'b' is too short"):
        open_s3("s3://b/prefix", ENV)


# Patience -------------------------------------------------------------------------------------------------------------


@contextmanager
def server(answers: bool) -> Iterator[dict[str, str]]:
    """Takes uploads slowly, a piece at a time; then answers, or leaves it at that."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve(connection: socket.socket) -> None:
            with connection, connection.makefile("rb") as stream:
                head = b"".join(iter(stream.readline, b"\r\n")).lower()
                left = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                if b"100-continue" in head:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while left and (piece := stream.read1(131_072)):
                    left -= len(piece)
                    time.sleep(0.01)
                if answers:
                    connection.sendall(
                        b'HTTP/1.1 200 OK\r\nETag: "x"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
                    )
                else:
                    stream.read()

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield ENV | {"EXECUTOR_S3_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        listener.shutdown(socket.SHUT_RDWR)


def test_one_operation_gives_up_in_about_two_minutes() -> None:
    assert sum(s3.PAUSES) + (len(s3.PAUSES) + 1) * max(s3.CONNECT_S, s3.READ_S) < 120


def test_a_slow_upload_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CONNECT_S", 1)
    monkeypatch.setattr(s3, "READ_S", 1)  # what the kernel has taken and not yet sent counts: some MiB
    data = bytes(24 << 20)
    with server(answers=True) as env:
        store = open_s3("s3://bucket", env, pauses=())
        began = time.monotonic()
        store._put("key", Payload.of_bytes(data, "key"), if_absent=False)
        assert time.monotonic() - began > s3.READ_S
        part = {"Bucket": "bucket", "Key": "key", "UploadId": "u", "PartNumber": 1, "ChecksumAlgorithm": "CRC32"}
        assert store._s3.upload_part(**part, Body=data)["ETag"] == '"x"'


def test_a_store_that_hangs_is_given_up_and_every_try_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(s3, "READ_S", 0.1)
    with server(answers=False) as env, pytest.raises(StoreUnreachable) as caught:
        open_s3("s3://bucket", env, pauses=(0, 0))._put("key", Payload.of_bytes(b"x", "key"), if_absent=False)
    assert "nothing answers there" in caught.value.advice
    assert capsys.readouterr().err.splitlines() == [
        f"warning: the store does not answer, trying again ({n} of 2)" for n in (1, 2)
    ]
