"""The store: one interface, every verb that all backends share.

A backend gives the five primitives of `ObjectStore`; idempotence, verification and "first one wins" are written here
once. Contents first, record last, nothing overwritten.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.spec.canonical import SPEC_TAG, Digest, sealed, unsealed
from executor.store import layout
from executor.store.objects import ObjectStore
from executor.store.transfer import (
    Payload,
    Progress,
    in_threads,
    look_twice,
    one_at_a_time,
    read_at_most,
    verified,
    write_whole,
)

_SMALL, _SMALL_WORKERS, _LARGE_WORKERS = 1 << 20, 32, 4
_LIST_FROM = 300
"""From this many blobs on, listing the shards is faster than asking for each."""


@dataclass(frozen=True)
class StoreCheck:
    """What a store can do, as tried on it."""

    url: str
    reachable: bool
    writable: bool
    conditional: bool
    """Whether a put that must not overwrite is refused; without it two runs could both become the reference."""
    clock_skew_s: float | None = None
    """Our clock minus the store's, in seconds; none when the store does not tell its time."""
    problem: str = ""
    """What went wrong, when something did."""
    advice: str = ""


class Store(ObjectStore):
    """Where specs, records, logs and blobs are kept."""

    # Blobs --------------------------------------------------------------------------------------------------------

    def put_blob(self, path: Path, digest: Digest, size: int, *, progress: Progress | None = None) -> None:
        """Keep a file under its digest; `CorruptObject` when the file no longer has that digest."""
        self.put_blobs([(path, digest, size)], progress)

    def put_bytes(self, data: bytes) -> Digest:
        """Keep bytes under their digest."""
        payload = Payload.of_bytes(data, "bytes in memory")
        if self.blob_size(payload.digest) != payload.size:
            self._send(payload)
        return payload.digest

    def put_blobs(self, items: Iterable[tuple[Path, Digest, int]], progress: Progress | None = None) -> None:
        """Keep many files (path, digest, size); what is there already is not sent, equal contents are sent once."""
        tell, uploads = one_at_a_time(progress), []
        by_digest = [(digest, size, path) for path, digest, size in items]
        missing = set(self.missing_blobs({digest: size for digest, size, _ in by_digest}))
        for digest, size, path in by_digest:
            if digest in missing:
                missing.remove(digest)
                uploads.append(Payload.of_file(path, digest, size, tell))
            else:
                tell(size)
        in_threads(self._send, (upload for upload in uploads if upload.size <= _SMALL), _SMALL_WORKERS)
        in_threads(self._send, (upload for upload in uploads if upload.size > _SMALL), _LARGE_WORKERS)

    def put_stream(self, digest: Digest, size: int, source: Callable[[], BinaryIO], name: str) -> None:
        """Keep what `source` gives, anew for every try, under its digest, whatever is there; verified on its way.

        Raises `CorruptObject` when it gives other bytes; `name` is what the error calls it.
        """
        look_twice(lambda: self._send(Payload(source, name, digest, size)))

    def abort_stale(self, before: datetime) -> int:  # noqa: ARG002 - for those that override it
        """End uploads that nobody will go on with; returns how many.

        Those of this machine whose blob is stored by now or that were last worked on before `before`, and those of
        others that began before it. A store whose uploads leave nothing behind has none.
        """
        return 0

    def _send(self, payload: Payload) -> None:
        self._put(layout.blob(payload.digest), payload)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Stream that raises `CorruptObject` at its end when the bytes are wrong; read it until it gives nothing."""
        key = layout.blob(digest)
        return verified(self._open(key), f"{self.url}/{key}", digest)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """Write a blob to `target`: verified, on disk and renamed into place, or not there."""

        def fetch() -> None:
            with self.open_blob(digest) as stream:
                write_whole(target, stream)

        look_twice(fetch)

    def read_blob(self, digest: Digest, limit: int) -> bytes:
        """Verified bytes of a blob of at most `limit` bytes; a larger one is a `UsageError`."""

        def fetch() -> bytes:
            with self.open_blob(digest) as stream:
                return read_at_most(stream, f"{self.url}/{layout.blob(digest)}", limit)

        return look_twice(fetch)

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob of that digest is there."""
        return self.blob_size(digest) is not None

    def blob_size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None when it is absent."""
        return self._size(layout.blob(digest))

    def missing_blobs(self, sizes: Mapping[Digest, int]) -> list[Digest]:
        """Those that are absent or have another size; few requests even for many blobs."""
        if len(sizes) < _LIST_FROM:
            found = dict(zip(sizes, in_threads(self.blob_size, sizes, _SMALL_WORKERS), strict=True))
            return [digest for digest, size in sizes.items() if found[digest] != size]
        shards = sorted({f"{layout.BLOBS}/{digest.hex[:2]}/" for digest in sizes})
        listed = itertools.chain(*in_threads(lambda shard: list(self._list(shard, deep=True)), shards, 8))
        present = {one.key: one.size for one in listed}
        return [digest for digest, size in sizes.items() if present.get(layout.blob(digest)) != size]

    # Specs, records, references -----------------------------------------------------------------------------------

    def put_spec(self, spec_hash: Digest, data: bytes) -> None:
        """Keep a spec's canonical bytes; a `ValueError` when they are not the bytes of that hash."""
        if Digest.of(SPEC_TAG + data) != spec_hash:
            raise ValueError(f"not the canonical bytes of spec {spec_hash.hex}")
        key = f"{layout.run(spec_hash)}/spec.json"
        look_twice(lambda: self._checked_spec(key, spec_hash, self._create(key, data)))

    def get_spec(self, spec_hash: Digest) -> bytes:
        """The canonical bytes of a spec, checked against its hash; raises `NotFound`, `CorruptObject`."""
        key = f"{layout.run(spec_hash)}/spec.json"
        return look_twice(lambda: self._checked_spec(key, spec_hash, self._read(key)))

    def _checked_spec(self, key: str, spec_hash: Digest, data: bytes) -> bytes:
        if (observed := Digest.of(SPEC_TAG + data)) != spec_hash:
            raise CorruptObject(f"{self.url}/{key}", expected=str(spec_hash), observed=str(observed))
        return data

    def spec_hashes(self, prefix: str = "") -> Iterator[Digest]:
        """Hashes of the specs that have anything stored, those that start with `prefix` (hex digits), in any order."""
        if not re.fullmatch(r"[0-9a-f]{0,64}", prefix):
            return
        for one in self._list(f"{layout.RUNS}/{prefix}", deep=False):
            with suppress(ValueError):  # whatever else lies there is not ours
                yield Digest(one.key.removeprefix(f"{layout.RUNS}/").removesuffix("/"))

    def put_record(self, spec_hash: Digest, attempt: str, data: bytes) -> None:
        """Keep an attempt's record: the same bytes again are fine, others are a `UsageError`."""
        self._create_same(f"{layout.attempt(spec_hash, attempt)}/record.json", data)

    def get_record(self, spec_hash: Digest, attempt: str) -> bytes:
        """The record of an attempt; raises `NotFound`."""
        return self._read(f"{layout.attempt(spec_hash, attempt)}/record.json")

    def attempts(self, spec_hash: Digest) -> list[str]:
        """Ids of the finished attempts (those with a record), sorted."""
        return self._attempts(spec_hash)[0]

    def live_attempts(self, spec_hash: Digest) -> list[str]:
        """Ids of attempts that have left log lines and no record: running, or lost."""
        return self._attempts(spec_hash)[1]

    def _attempts(self, spec_hash: Digest) -> tuple[list[str], list[str]]:
        folder = f"{layout.run(spec_hash)}/attempts/"
        keys = (one.key for one in self._list(folder, deep=False))
        names = (key[len(folder) : -1] for key in keys if key.endswith("/"))
        ids = sorted(name for name in names if layout.ATTEMPT.fullmatch(name))  # anybody may put a key there
        sizes = in_threads(lambda name: self._size(f"{folder}{name}/record.json"), ids, 8)
        records = dict(zip(ids, sizes, strict=True))
        return [name for name in ids if records[name] is not None], [name for name in ids if records[name] is None]

    def attempt_url(self, spec_hash: Digest, attempt: str) -> str:
        """Where everything about an attempt lies."""
        return f"{self.url}/{layout.attempt(spec_hash, attempt)}"

    def put_reference(self, spec_hash: Digest, attempt: str) -> str:
        """Name the reference attempt of a spec unless it has one; returns the id that is the reference now."""
        layout.attempt(spec_hash, attempt)  # refuses what is not an id
        key = f"{layout.run(spec_hash)}/reference.json"
        return look_twice(lambda: self._reference(key, self._create(key, sealed({"attempt": attempt}))))

    def reference(self, spec_hash: Digest) -> str | None:
        """Id of the reference attempt, None when no attempt has succeeded yet."""
        key = f"{layout.run(spec_hash)}/reference.json"
        try:
            return look_twice(lambda: self._reference(key, self._read(key)))
        except NotFound:
            return None

    def _reference(self, key: str, data: bytes) -> str:
        try:
            attempt = json.loads(self._unsealed(key, data))["attempt"]
        except (ValueError, TypeError, KeyError):
            attempt = None
        if not isinstance(attempt, str) or not layout.ATTEMPT.fullmatch(attempt):
            raise CorruptObject(f"{self.url}/{key}", expected='{"attempt": id}', observed=repr(data[:80]))
        return attempt

    def _unsealed(self, key: str, data: bytes) -> bytes:
        body, expected, observed = unsealed(data)
        if expected != observed:
            raise CorruptObject(f"{self.url}/{key}", expected=str(expected), observed=str(observed))
        return body

    def put_diagnosis(self, spec_hash: Digest, attempt: str, data: bytes) -> None:
        """Keep what a diagnosis of an attempt found, beside its record; the first one stays."""
        self._create(f"{layout.attempt(spec_hash, attempt)}/diagnosis.json", data)

    def diagnosis(self, spec_hash: Digest, attempt: str) -> bytes | None:
        """What a diagnosis of an attempt found; none when there was none."""
        key = f"{layout.attempt(spec_hash, attempt)}/diagnosis.json"
        try:
            return look_twice(lambda: self._unsealed(key, self._read(key)))
        except NotFound:
            return None

    # Logs ---------------------------------------------------------------------------------------------------------

    def put_log(self, spec_hash: Digest, attempt: str, segment: int, data: bytes) -> None:
        """Keep one segment of a running attempt's log; segments are numbered from 0 without a gap."""
        self._create_same(layout.log(spec_hash, attempt, segment), data)

    def log_segments(self, spec_hash: Digest, attempt: str, start: int = 0) -> Iterator[bytes]:
        """The segments from number `start` on, in order, up to the last one that is there now."""
        for segment in itertools.count(start):
            try:
                yield self._read(layout.log(spec_hash, attempt, segment))
            except NotFound:
                return

    # Can it be used ------------------------------------------------------------------------------------------------

    def check(self, now: datetime) -> StoreCheck:
        """Try what a run needs of the store; `now` is our clock, in UTC. Never raises `StoreUnreachable`."""
        reachable, skew = False, None
        try:
            theirs = self.server_time()
            reachable, skew = True, (now - theirs).total_seconds() if theirs else None
            conditional = self.probe()
        except StoreUnreachable as error:
            return StoreCheck(url=self.url, reachable=reachable, writable=False, conditional=False, clock_skew_s=skew,
                              problem=error.message, advice=error.advice)  # fmt: skip
        return StoreCheck(url=self.url, reachable=True, writable=True, conditional=conditional, clock_skew_s=skew,
                          problem="" if conditional else "the store overwrites what a conditional put must keep",
                          advice="" if conditional else "use a store that honours If-None-Match")  # fmt: skip
