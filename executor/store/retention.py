"""What a bucket keeps beside its objects: what they were before, and locks on what is written once.

Where Object Lock is enabled, evidence is put with retention: its first content cannot be removed before a date, by
nobody (`compliance`) or only by who may bypass it (`governance`). A put over it is still possible, and is a newer
version on top. How long is for the bucket's own default to say, or else for the setting.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from executor.errors import NotFound, Retained, StoreUnreachable, UsageError
from executor.log import get_logger
from executor.store import layout
from executor.store.multipart import Bucket
from executor.store.objects import Version

SETTING = "EXECUTOR_S3_LOCK"
"""Environment variable: `governance:<days>d`, `compliance:<days>d`, or `off`."""
_RULE = re.compile(r"(governance|compliance):([1-9]\d{0,4})d", re.IGNORECASE)
_ANSWERS_LATER = (408, 429, 502, 503, 504)


@dataclass(frozen=True)
class Rule:
    """How evidence is locked."""

    mode: str
    """`GOVERNANCE` or `COMPLIANCE`."""
    days: int

    @classmethod
    def parse(cls, text: str) -> Rule | None:
        """None for `off`; raises `UsageError` for what is no rule."""
        if text.lower() == "off":
            return None
        match = _RULE.fullmatch(text)
        if not match:
            raise UsageError(f"{SETTING}={text}: no such lock",
                             advice="write governance:3650d, compliance:3650d or off")  # fmt: skip
        return cls(match[1].upper(), int(match[2]))


DEFAULT = Rule("GOVERNANCE", 3650)
"""Where the bucket has Object Lock and neither it nor the user says how long."""


class Retention:
    """The versions and locks of one bucket; it is asked what it has when that is first needed.

    `setting` is the user's word, empty for none; `now` gives the bucket's clock.
    """

    def __init__(self, bucket: Bucket, setting: str, now: Callable[[], datetime | None]) -> None:
        self._bucket, self._now = bucket, now
        self._wanted = Rule.parse(setting) if setting else DEFAULT
        self._insists = bool(setting)

    # Locks ------------------------------------------------------------------------------------------------------------

    def arguments(self, key: str) -> dict[str, Any]:
        """What a put of this key says of its retention; nothing for what is not evidence or not locked."""
        if not layout.is_evidence(key) or self._rule is None:
            return {}
        base, since = self._clock
        until = base + timedelta(seconds=time.monotonic() - since, days=self._rule.days)
        return {"ObjectLockMode": self._rule.mode, "ObjectLockRetainUntilDate": until}

    @cached_property
    def _rule(self) -> Rule | None:
        if self._wanted is None:
            return None
        name = self._bucket.address("")["Bucket"]
        found = self._asked(lambda: self._bucket.client.get_object_lock_configuration(Bucket=name))
        lock = (found or {}).get("ObjectLockConfiguration", {})
        enabled = lock.get("ObjectLockEnabled") == "Enabled"
        if self._insists and found is not None and not enabled:
            raise UsageError(f"{SETTING} is set, and the bucket {name} has no Object Lock",
                             advice=f"make a bucket with Object Lock enabled, or set {SETTING}=off")  # fmt: skip
        if self._insists:
            return self._wanted
        return self._wanted if enabled and not lock.get("Rule") else None

    @cached_property
    def _clock(self) -> tuple[datetime, float]:
        moment = self._now()
        if moment is None:
            raise StoreUnreachable("the store does not tell its time, so nothing can be locked until a date",
                                   advice=f"set {SETTING}=off")  # fmt: skip
        return moment, time.monotonic()

    def _asked(self, request: Callable[[], Any]) -> dict[str, Any] | None:
        """The answer to a question about the bucket: empty when it has none of that, none when we may not ask."""
        try:
            answer: dict[str, Any] = self._bucket.call(request)
        except NotFound:
            return {}
        except StoreUnreachable as error:
            status, code = _refusal(error)
            if status is None or status in _ANSWERS_LATER:
                raise
            get_logger("store").info("the bucket does not say what it keeps", problem=error.message)
            return None if code == "AccessDenied" else {}
        return answer

    # Versions ---------------------------------------------------------------------------------------------------------

    @cached_property
    def versioned(self) -> bool:
        """Whether the bucket keeps, or once kept, what objects were before."""
        name = self._bucket.address("")["Bucket"]
        found = self._asked(lambda: self._bucket.client.get_bucket_versioning(Bucket=name))
        return bool(found and found.get("Status"))

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every content of keys that start so, the newest of each key first; before all a mark that it is removed."""
        at = self._bucket.address(prefix)
        own = len(at["Key"]) - len(prefix)
        for one, mark in self._every(prefix) if self.versioned else ():
            if not mark:
                yield Version(one["Key"][own:], one["VersionId"], one["ETag"], one["LastModified"])
            elif one["IsLatest"]:
                yield Version(one["Key"][own:], "", "", one["LastModified"])

    def _every(self, prefix: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """Versions, and marks of removals, as the bucket lists them; with each whether it is such a mark."""
        at = self._bucket.address(prefix)
        request = {"Bucket": at["Bucket"], "Prefix": at["Key"]}
        more: dict[str, Any] = {}
        while True:
            page = self._bucket.call(partial(self._bucket.client.list_object_versions, **request, **more))
            yield from ((one, True) for one in page.get("DeleteMarkers", ()))
            yield from ((one, False) for one in page.get("Versions", ()))
            if not page["IsTruncated"]:
                return
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def purge(self, key: str) -> bool:
        """Remove every version of a key, the oldest first, and every mark; False where the bucket has none.

        Raises `Retained`, with the newest content still there, when one is locked.
        """
        at = self._bucket.address(key)
        if not self.versioned:
            return False
        mine = [(one, mark) for one, mark in self._every(key) if one["Key"] == at["Key"]]
        mine.reverse()
        for one, _ in sorted(mine, key=lambda pair: pair[1]):
            self._remove(at | {"VersionId": one["VersionId"]})
        return True

    def _remove(self, request: dict[str, Any]) -> None:
        try:
            self._bucket.call(lambda: self._bucket.client.delete_object(**request))
        except StoreUnreachable as error:
            if _refusal(error)[0] == 403 and self._locked(request):
                raise Retained(error.message, advice="it can go when its retention is over") from error
            raise

    def _locked(self, request: dict[str, Any]) -> bool:
        found = self._bucket.call(lambda: self._bucket.client.head_object(**request))
        return bool(found.get("ObjectLockMode")) or found.get("ObjectLockLegalHoldStatus") == "ON"


def _refusal(error: StoreUnreachable) -> tuple[int | None, str]:
    """Status and code with which the server refused; no status when it did not answer."""
    response = getattr(error.__cause__, "response", {})
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode"), response.get("Error", {}).get("Code", "")
