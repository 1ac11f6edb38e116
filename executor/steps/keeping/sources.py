"""Where copies of what a store has lost may be: what it was before, other stores, files of this machine."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from executor.engine.oci import MANIFEST_LIMIT
from executor.errors import NotFound, UsageError
from executor.spec.canonical import Digest
from executor.spec.tree import scan
from executor.steps.home import Home
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT, Version
from executor.store.transfer import in_threads, read_at_most

_AT_ONCE = 16


@dataclass(frozen=True)
class Offer:
    """Bytes that should be those of a digest; whoever takes them verifies that."""

    size: int
    open: Callable[[], BinaryIO]
    """Gives them from the start, each time."""
    name: str
    """What they are called in errors."""

    @classmethod
    def of(cls, data: bytes, name: str) -> Offer:
        """Bytes in memory."""
        return cls(len(data), lambda: io.BytesIO(data), name)


class Source:
    """A place that may have copies; one that overrides nothing has none."""

    name = "nowhere"
    """For people."""

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:  # noqa: ARG002 - for who overrides it
        """What it has of these blobs, given with their sizes where these are known."""
        return {}

    def documents(self, key: str) -> Iterator[bytes]:  # noqa: ARG002 - for who overrides it
        """What it has under the key of a document, the best first; not verified."""
        return iter(())


class Before(Source):
    """What the objects of a store were before, where it keeps that."""

    name = "an earlier version"

    def __init__(self, store: Store) -> None:
        self._store = store

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:
        """The first version of each blob that has the right bytes."""
        found = in_threads(lambda digest: self._whole(digest), wanted, _AT_ONCE)
        return {digest: offer for digest, offer in zip(wanted, found, strict=True) if offer}

    def _whole(self, digest: Digest) -> Offer | None:
        for version in self._contents(layout.blob(digest)):
            with suppress(NotFound), self._store.open_version(version.key, version.id) as stream:
                observed, size = Digest.of_stream(stream)
                if observed == digest:
                    return Offer(size, partial(self._store.open_version, version.key, version.id), version.key)
        return None

    def documents(self, key: str) -> Iterator[bytes]:
        """The first content first: it is the one that was meant to stay."""
        for version in self._contents(key):
            with suppress(NotFound), self._store.open_version(version.key, version.id) as stream:
                yield read_at_most(stream, key, DOCUMENT_LIMIT)

    def _contents(self, key: str) -> list[Version]:
        return [one for one in reversed(list(self._store.versions(key))) if one.key == key and one.id]


class Elsewhere(Source):
    """Another store."""

    def __init__(self, store: Store) -> None:
        self._store, self.name = store, store.url

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:
        """Blobs that are there, and as large as they should be."""
        sizes = zip(wanted, in_threads(self._store.blob_size, wanted, _AT_ONCE), strict=True)
        return {digest: self._offer(digest, size) for digest, size in sizes
                if size is not None and wanted[digest] in (size, None)}  # fmt: skip

    def _offer(self, digest: Digest, size: int) -> Offer:
        key = layout.blob(digest)
        return Offer(size, lambda: self._store.open_object(key), f"{self.name}/{key}")

    def documents(self, key: str) -> Iterator[bytes]:
        """The object under the same key."""
        with suppress(NotFound):
            yield self._store.read(key)


class Files(Source):
    """Files, and those below folders; the ones of a size that is wanted are hashed."""

    def __init__(self, places: Sequence[Path], name: str) -> None:
        self._places, self.name = places, name

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:
        """Files with the right bytes, whatever they are called."""
        sizes, unsized = set(wanted.values()), None in wanted.values()
        alike = [(path, size) for path, size in self._files() if size in sizes or (unsized and size <= MANIFEST_LIMIT)]
        digests = in_threads(_digest, [path for path, _ in alike], _AT_ONCE)
        pairs = zip(alike, digests, strict=True)
        return {digest: Offer(size, partial(_opened, path), str(path))
                for (path, size), digest in pairs if digest in wanted and digest}  # fmt: skip

    def _files(self) -> Iterator[tuple[Path, int]]:
        for place in self._places:
            paths = (
                [place] if place.is_file() else [Path(top, name) for top, _, names in os.walk(place) for name in names]
            )
            for path in paths:
                with suppress(OSError):
                    if path.is_file() and not path.is_symlink():
                        yield path, path.stat().st_size


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _digest(path: Path) -> Digest | None:
    try:
        with path.open("rb") as stream:
            return Digest.of_stream(stream)[0]
    except OSError:
        return None


def caches(home: Home) -> Iterable[Source]:
    """What this machine keeps: data, staged attempts, code and layers, and the manifests of the data."""
    yield Files([home.trees, home.attempts, home.code, home.images], "this machine's caches")
    yield Manifests(home.trees)


class Manifests(Source):
    """Manifests of data, made again of the data that lies in the cache."""

    name = "data in this machine's cache"

    def __init__(self, trees: Path) -> None:
        self._trees = trees

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:
        """The manifests of trees that are cached, whole."""
        found = {}
        for digest in wanted:
            folder = self._trees / digest.hex
            if folder.is_dir():
                with suppress(UsageError):  # what lies there is no tree any more
                    found[digest] = Offer.of(scan(folder).manifest(), str(folder))
        return found
