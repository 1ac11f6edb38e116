"""Runs are copied to another store: what they need first, verified while it streams, their records last.

What is there already is skipped, so a copy that was cut off goes on where it was. An attempt of which anything is
missing or damaged here is not copied: no record may arrive without all that it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from executor.errors import CorruptObject, ExecutorError, NotFound, UsageError, count
from executor.spec.canonical import Digest, sealed
from executor.steps.keeping import inventory
from executor.steps.keeping.audit import hashed
from executor.steps.keeping.documents import parse
from executor.steps.keeping.inventory import Attempt, Run
from executor.steps.keeping.needs import Needs, Uses, images, pins, uses
from executor.steps.keeping.sweeping import wait_for_sweep
from executor.steps.prepare import counter
from executor.steps.site import Site
from executor.store import layout
from executor.store.changes import announce
from executor.store.interface import Store
from executor.store.transfer import in_threads

_BATCH, _AT_ONCE, _SMALL, _SMALL_AT_ONCE, _LARGE_AT_ONCE = 200, 16, 1 << 20, 32, 4


@dataclass(frozen=True)
class Failure:
    """Something that could not be copied, or did not arrive whole."""

    key: str
    problem: str


@dataclass
class Copied:
    """What a copy did."""

    attempts: int = 0
    """Attempts that are whole in the other store now."""
    blobs: int = 0
    """Blobs that were written."""
    bytes: int = 0
    """Of these."""
    documents: int = 0
    """Documents that were written."""
    failures: list[Failure] = field(default_factory=list)
    verified: bool = False
    """Whether all that was written was read back."""

    def as_json(self) -> dict[str, Any]:
        """The document that `store copy --json` prints."""
        return {**vars(self), "failures": [vars(one) for one in self.failures]}


@dataclass(frozen=True)
class _Item:
    """One attempt that is to be copied."""

    attempt: Attempt
    uses: Uses

    @property
    def base(self) -> str:
        return layout.attempt(self.attempt.spec_hash, self.attempt.name)

    @property
    def intent(self) -> str:
        return layout.intent(self.attempt.spec_hash, self.attempt.name)


def mirror(site: Site, target: Store, wanted: Sequence[Digest] | None = None, *, verify: bool = True) -> Copied:
    """Copy everything, or the runs that are `wanted`, from the site's store to `target`; read back what was written.

    Raises `UsageError`, before anything is written, when `target` has another record of an attempt.
    """
    if site.store.place == target.place:
        raise UsageError(f"{target.url}: this is the store itself", advice="name another one with --to")
    return _Mirror(site, target, verify=verify).copy(wanted)


class _Mirror:
    def __init__(self, site: Site, target: Store, *, verify: bool) -> None:
        self._site, self._store, self._target, self._verify = site, site.store, target, verify
        self._done, self._lost = Copied(verified=verify), set[Digest]()
        self._needs, self._tell, self._counting = Needs(), counter(site, "copied"), threading.Lock()

    def copy(self, wanted: Sequence[Digest] | None) -> Copied:
        self._site.reporter.stage(f"records of {self._store.url}")
        runs = inventory.runs(self._store, wanted)
        items = self._items(runs)
        there = {item.attempt.spec_hash for item in items}
        pinned = {key: pin for run in runs if run.spec_hash in there for key, pin in pins(run)}
        if wanted is None:
            roots = inventory.images(self._store)
            pinned |= {layout.image(digest): one for digest, one in zip(roots, images(roots), strict=True)}
        every = [*(item.uses for item in items), *pinned.values()]
        self._needs = Needs.load(self._store, every)
        total = sum(size or 0 for size in self._needs.sizes(every).values())
        self._tell = counter(self._site, "copied", total)
        self._site.reporter.stage(f"{count(len(items), 'attempt')}, {total} bytes, to {self._target.url}")
        in_threads(self._document, [one.key for one in self._store.objects(f"{layout.KEYS}/")], _AT_ONCE)
        if wanted is None:  # history belongs to no run
            in_threads(self._document, [one.key for one in self._store.objects(f"{layout.IMPORTED}/")], _AT_ONCE)
        self._pins(pinned)
        for start in range(0, len(items), _BATCH):
            self._batch(items[start : start + _BATCH])
        return self._done

    def _fails(self, key: str, error: ExecutorError) -> None:
        self._done.failures.append(Failure(key, error.message))

    # Attempts ---------------------------------------------------------------------------------------------------------

    def _items(self, runs: Iterable[Run]) -> list[_Item]:
        """Attempts whose records are sound; raises `UsageError` when the target has others."""
        attempts = [one for run in runs for one in run.attempts.values() if one.finished]
        found = [(item, other) for item, other in in_threads(self._item, attempts, _AT_ONCE) if item]
        if others := [item.base.removeprefix(f"{layout.RUNS}/") for item, other in found if other]:
            raise UsageError(
                f"{self._target.url}: {count(len(others), 'attempt')} there with another record: {others[0]}",
                advice="`executor store check` says whether one of the two is damaged; else name an empty store",
            )
        return [item for item, _ in found]

    def _item(self, attempt: Attempt) -> tuple[_Item | None, bool]:
        """An attempt, and whether the target has another record of it."""
        key = attempt.objects["record.json"].key
        try:
            data = self._store.read(key)
            item = _Item(attempt, uses(parse(key, data)))
        except (CorruptObject, NotFound) as error:
            self._fails(key, error)
            return None, False
        try:
            return item, self._target.read(key) != data
        except NotFound:
            return item, False

    def _batch(self, items: Sequence[_Item]) -> None:
        """Announce what will be needed, send it, then the documents: whoever collects there meanwhile sees it."""
        for item in items:
            blobs = sorted({need.digest.hex for need in item.uses.direct})
            self._target.overwrite(item.intent, sealed({"blobs": blobs}))
        wait_for_sweep(self._target)
        sizes = self._needs.sizes(item.uses for item in items)
        self._send(sizes)
        whole = [item for item in items if not self._needs.roles(item.uses, self._lost)]
        in_threads(self._documents, whole, _AT_ONCE)
        self._send(sizes)  # again, for what was collected before a record protected it
        for item in items:
            self._target.remove(item.intent)

    def _documents(self, item: _Item) -> None:
        """Everything that is written once: the spec, the attempt with its record last, the reference."""
        run = layout.run(item.attempt.spec_hash)
        names = [name for name in ("provenance.json", "diagnosis.json") if name in item.attempt.objects]
        keys = [f"{run}/spec.json", *(f"{item.base}/{name}" for name in (*names, "record.json"))]
        if self._target.stat(keys[-1]) is None:
            announce(self._target, item.attempt.spec_hash, item.attempt.name, self._site.now())
        if all(self._document(key) for key in keys):
            with self._counting:
                self._done.attempts += 1
            self._reference(f"{run}/reference.json")

    def _reference(self, key: str) -> None:
        """Name the same reference there, once its attempt has arrived; a store that has one already keeps its own."""
        with suppress(NotFound, CorruptObject):
            attempt = parse(key, self._store.read(key))
            if self._target.stat(f"{key.rpartition('/')[0]}/attempts/{attempt}/record.json"):
                self._document(key)

    def _document(self, key: str) -> bool:
        """Copy a small object unless there is one already; False when there is none here that is sound."""
        try:
            data = self._store.read(key)
            parse(key, data)
            if self._target.stat(key) is None:
                self._put(key, data)
        except (CorruptObject, NotFound) as error:
            self._fails(key, error)
            return False
        return True

    def _put(self, key: str, data: bytes) -> None:
        stored = self._target.create(key, data)
        with self._counting:
            self._done.documents += 1
        if self._verify and (arrived := self._target.read(key)) != stored:
            there = f"{self._target.url}/{key}"
            raise CorruptObject(there, expected=str(Digest.of(stored)), observed=str(Digest.of(arrived)))

    # Blobs ------------------------------------------------------------------------------------------------------------

    def _pins(self, pinned: Mapping[str, Uses]) -> None:
        """Images and data that are kept: their manifests, who wants them, then all that they lead to."""
        known = {key: one for key, one in pinned.items() if one.manifest in self._needs.contents}
        for key in pinned.keys() - known.keys():
            self._fails(key, NotFound(f"what {pinned[key].what} consists of is not known: its manifest is lost"))
        manifests = {need.digest: need.size for one in known.values() for need in self._needs.of(one)
                     if "manifest" in need.role or "index" in need.role}  # fmt: skip
        self._send(manifests)
        for key in known:
            self._document(key)
        wait_for_sweep(self._target)
        self._send(self._needs.sizes(known.values()))

    def _send(self, sizes: Mapping[Digest, int | None]) -> None:
        """Send what the target lacks; what is lost here is remembered."""
        known = {digest: size for digest, size in sizes.items() if size is not None and digest not in self._lost}
        missing = self._target.missing_blobs(known)
        small = [(digest, size) for digest in missing if (size := known[digest]) <= _SMALL]
        large = [(digest, size) for digest in missing if (size := known[digest]) > _SMALL]
        in_threads(lambda item: self._blob(*item), small, _SMALL_AT_ONCE)
        in_threads(lambda item: self._blob(*item), large, _LARGE_AT_ONCE)

    def _blob(self, digest: Digest, size: int) -> None:
        key = layout.blob(digest)
        try:
            self._target.put_stream(digest, size, lambda: self._store.open_object(key), f"{self._store.url}/{key}")
        except (CorruptObject, NotFound) as error:
            self._lost.add(digest)
            self._fails(key, error)
            return
        self._tell(size)
        with self._counting:
            self._done.blobs += 1
            self._done.bytes += size
        fault = hashed(self._target, digest, lambda _: None) if self._verify else None
        if fault:
            self._lost.add(digest)
            self._done.failures.append(Failure(f"{self._target.url}/{fault.key}", fault.problem))
