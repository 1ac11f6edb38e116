"""What lies in a store, by its listing: runs with their attempts, blobs, and the rest. Few requests, no contents."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from executor.spec.canonical import Digest
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import Listed
from executor.store.transfer import in_threads

_SHARDS = "0123456789abcdef"
_AT_ONCE, _ASKED_AT_ONCE = 8, 32
_LIST_FROM = 300
"""From this many blobs on, a listing of all is faster than asking for each."""
_RUN = re.compile(rf"{layout.RUNS}/([0-9a-f]{{64}})/(?:attempts/({layout.ATTEMPT.pattern})/)?(.+)")


@dataclass
class Attempt:
    """All that is stored of one attempt but its blobs."""

    spec_hash: Digest
    name: str
    """Its id."""
    objects: dict[str, Listed] = field(default_factory=dict)
    """By what follows the attempt's own key, such as `record.json` or `log/00000000`."""

    @property
    def finished(self) -> bool:
        """Whether it has a record."""
        return "record.json" in self.objects

    @property
    def segments(self) -> list[Listed]:
        """Pieces of its log that were published while it ran, in order."""
        return [one for name, one in sorted(self.objects.items()) if name.startswith("log/")]


@dataclass
class Run:
    """All that is stored of one spec but its blobs."""

    spec_hash: Digest
    objects: dict[str, Listed] = field(default_factory=dict)
    """By what follows the run's own key, such as `spec.json`."""
    attempts: dict[str, Attempt] = field(default_factory=dict)
    """By id."""

    def every(self) -> Iterator[Listed]:
        """Every object of it."""
        yield from self.objects.values()
        for attempt in self.attempts.values():
            yield from attempt.objects.values()


def runs(store: Store, wanted: Sequence[Digest] | None = None) -> list[Run]:
    """Every run, or those that are `wanted`, sorted by hash; what lies there and is none of ours is left out."""
    starts = _SHARDS if wanted is None else [f"{spec_hash.hex}/" for spec_hash in wanted]
    found: dict[str, Run] = {}
    for one in _listed(store, (f"{layout.RUNS}/{start}" for start in starts)):
        if match := _RUN.fullmatch(one.key):
            digits, attempt, rest = match.groups()
            run = found.setdefault(digits, Run(Digest(digits)))
            if attempt:
                run.attempts.setdefault(attempt, Attempt(run.spec_hash, attempt)).objects[rest] = one
            else:
                run.objects[rest] = one
    return [run for _, run in sorted(found.items())]


def blobs(store: Store, wanted: Collection[Digest] | None = None) -> dict[Digest, Listed]:
    """Every blob, or those that are `wanted`; one that is absent is left out."""
    if wanted is not None and len(wanted) < _LIST_FROM:
        asked = in_threads(lambda digest: store.stat(layout.blob(digest)), wanted, _ASKED_AT_ONCE)
        pairs = zip(wanted, asked, strict=True)
        return {digest: Listed(layout.blob(digest), stat.size, stat.modified) for digest, stat in pairs if stat}
    every = _every_blob(store)
    return every if wanted is None else {digest: every[digest] for digest in wanted if digest in every}


def _every_blob(store: Store) -> dict[Digest, Listed]:
    found = {}
    for one in _listed(store, (f"{layout.BLOBS}/{start}" for start in _SHARDS)):
        with suppress(ValueError):  # whatever else lies there is not ours
            digest = Digest(one.key.rpartition("/")[2])
            if one.key == layout.blob(digest):
                found[digest] = one
    return found


def images(store: Store) -> dict[Digest, Listed]:
    """The roots of images that are kept for their own sake."""
    found = {}
    for one in store.objects(f"{layout.IMAGES}/"):
        with suppress(ValueError):
            found[Digest(one.key.removeprefix(f"{layout.IMAGES}/"))] = one
    return found


def _listed(store: Store, prefixes: Iterable[str]) -> Iterator[Listed]:
    return itertools.chain(*in_threads(lambda prefix: list(store.objects(prefix)), prefixes, _AT_ONCE))
