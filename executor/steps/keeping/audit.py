"""Everything in a store, or in some of its runs, read and held against what it must be; nothing is changed.

What is wrong is a fault, and stops nothing: a document whose seal is broken, a blob whose bytes are not its name's, an
object that others say is there and that is not. A store that does not answer at all is an error, never a fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from executor.errors import count
from executor.evidence.record import Record
from executor.spec.canonical import CHUNK, Digest
from executor.steps.keeping import inventory
from executor.steps.keeping.crosscheck import Fault, Hurt, Keys, look, shown, tried
from executor.steps.keeping.documents import parse
from executor.steps.keeping.inventory import Run
from executor.steps.keeping.needs import Needs, Uses, images, pins, uses
from executor.steps.prepare import counter
from executor.steps.signed.keys import NamedKey
from executor.steps.site import Site
from executor.store import layout
from executor.store.changes import CHANGES
from executor.store.interface import Store
from executor.store.objects import Listed
from executor.store.transfer import Progress, in_threads, look_twice

RUNS_AT_ONCE, SMALL, SMALL_AT_ONCE, LARGE_AT_ONCE = 16, 1 << 20, 16, 4
_BATCH = 10_000
"""Blobs that are queued at a time, so that memory does not grow with the store."""


@dataclass(frozen=True)
class Sample:
    """Which blobs are hashed: always the same ones for one seed and one content of the store."""

    count: int | None = None
    percent: float | None = None
    seed: int = 0

    def of(self, digests: Collection[Digest]) -> list[Digest]:
        """Those that are chosen, in the order of their digests."""
        number = self.count if self.percent is None else -int(-len(digests) * self.percent // 100)
        drawn = sorted(digests, key=lambda digest: Digest.of(f"{self.seed} {digest.hex}".encode()).hex)
        return sorted(drawn[:number])


@dataclass
class Audit:
    """What was looked at, and what is wrong."""

    objects: int = 0
    bytes: int = 0
    """Of all objects that were looked at, whether or not their bytes were read."""
    hashed: int = 0
    """Blobs whose bytes were read."""
    blobs: int = 0
    faults: list[Fault] = field(default_factory=list)
    unreferenced: tuple[int, int] | None = None
    """Blobs that nothing needs, and their bytes; none when only some runs were looked at."""
    records: dict[tuple[Digest, str], Record] = field(default_factory=dict)
    """Every record of `wanted` runs that could be read; those of a whole store would be too many to hold."""

    def as_json(self) -> dict[str, Any]:
        """The document that `store check --json` prints."""
        found: dict[str, Any] = {
            "objects": self.objects,
            "bytes": self.bytes,
            "blobs": self.blobs,
            "hashed": self.hashed,
        }
        for kind in ("damaged", "missing", "unreadable"):
            found[kind] = [shown(fault) for fault in self.faults if fault.kind == kind]
        found["runs"] = [{"spec_hash": spec_hash.hex, "attempt": attempt or None, "hurt": hurt}
                         for (spec_hash, attempt), hurt in sorted(self.hurt().items())]  # fmt: skip
        if self.unreferenced is not None:
            found["unreferenced"] = dict(zip(("count", "bytes"), self.unreferenced, strict=True))
        return found

    def hurt(self) -> dict[tuple[Digest, str], list[dict[str, str]]]:
        """What each attempt suffers from."""
        found: dict[tuple[Digest, str], list[dict[str, str]]] = {}
        for fault in self.faults:
            for one in fault.hurts:
                if one.spec_hash is None:
                    continue
                what = {"role": one.role, "key": fault.key, "kind": fault.kind}
                found.setdefault((one.spec_hash, one.attempt), []).append(what)
        return found


def audit(
    site: Site, wanted: Sequence[Digest] | None = None, sample: Sample | None = None, *, attempt: str | None = None
) -> Audit:
    """Look at everything, or at the runs that are `wanted` and what they need; hash every blob, or a `sample`.

    With `attempt`, no blob of other attempts is looked at.
    """
    store, found = site.store, Audit()
    site.reporter.stage("documents")
    keys = _others(store, found)
    looked = partial(_looked, store, keys, found if wanted is not None else None, attempt)
    seen = in_threads(looked, inventory.runs(store, wanted), RUNS_AT_ONCE)
    for one in seen:
        found.objects, found.bytes = found.objects + one.objects, found.bytes + one.bytes
        found.faults += one.faults
    every = [use for one in seen for use in one.uses]
    every += images(inventory.images(store)) if wanted is None else []
    needs = Needs.load(store, every)
    sizes = needs.sizes(every)
    listed = inventory.blobs(store, None if wanted is None else sizes)
    _count(found, listed.values())
    found.blobs = len(listed)
    if wanted is None:
        known = sizes.keys() | {digest for one in seen for digest in one.intended}
        spare = [one.size for digest, one in listed.items() if digest not in known]
        found.unreferenced = len(spare), sum(spare)
    wrong = _absent(store, sizes, listed) | _hashed(site, found, sizes, listed, sample)
    wrong |= _unread(needs, wrong)
    found.faults += _hurting(wrong, sizes, needs, every)
    found.faults.sort(key=lambda fault: fault.key)
    return found


class _Looked(NamedTuple):
    """What is kept of a run that was looked at."""

    objects: int
    bytes: int
    faults: list[Fault]
    uses: list[Uses]
    intended: frozenset[Digest]


def _looked(store: Store, keys: Keys, into: Audit | None, attempt: str | None, run: Run) -> _Looked:
    seen, objects = look(store, run, keys), [*run.every()]
    if into is not None:
        into.records |= {(run.spec_hash, name): record for name, record in seen.records.items()}
    used = [uses(record) for name, record in seen.records.items() if attempt in (None, name)]
    used += [pin for _, pin in pins(run)]
    return _Looked(len(objects), sum(one.size for one in objects), seen.faults, used, frozenset(seen.intended))


def _count(found: Audit, objects: Iterable[Listed]) -> None:
    for one in objects:
        found.objects += 1
        found.bytes += one.size


# What belongs to no run -------------------------------------------------------------------------------------------


def _others(store: Store, found: Audit) -> Keys:
    """Look at what belongs to no run; returns the public keys that could be read."""
    keys = {}
    for prefix in (layout.IMAGES, layout.KEYS, layout.GC, layout.IMPORTED):
        for one in store.objects(f"{prefix}/"):
            _count(found, [one])

            def read(key: str = one.key) -> None:
                parsed = parse(key, store.read(key))
                if isinstance(parsed, NamedKey):
                    keys[parsed.id] = parsed

            fault = tried(store, one.key, read, ())
            if fault and fault.kind != "missing":  # a collector's, which works now
                found.faults.append(fault)
    for one in store.objects(f"{CHANGES}/"):
        _count(found, [one])
        if one.size:
            found.faults.append(Fault(one.key, "damaged", f"expected nothing, found {count(one.size, 'byte')}"))
    return keys


# Blobs ---------------------------------------------------------------------------------------------------------------

_Wrong = dict[Digest, Fault]


def _absent(store: Store, sizes: Mapping[Digest, int | None], listed: Mapping[Digest, Listed]) -> _Wrong:
    """Blobs that are needed and that a listing does not show; asked for once more, it may have come since."""
    gone = [digest for digest in sizes if digest not in listed]
    still = in_threads(store.blob_size, gone, RUNS_AT_ONCE)
    return {digest: Fault(layout.blob(digest), "missing", "no such object")
            for digest, size in zip(gone, still, strict=True) if size is None}  # fmt: skip


def _hashed(
    site: Site, found: Audit, sizes: Mapping[Digest, int | None], listed: Mapping[Digest, Listed], sample: Sample | None
) -> _Wrong:
    """Blobs that are there and are not what they are called, by their size, or by their bytes if they are chosen."""
    wrong: _Wrong = {}
    for digest, one in listed.items():
        if (size := sizes.get(digest)) is not None and size != one.size:
            wrong[digest] = Fault(one.key, "damaged", f"expected {size} bytes, found {one.size} bytes")
    chosen = sample.of(listed) if sample else sorted(listed)
    found.hashed = len(chosen)
    site.reporter.stage(f"contents, {len(chosen)} of {len(listed)} blobs")
    tell = counter(site, "hashed", sum(listed[digest].size for digest in chosen))
    for start in range(0, len(chosen), _BATCH):
        batch = [digest for digest in chosen[start : start + _BATCH] if digest not in wrong]
        small = [digest for digest in batch if listed[digest].size <= SMALL]
        large = [digest for digest in batch if listed[digest].size > SMALL]
        for some, at_once in ((small, SMALL_AT_ONCE), (large, LARGE_AT_ONCE)):
            said = in_threads(lambda digest: hashed(site.store, digest, tell), some, at_once)
            wrong |= {digest: fault for digest, fault in zip(some, said, strict=True) if fault}
    return wrong


def hashed(store: Store, digest: Digest, tell: Progress) -> Fault | None:
    """What is wrong with a blob, after every byte of it was read; none when nothing is."""

    def read() -> None:
        with store.open_blob(digest) as stream:
            while chunk := stream.read(CHUNK):
                tell(len(chunk))

    return tried(store, layout.blob(digest), lambda: look_twice(read), ())


def _unread(needs: Needs, wrong: _Wrong) -> _Wrong:
    """Manifests whose bytes are right and that lead nowhere: of an index nothing is there, or it is no manifest."""
    return {digest: Fault(layout.blob(digest), "damaged", error.message)
            for digest, error in needs.unread.items() if digest not in wrong}  # fmt: skip


def _hurting(wrong: _Wrong, sizes: Mapping[Digest, int | None], needs: Needs, every: Sequence[Uses]) -> Iterator[Fault]:
    hurts: dict[Digest, list[Hurt]] = {digest: [] for digest in wrong}
    for one in every:
        for digest, role in needs.roles(one, wrong).items():
            hurts[digest].append(Hurt(one.spec_hash, one.attempt, role))
    for digest, fault in wrong.items():
        yield replace(fault, hurts=tuple(hurts[digest]), digest=digest, size=sizes.get(digest))
