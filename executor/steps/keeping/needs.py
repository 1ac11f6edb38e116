"""Which blobs are needed: those that records name, and those that archived images and data consist of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from executor.engine.oci import DOCKER_INDEX, INDEX, MANIFEST_LIMIT, Manifest, media_type, platforms
from executor.errors import CorruptObject, ExecutorError, NotFound, StoreUnreachable
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.spec.tree import Tree
from executor.steps.keeping.inventory import Run
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT
from executor.store.transfer import in_threads

_AT_ONCE = 16


class Need(NamedTuple):
    """One blob, and what it is to those who need it."""

    digest: Digest
    size: int | None
    """Bytes; none when nobody says."""
    role: str
    """Such as `output model.pt`, `log`, `image layer`, `data train.csv`."""


@dataclass(frozen=True)
class Uses:
    """Something that needs blobs: an attempt, a pin of a run's image or data, or an image of its own."""

    spec_hash: Digest | None
    """None for an image that is kept for its own sake."""
    attempt: str = ""
    """Empty for what all attempts of a run share."""
    direct: tuple[Need, ...] = ()
    """Those that a record names."""
    what: str = ""
    """`image`, or `data.<name>`, for what leads to all that it consists of."""
    manifest: Digest | None = None
    """From which that is found."""


def uses(record: Record) -> Uses:
    """What an attempt needs by its record."""
    named = record.beside | {f"manifest of data {name}": blob for name, blob in record.manifests.items()}
    direct = [Need(file.digest, file.size, f"output {file.path}") for file in record.outputs]
    direct += [Need(blob.digest, blob.size, role) for role, blob in named.items()]
    return Uses(record.spec_hash, record.attempt, tuple(direct))


def pins(run: Run) -> Iterator[tuple[str, Uses]]:
    """What is archived for a run, by the key that says so."""
    for one in run.objects.values():
        if found := layout.pinned(one.key):
            yield one.key, Uses(run.spec_hash, what=found[0], manifest=found[1])


def images(roots: Iterable[Digest]) -> list[Uses]:
    """Images that are kept for their own sake."""
    return [Uses(None, what="image", manifest=digest) for digest in roots]


class Needs:
    """What manifests consist of, each read once however many share it."""

    def __init__(self) -> None:
        self.contents: dict[Digest, tuple[Need, ...]] = {}
        """By manifest: itself and all that it leads to, manifests first."""
        self.unread: dict[Digest, ExecutorError] = {}
        """Manifests that are missing or damaged: what they lead to is not known."""

    @classmethod
    def load(cls, store: Store, every: Iterable[Uses]) -> Needs:
        """Read all manifests; raises `StoreUnreachable` when the store does not answer at all."""
        known = cls()
        wanted = {one.manifest: one.what for one in every if one.manifest}
        in_threads(lambda item: known._read(store, *item), wanted.items(), _AT_ONCE)
        return known

    def _read(self, store: Store, digest: Digest, what: str) -> None:
        parse: Callable[[Store, Digest], Iterator[Need]] = _image if what == "image" else _tree
        try:
            self.contents[digest] = tuple(parse(store, digest))
        except StoreUnreachable as error:
            store.server_time()  # raises when it is the store, not this object alone
            self.unread[digest] = error
        except (NotFound, CorruptObject) as error:
            self.unread[digest] = error

    def of(self, one: Uses) -> Iterator[Need]:
        """Every blob that is needed for it; one that is needed twice comes twice."""
        yield from one.direct
        if one.manifest:
            yield from self.contents.get(one.manifest, (Need(one.manifest, None, f"manifest of {one.what}"),))

    def sizes(self, every: Iterable[Uses]) -> dict[Digest, int | None]:
        """Bytes of every blob that is needed at all, by digest."""
        found: dict[Digest, int | None] = {}
        manifests: dict[Digest, Uses] = {}
        for one in every:
            found |= {need.digest: need.size for need in one.direct}
            if one.manifest:
                manifests[one.manifest] = one
        for one in manifests.values():
            for need in self.of(one):
                found[need.digest] = found.get(need.digest) or need.size
        return found

    def roles(self, one: Uses, bad: Collection[Digest]) -> dict[Digest, str]:
        """What each of the `bad` blobs is to it; those that it does not need are left out."""
        found: dict[Digest, str] = {}
        for need in self.of(one) if bad else ():
            if need.digest in bad:
                found.setdefault(need.digest, need.role)
        return found


def _image(store: Store, digest: Digest) -> Iterator[Need]:
    """A manifest with config and layers; or an index, and the manifests of it that are kept, with theirs."""
    data = store.read_blob(digest, MANIFEST_LIMIT)
    try:
        if media_type(data) not in (INDEX, DOCKER_INDEX):
            yield from _manifest(digest, data)
            return
        inner = [one for one in platforms(data) if store.has_blob(one)]
        manifests = [(one, store.read_blob(one, MANIFEST_LIMIT)) for one in inner]
        parsed = [list(_manifest(*one)) for one in manifests]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptObject(str(digest), expected="an image manifest", observed=repr(data[:80])) from error
    if not parsed:
        raise NotFound(f"{digest}: none of the manifests that this index names is there")
    yield Need(digest, len(data), "image index")
    yield from (needs[0] for needs in parsed)
    yield from (need for needs in parsed for need in needs[1:])


def _manifest(digest: Digest, data: bytes) -> Iterator[Need]:
    config, *layers = Manifest.parse(data)
    yield Need(digest, len(data), "image manifest")
    yield Need(config.digest, config.size, "image config")
    yield from (Need(layer.digest, layer.size, "image layer") for layer in layers)


def _tree(store: Store, digest: Digest) -> Iterator[Need]:
    data = store.read_blob(digest, DOCUMENT_LIMIT)
    try:
        tree = Tree.parse(data)
    except ValueError as error:
        raise CorruptObject(str(digest), expected="a tree manifest", observed=repr(data[:80])) from error
    yield Need(digest, len(data), "manifest of data")
    yield from (Need(entry.digest, entry.size, f"data {entry.path}") for entry in tree.entries)
