"""A store in a bucket: `s3://bucket/prefix`, on AWS or any S3-compatible server. The only user of boto3.

- Every request is tried a few times, by us and at fixed pauses: botocore does not retry a damaged upload (BadDigest).
- A single put is checked by the server against our sha256, a part against its CRC32; what is read is verified by us.
- Large uploads go part by part, see `multipart`.
- Commits are single conditional puts: the condition of a multipart upload is broken in several servers.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as ConnectionFailed

from executor.errors import NotFound, StoreUnreachable, UsageError
from executor.log import get_logger
from executor.spec.canonical import CHUNK
from executor.store import layout
from executor.store.download import Download
from executor.store.interface import Store
from executor.store.multipart import MULTIPART, Multipart
from executor.store.objects import DOCUMENT_LIMIT, Listed, Seen, Stat, Version
from executor.store.retention import Retention
from executor.store.transfer import Payload, read_at_most

T = TypeVar("T")
PAUSES = (0.1, 0.4, 1.6, 3.2)
"""Seconds before the second and later tries of a request."""
CONNECT_S, READ_S = 5, 20
"""Seconds until a try is given up: without a connection, and without an answer to what was sent."""

_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - where it is, not what it is
_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])(?:/(?P<prefix>.*))?", re.DOTALL)
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "MalformedXML", "RequestTimeout",
     "ConditionalRequestConflict", "OperationAborted"}
)  # fmt: skip
_ABSENT = frozenset({"NoSuchKey", "NoSuchUpload", "404", "NotFound"})
_WRONG_KEYS = "the access key or its secret is wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_NOT_ALLOWED = "these credentials may not do this: they need to get, put, delete and list objects in this bucket"
_ADVICE = {
    "NoSuchBucket": "there is no such bucket: create it, or check the name in the store's URL and the endpoint",
    "InvalidAccessKeyId": _WRONG_KEYS,
    "SignatureDoesNotMatch": _WRONG_KEYS,
    "AccessDenied": _NOT_ALLOWED,
    "403": _NOT_ALLOWED,
    "RequestTimeTooSkewed": "this machine's clock and the store's are more than 15 minutes apart: set the clock",
    "ExpiredToken": "the credentials have expired: get new ones",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
}


def open_s3(
    url: str, env: Mapping[str, str], pauses: Sequence[float] = PAUSES, *, journal: Path | None = None
) -> S3Store:
    """Store of an `s3://bucket/prefix` URL; endpoint and credentials from `env`, else where botocore finds them.

    Large uploads that are cut off go on at the next try when there is a folder for their `journal`.
    """
    match = _URL.fullmatch(url)
    prefix = (match["prefix"] or "").rstrip("/") if match else ""
    bucket = url.removeprefix("s3://").split("/")[0]
    if url.startswith("s3://") and 0 < len(bucket) < 3:
        raise UsageError(f"{url!r} is not the URL of a bucket: the name {bucket!r} is too short",
                         advice="a bucket's name has at least 3 characters")  # fmt: skip
    if not match or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise UsageError(f"{url!r} is not the URL of a bucket", advice="write s3://bucket or s3://bucket/prefix")
    return S3Store(match["bucket"], prefix, env, pauses, journal)


def _client(env: Mapping[str, str]) -> Any:
    endpoint = env.get("EXECUTOR_S3_ENDPOINT") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else None)
    session = boto3.session.Session(
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID") or None,
        aws_secret_access_key=env.get(_SECRET) or None,
        aws_session_token=env.get("AWS_SESSION_TOKEN") or None,
        region_name=region,
    )
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=64,
        request_checksum_calculation="when_supported",
        response_checksum_validation="when_required",  # ours is by sha256, and ranged reads would fail theirs
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


class S3Store(Store):
    """A bucket, or what lies below a prefix in it. Safe to use from several threads."""

    def __init__(
        self, bucket: str, prefix: str, env: Mapping[str, str], pauses: Sequence[float] = PAUSES,
        journal: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}")
        self._bucket, self._pauses = bucket, pauses
        self._prefix = f"{prefix}/" if prefix else ""
        self._bucket_seen = False
        try:
            self._s3 = _client(env)
        except (BotoCoreError, ValueError) as error:
            raise StoreUnreachable(f"{self.url}: {error}", advice="check the endpoint and the AWS profile") from error
        self._stranger = {**env, _SECRET: f"{env[_SECRET]}x"} if env.get(_SECRET) else None
        self._multipart = Multipart(_Parts(self), journal)
        self._kept = Retention(_Parts(self), env.get("EXECUTOR_S3_LOCK", ""), self.server_time)

    def create_bucket(self) -> None:
        """Make the bucket; no error when it is ours already."""
        try:
            self._call(lambda: self._s3.create_bucket(Bucket=self._bucket))
        except StoreUnreachable as error:
            if _code(error.__cause__) != "BucketAlreadyOwnedByYou":
                raise

    # Primitives ---------------------------------------------------------------------------------------------------

    def _open(self, key: str) -> BinaryIO:
        return io.BufferedReader(Download(lambda start: self._get(key, start), self._call), CHUNK)

    def _get(self, key: str, start: int, **version: str) -> Any:
        extra = {"Range": f"bytes={start}-"} if start else {}
        return self._s3.get_object(**self._at(key), **version, **extra)["Body"]

    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_version} if if_version is not None else {}
        if payload.size <= MULTIPART:
            condition |= self._kept.arguments(key)
            return self._call(lambda: self._put_once(key, payload, condition))
        if condition:
            raise ValueError(f"{key}: too large for a conditional put")
        self._multipart.send(key, payload)
        return True

    def _put_once(self, key: str, payload: Payload, condition: Mapping[str, str]) -> bool:
        checksum = base64.b64encode(bytes.fromhex(payload.digest.hex)).decode()
        with payload.open() as stream:
            body = stream.read()
        try:
            self._s3.put_object(**self._at(key), Body=body, ChecksumSHA256=checksum, **condition)
        except ClientError as error:
            if _status(error) == 412 or (_status(error) == 404 and "IfMatch" in condition):
                return False
            raise
        return True

    def _stat(self, key: str) -> Stat | None:
        try:
            found = self._call(lambda: self._s3.head_object(**self._at(key)))
        except NotFound:
            return None
        return Stat(int(found["ContentLength"]), found["LastModified"], found["ETag"])

    def _list(self, prefix: str, *, deep: bool) -> Iterator[Listed]:
        request = {"Bucket": self._bucket, "Prefix": self._prefix + prefix} | ({} if deep else {"Delimiter": "/"})
        while True:
            page = self._call(lambda: self._s3.list_objects_v2(**request))
            for item in page.get("Contents", ()):
                yield Listed(item["Key"].removeprefix(self._prefix), item["Size"], item["LastModified"])
            for item in page.get("CommonPrefixes", ()):
                yield Listed(item["Prefix"].removeprefix(self._prefix))
            if not page["IsTruncated"]:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _delete(self, key: str) -> None:
        self._call(lambda: self._s3.delete_object(**self._at(key)))

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Every content of keys that start so, in a bucket with versions."""
        return self._kept.versions(prefix)

    def open_version(self, key: str, version: str) -> BinaryIO:
        """Bytes of one version."""
        get = functools.partial(self._get, key, VersionId=version)
        return io.BufferedReader(Download(get, self._call), CHUNK)

    def purge(self, key: str) -> None:
        """Remove an object with its versions; raises `Retained`."""
        if not self._kept.purge(key):
            self._delete(key)

    def document(self, key: str) -> tuple[bytes, str]:
        """Bytes and version of a small object, from one answer; raises `NotFound`."""

        def get() -> tuple[bytes, str]:
            answer = self._s3.get_object(**self._at(key))
            return read_at_most(answer["Body"], f"{self.url}/{key}", DOCUMENT_LIMIT), answer["ETag"]

        return self._call(get)

    def abort_stale(self, before: datetime) -> int:
        """End uploads in parts that nobody will go on with."""
        return self._multipart.abort_stale(f"{layout.BLOBS}/", before)

    def server_time(self) -> datetime | None:
        """The server's clock, from the date of its answer."""
        answer = self._call(self._look)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(date) if date else None

    @property
    def place(self) -> str:
        """The bucket at its server."""
        return f"{self._s3.meta.endpoint_url}/{self._bucket}/{self._prefix}"

    def trials(self) -> Mapping[str, Callable[[str], Seen]]:
        """What only S3 has."""
        from executor.store.s3_probe import S3Trials  # only who examines a store needs it

        stranger = _client(self._stranger) if self._stranger else None
        return S3Trials(self._s3, stranger, self._at, _refusal).by_name(self._call)

    # The border ---------------------------------------------------------------------------------------------------

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _look(self) -> Any:
        return self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def _call(self, action: Callable[[], T]) -> T:
        """Try `action` until it answers or the pauses are used up; its errors become ours."""
        for again, pause in enumerate((*self._pauses, None), start=1):
            try:
                return action()
            except (ClientError, BotoCoreError) as error:
                if pause is None or not is_transient(error):
                    raise self._ours(error) from error
                problem = f"answers {_code(error)}" if isinstance(error, ClientError) else "does not answer"
                get_logger("store").warning(
                    f"the store {problem}, trying again ({again} of {len(self._pauses)})",
                    problem=str(error),
                    url=self.url,
                )
            time.sleep(pause)
        raise AssertionError("the last pause is None")

    def _ours(self, error: Exception) -> NotFound | StoreUnreachable:
        if _code(error).isdigit() and not (_code(error) == "404" and self._bucket_seen):
            error = self._why(error)
        if _code(error) in _ABSENT:
            return NotFound(f"{self.url}: not in the store")
        return StoreUnreachable(f"{self.url}: {error}", advice=advice_for(error))

    def _why(self, error: Exception) -> Exception:
        """The answer to HEAD has no body, and is 404 without a bucket too: ask again in a way that says why."""
        for pause in (*self._pauses, None):
            try:
                self._look()
            except (ClientError, BotoCoreError) as reason:
                if pause is None or not is_transient(reason):
                    why: Exception = reason
                    return why
                time.sleep(pause)
            else:
                break
        self._bucket_seen = True
        return error


