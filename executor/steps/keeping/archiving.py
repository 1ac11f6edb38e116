"""What a rerun needs beside record and code, kept in the store: the image and the data of a spec.

A pin below `v1/runs/<spec hash>/archive/` says that something is wanted for a spec. It is written when the manifest is
kept, and before it is asked what else is missing, so that no collector removes what is counted on. A pin promises
nothing: what is whole is looked up.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import partial

from executor.engine import keeping
from executor.engine.inputs import PreparedData
from executor.engine.oci import Image
from executor.errors import CorruptObject
from executor.evidence.record import Record
from executor.facts import Fact, ImageFacts
from executor.spec.canonical import Digest, sealed
from executor.spec.model import Spec
from executor.spec.scalars import DigestField, ImageRef
from executor.steps.keeping import trees
from executor.steps.keeping.sweeping import wait_for_sweep
from executor.steps.prepare import Blobs, Inputs, counter, take_data
from executor.steps.site import Site
from executor.store import layout
from executor.store.interface import Store


class Archived(Fact):
    """One thing that is pinned for a spec."""

    what: str
    """`image`, or `data.<name>`."""
    digest: DigestField
    """Of the image's, or the tree's, manifest."""
    size: int | None
    """Bytes in all; none when something of it is missing."""


def archive(
    spec: Spec, site: Site, parts: Collection[str], image: ImageFacts | None, inputs: Inputs | None = None
) -> None:
    """Keep the `parts` of a spec in the store; what is there is not sent again.

    `image` is what an engine, perhaps another one, had of it, and `inputs` what was put in place for a run; without
    them the data is looked for. Raises `ImageNotFound` when no place has the image's own bytes, and what
    `take_data` raises.
    """
    if "image" in parts and not _has_image(spec, site, image):
        site.reporter.stage(f"archiving image {spec.image.pinned}")
        keep_image(spec.image, site, layout.pin(spec.hash, "image", spec.image.pinned))
    ready = {data.name: data for data in inputs.data} if inputs else {}
    for name in spec.data if "data" in parts else ():
        if not _has_data(spec, site, name):
            site.reporter.stage(f"archiving data {name}")
            _keep_data(spec, site, name, ready.get(name))


def keep_image(ref: ImageRef, site: Site, key: str) -> Image:
    """Keep all of an image, pinned by `key`; raises `ImageNotFound` when no place has the image's own bytes."""
    blobs, pin = Blobs(site.store), partial(_pin, site.store, key, str(ref))
    return keeping.keep(site.engine, ref, blobs, site.home.images, site.reporter.progress, pin=pin)


def _has_image(spec: Spec, site: Site, image: ImageFacts | None) -> bool:
    """Whether it is pinned and whole; then no engine is needed, and no registry."""
    if image is None or site.store.stat(layout.pin(spec.hash, "image", spec.image.pinned)) is None:
        return False
    return keeping.kept(Blobs(site.store), spec.image.pinned, image.architecture, image.id) is not None


def _has_data(spec: Spec, site: Site, name: str) -> bool:
    digest = spec.data[name].hash
    pin = site.store.stat(layout.pin(spec.hash, f"data.{name}", digest))
    return pin is not None and trees.restorer(site.store, digest) is not None


def _keep_data(spec: Spec, site: Site, name: str, ready: PreparedData | None) -> None:
    store, digest = site.store, spec.data[name].hash
    tree = trees.listed(store, digest)
    if tree is None:
        ready = ready or take_data(name, spec.data[name], site)
        tree = ready.tree
    store.put_bytes(tree.manifest())
    _pin(store, layout.pin(spec.hash, f"data.{name}", digest), f"{name}@{digest}")
    store.put_bytes(tree.manifest())  # an old one may have been removed just before
    if store.missing_blobs(trees.sizes(tree)):
        ready = ready or take_data(name, spec.data[name], site)
        trees.keep(store, tree, ready.path, counter(site, f"archive {name}", tree.size))


def _pin(store: Store, key: str, ref: str) -> None:
    """Say that something is wanted, and wait for a collector that does not know it; what is missing is asked later."""
    store.create(key, sealed({"ref": ref}))
    wait_for_sweep(store)


def archived(store: Store, record: Record) -> list[Archived]:
    """What is pinned for a record's spec, and whether it is whole."""
    start = f"{layout.run(record.spec_hash)}/archive/"
    pins = sorted(found for one in store.objects(start) if (found := layout.pinned(one.key)))
    return [Archived(what=what, digest=digest, size=_size(store, record, what, digest)) for what, digest in pins]


def _size(store: Store, record: Record, what: str, digest: Digest) -> int | None:
    image = record.fingerprint.image
    with suppress(CorruptObject):
        if what != "image":
            tree = trees.listed(store, digest)
            return tree.size if tree and not store.missing_blobs(trees.sizes(tree)) else None
        if image and (found := keeping.kept(Blobs(store), digest, image.architecture, image.id)):
            return sum(found.sizes.values())
    return None
