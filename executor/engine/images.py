"""An image is found by its digest alone: in the engine, in its registry, in the store, in this order.

No tag is ever followed: what is not there by its digest is not there. A stored image reaches the engine through a
read-only registry on loopback, so that the engine itself checks every byte against the digest. Where the engine cannot
reach that, it loads an archive; it checks the config by its name and the layers by the config, so the proof is as good.
"""

from __future__ import annotations

from executor.engine import layout
from executor.engine.interface import Engine, Progress
from executor.engine.oci import BlobSource, manifests
from executor.engine.registry import serve
from executor.errors import ImageNotFound, RegistryUnreachable
from executor.facts import ImageFacts
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef

HERE = "localhost"
"""Registry name of images that were built on the spot; there is no registry to ask."""


def resolve(engine: Engine, ref: ImageRef, stored: BlobSource, progress: Progress) -> ImageFacts:
    """Have the engine hold the image of `ref.digest`; says where it came from.

    Raises `ImageNotFound` when no place has it, with what each one said.
    """
    if found := held(engine, ref.pinned, stored):
        return found
    said = [f"the engine at hand has no image {ref.pinned}"]
    if built_here(ref):
        said.append(f"{ref.name} was built on some machine and is in no registry")
    else:
        try:
            return _pulled(engine, ref, f"{ref.name}@{ref.pinned}", progress)
        except (ImageNotFound, RegistryUnreachable) as error:
            said.append(error.message)
    if stored.size(ref.pinned) is None:
        said.append("the store does not hold it")
        raise ImageNotFound("; ".join(said), advice="build it (`executor image build`), or name a registry that has it")
    return restore(engine, ref, stored, progress)


def built_here(ref: ImageRef) -> bool:
    """Whether an image was built on the spot, by its name: then there is no registry to ask."""
    return ref.name.partition("/")[0] == HERE


def held(engine: Engine, digest: Digest, stored: BlobSource) -> ImageFacts | None:
    """The image when the engine has it: it says so, or has a config that a manifest of the store names."""
    if found := engine.image(digest):
        return found
    known = (engine.image(digest, manifest.config.digest) for manifest in manifests(stored, digest))
    return next(filter(None, known), None)


def restore(engine: Engine, ref: ImageRef, stored: BlobSource, progress: Progress) -> ImageFacts:
    """Have the engine take the image from the blobs of a store; its digest stays what it was."""
    repository = ref.name.rpartition("/")[2]
    facts = engine.observe()
    if facts.name == "podman" or not facts.local:  # podman speaks to no registry without TLS, on loopback neither
        engine.load(layout.stream(stored, ref.pinned, f"{HERE}/{repository}:latest", facts.platform))
        return _same(ref, held(engine, ref.pinned, stored), "store")
    with serve(stored) as address:
        found = _pulled(engine, ref, f"{address}/{repository}@{ref.pinned}", progress, source="store")
    if built_here(ref):
        engine.tag(found, ref.name)
    return found


def _pulled(engine: Engine, ref: ImageRef, reference: str, progress: Progress, *, source: str = "") -> ImageFacts:
    engine.pull(reference, progress)
    return _same(ref, engine.image(ref.pinned), source or ref.name)


def _same(ref: ImageRef, found: ImageFacts | None, source: str) -> ImageFacts:
    if found is None:
        raise ImageNotFound(f"{source} gave an image, yet the engine has none of {ref.pinned}",
                            advice="it answered with another image; do not trust it")  # fmt: skip
    return found.model_copy(update={"source": source})