class _Parts:
    """The bucket, as `multipart` asks it."""

    def __init__(self, store: S3Store) -> None:
        self.client, self.place = store._s3, store.place
        self.address, self.call, self.size_of = store._at, store._call, store._size

    def once(self, action: Callable[[], Any]) -> None:
        """No news of a request whose fate changes nothing."""
        with suppress(ClientError, BotoCoreError):
            action()


def _code(error: object) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refusal(action: Callable[[], Any]) -> str:
    """The code with which the store refuses, empty when it does not; what may succeed later is raised."""
    try:
        action()
    except ClientError as error:
        if _status(error) in _TRANSIENT_STATUS:
            raise
        return _code(error) or str(_status(error))
    return ""


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, ClientError):
        return _status(error) in _TRANSIENT_STATUS or _code(error) in _TRANSIENT_CODES
    return isinstance(error, (ConnectionFailed, HTTPClientError, IncompleteReadError, ResponseStreamingError))


def advice_for(error: Exception) -> str:
    """What to do about an error of S3, in one sentence."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or configure an AWS profile"
    if isinstance(error, (ConnectionFailed, HTTPClientError)):
        return "nothing answers there: check that the server runs, its endpoint (EXECUTOR_S3_ENDPOINT) and the network"
    if isinstance(error, ClientError) and _status(error) >= 500:
        return "the store has trouble of its own: try again later"
    return _ADVICE.get(_code(error), "`executor doctor` looks at the store step by step")
