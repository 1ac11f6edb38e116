"""An image recipe becomes an image in the store and in the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from executor.engine import build, images
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from executor.steps.prepare import Blobs
from executor.steps.site import Site


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
    """Build the recipe, keep its blobs in the store and have the engine pull it by its digest."""
    made = build.build(recipe, Blobs(site.store), site.home.images, report, update=update)
    ref = ImageRef(f"{images.HERE}/{made.name}", made.digest)
    found = images.held(site.engine, made.digest, Blobs(site.store))
    if found is None:
        report("the engine loads it")
        found = images.restore(site.engine, ref, Blobs(site.store), site.reporter.progress)
    site.engine.tag(found, ref.name)
    return Built(str(ref), made.digest, made.size, made.changed)
