"""The feed of a store: which attempts came, hour by hour, so that what is new is found without listing every run.

    v1/changes/<YYYYMMDD>/<HH>/<spec hash>/<attempt>

An attempt is announced before its record is put: whoever dies in between leaves an announcement without a record, never
a record without an announcement. The objects are empty, their keys say all; they are never removed. The hour is that of
the announcer's clock, which S3 allows to be a quarter of an hour wrong: readers look back two hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from executor.spec.canonical import Digest
from executor.store import layout
from executor.store.interface import Store
from executor.store.transfer import in_threads

CHANGES = "v1/changes"
LOOK_BACK = timedelta(hours=2)
"""How far before the newest announcement that is known a reader looks again."""
START = "0000000000"
"""Before every hour that anything was announced in, written `YYYYMMDDHH`."""
_CHANGE = re.compile(rf"{CHANGES}/(\d{{8}}/\d\d)/([0-9a-f]{{64}})/({layout.ATTEMPT.pattern})")
_HOUR = "%Y%m%d/%H"
_AT_ONCE = 8


class Key(NamedTuple):
    """Which attempt."""

    spec: str
    """Spec hash, 64 hex digits."""
    attempt: str


class Change(NamedTuple):
    """One announcement."""

    hour: str
    """`YYYYMMDD/HH`, UTC."""
    key: Key


def announce(store: Store, spec_hash: Digest, attempt: str, now: datetime) -> None:
    """Say that a record is about to be put; raises `StoreUnreachable`, and then the record must not be put either."""
    layout.attempt(spec_hash, attempt)  # refuses what is not an id
    store.create(f"{CHANGES}/{now.astimezone(UTC):{_HOUR}}/{spec_hash.hex}/{attempt}", b"")


def announced(store: Store, since: str = "") -> list[Change]:
    """What was announced from an hour on, and in the two hours before it; all that ever was without one."""
    start = earlier(since, LOOK_BACK) if since else ""
    prefixes: list[str] = []
    for day in _folders(store, f"{CHANGES}/"):
        if day[-9:-1] > start[:8]:
            prefixes.append(day)
        elif day[-9:-1] == start[:8]:
            prefixes += [hour for hour in _folders(store, day) if hour[-3:-1] >= start[9:]]
    listed = in_threads(lambda prefix: list(store.objects(prefix)), prefixes, _AT_ONCE)
    matches = (_CHANGE.fullmatch(one.key) for part in listed for one in part)
    return sorted(Change(match[1], Key(match[2], match[3])) for match in matches if match)


def earlier(hour: str, by: timedelta) -> str:
    """The hour that was so long before."""
    return f"{datetime.strptime(hour, _HOUR).replace(tzinfo=UTC) - by:{_HOUR}}"


def _folders(store: Store, prefix: str) -> Iterator[str]:
    return (one.key for one in store._list(prefix, deep=False) if one.key.endswith("/"))
