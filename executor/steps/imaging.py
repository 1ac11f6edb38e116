"""Images in the store for their own sake: built from a recipe, archived from elsewhere, given back to an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from executor.engine import build, images
from executor.errors import ImageNotFound, NotFound, UsageError
from executor.facts import ImageFacts
from executor.spec.canonical import Digest, unsealed
from executor.spec.scalars import ImageRef
from executor.steps.keeping.archiving import keep_image
from executor.steps.locking import pin_image
from executor.steps.prepare import Blobs
from executor.steps.site import Site
from executor.store import layout


@dataclass(frozen=True)
class Built:
    """An image that a spec can name."""

    ref: str
    digest: Digest
    size: int
    """Bytes of its layers."""
    changed: tuple[str, ...]
    """What differs from the recipe's locks, one line each."""


def build_image(recipe: Path, site: Site, *, update: bool, report: Callable[[str], None]) -> Built:
    """Build the recipe, keep it in the store and have the engine pull it by its digest."""
    made = build.build(recipe, Blobs(site.store), site.home.images, report, update=update)
    ref = ImageRef(f"{images.HERE}/{made.name}", made.digest)
    keep_image(ref, site, layout.image(made.digest))
    found = images.held(site.engine, made.digest, Blobs(site.store))
    if found is None:
        report("the engine loads it")
        found = images.restore(site.engine, ref, Blobs(site.store), site.reporter.progress)
    site.engine.tag(found, ref.name)
    return Built(str(ref), made.digest, made.size, made.changed)


def archive_image(ref: ImageRef, site: Site) -> tuple[ImageRef, int]:
    """Keep an image in the store, by its digest; returns its reference and its size in bytes.

    A tag is followed once, as `pin_image` does. Raises `ImageNotFound` when no place has the image's own bytes.
    """
    pinned = pin_image(site.engine, ref)
    image = keep_image(pinned, site, layout.image(pinned.pinned))
    return pinned, sum(image.sizes.values())


def restore_image(named: str, site: Site) -> tuple[ImageRef, ImageFacts]:
    """Give the engine an image that the store keeps: `name@sha256:…` or the digest alone; no registry is asked.

    Raises `UsageError` for what has no digest, `ImageNotFound` when the store does not keep it.
    """
    blobs, ref = Blobs(site.store), _named(named, site)
    if found := images.held(site.engine, ref.pinned, blobs):
        return ref, found
    if blobs.size(ref.pinned) is None:
        raise ImageNotFound(f"{site.store.url} does not hold an image {ref.pinned}",
                            advice="`executor image archive` keeps one")  # fmt: skip
    return ref, images.restore(site.engine, ref, blobs, site.reporter.progress)


def _named(text: str, site: Site) -> ImageRef:
    """The reference that somebody means; of a digest alone, the one by which it was archived."""
    alone = ImageRef(f"{images.HERE}/restored")
    try:
        ref = ImageRef.parse(text if "@" in text else f"{alone}@{text}")
    except ValueError:
        ref = alone
    if ref.digest is None:
        raise UsageError(f"{text}: expected name@sha256:<64 hex digits>, or such a digest alone",
                         advice="a tag does not say which image is meant; `executor show` names digests")  # fmt: skip
    return ref if "@" in text else _as_archived(site, ref.digest) or ref


def _as_archived(site: Site, digest: Digest) -> ImageRef | None:
    """None also for a name that another image of the engine has: what a store says must not move names here."""
    try:
        body, expected, observed = unsealed(site.store.read(layout.image(digest)))
        ref = ImageRef.parse(json.loads(body)["ref"])
    except (NotFound, ValueError, KeyError, TypeError, RecursionError):
        return None
    if expected != observed or ref.digest != digest:
        return None
    taken = images.built_here(ref) and site.engine.digest_of(ref.name) not in (None, digest)
    return None if taken else ref
