"""Trials that only S3 stands; `probe` says what each is for. They ask through the store's own client."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from executor.store.objects import Seen

Address = Callable[[str], dict[str, Any]]
Refusal = Callable[[Callable[[], Any]], str]
"""The code with which an action is refused, empty when it is not."""


class S3Trials:
    """`client` is the store's, `stranger` one with a wrong secret; `address` gives bucket and key of ours."""

    def __init__(self, client: Any, stranger: Any, address: Address, refusal: Refusal) -> None:
        self._client, self._stranger, self._address, self._refusal = client, stranger, address, refusal

    def by_name(self, call: Callable[[Callable[[], Seen]], Seen]) -> Mapping[str, Callable[[str], Seen]]:
        """The trials, by capability; each takes a prefix, and runs within `call`, which tries again what failed."""
        return {
            "checksum": lambda prefix: call(lambda: self._checksum(f"{prefix}/checksum")),
            "range": lambda prefix: call(lambda: self._range(f"{prefix}/range")),
            "credentials": lambda _: call(self._credentials),
            "multipart": lambda prefix: call(lambda: self._multipart(f"{prefix}/multipart")),
            "delete": lambda prefix: call(lambda: self._delete(f"{prefix}/delete")),
            "versioning": lambda _: call(self._versioning),
            "lock": lambda _: call(self._lock),
        }

    def _checksum(self, key: str) -> Seen:
        other = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
        at = self._address(key)
        code = self._refusal(lambda: self._client.put_object(**at, Body=b"bytes", ChecksumSHA256=other))
        if not code:
            return Seen(False, "it was accepted: checksums are not looked at")
        stored = not self._refusal(lambda: self._client.head_object(**at))
        return Seen(not stored, f"refused ({code})" + (", but stored" if stored else ""))

    def _range(self, key: str) -> Seen:
        at = self._address(key)
        self._client.put_object(**at, Body=b"0123456789")
        found = self._client.get_object(**at, Range="bytes=3-5")["Body"].read()
        return Seen(found == b"345", "read as asked" if found == b"345" else f"bytes 3 to 5 came as {found[:20]!r}")

    def _credentials(self) -> Seen:
        if self._stranger is None:
            return Seen(None, "not tried: the secret is not in the environment")
        bucket = self._address("")["Bucket"]
        code = self._refusal(lambda: self._stranger.list_objects_v2(Bucket=bucket, MaxKeys=1))
        return Seen(bool(code), f"refused ({code})" if code else "any secret is accepted")

    def _multipart(self, key: str) -> Seen:
        at = self._address(key)
        upload = at | {"UploadId": self._client.create_multipart_upload(**at)["UploadId"]}
        try:
            self._client.upload_part(**upload, PartNumber=1, Body=b"part")
        finally:
            self._client.abort_multipart_upload(**upload)
        left = not self._refusal(lambda: self._client.list_parts(**upload))
        stored = not self._refusal(lambda: self._client.head_object(**at))
        if left or stored:
            return Seen(False, "its parts are still there" if left else "there is an object")
        return Seen(True, "nothing is left")

    def _delete(self, key: str) -> Seen:
        at = self._address(key)
        self._client.put_object(**at, Body=b"bytes")
        code = self._refusal(lambda: self._client.delete_object(**at, IfMatch=f'"{"0" * 32}"'))
        kept = not self._refusal(lambda: self._client.head_object(**at))
        return Seen(kept, f"refused ({code})" if kept and code else "not refused" if kept else "deleted all the same")

    def _versioning(self) -> Seen:
        bucket, found = self._address("")["Bucket"], {}
        code = self._refusal(lambda: found.update(self._client.get_bucket_versioning(Bucket=bucket)))
        return Seen(None if code else found.get("Status") == "Enabled", code or found.get("Status", "off").lower())

    def _lock(self) -> Seen:
        bucket, found = self._address("")["Bucket"], {}
        code = self._refusal(lambda: found.update(self._client.get_object_lock_configuration(Bucket=bucket)))
        on = found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
        return Seen(None if code else on, "enabled" if on else f"off ({code})" if code else "off")
