"""Every byte of an image comes into a store, so that any engine can be given it back by the same digest.

The bytes are the image's own: what is in the store already, what its registry has, or what the engine saves when it
keeps images as they were given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from executor.engine.images import built_here, held
from executor.engine.interface import Engine, Progress
from executor.engine.oci import BlobSink, BlobSource, Descriptor, Image, document
from executor.engine.pulling import Registry
from executor.engine.saved import saved
from executor.errors import ImageNotFound, RegistryUnreachable
from executor.facts import ImageFacts
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef

_AT_ONCE = 3
"""Layers that are fetched at the same time; each needs room on this disk for as long."""


class Blobs(BlobSource, BlobSink, Protocol):
    """Where an image is kept."""


Fetch = Callable[[Descriptor, Path, Progress], None]
"""Writes a blob to a file, verified; raises `ImageNotFound`."""


class ImageSource(Protocol):
    """Where an image comes from, byte for byte."""

    def manifest(self, digest: Digest) -> bytes:
        """A manifest or index, which has that digest; raises `ImageNotFound`."""

    def fetch(self, blob: Descriptor, target: Path, progress: Progress) -> None:
        """As `Fetch` says."""


def keep(
    engine: Engine, ref: ImageRef, blobs: Blobs, work: Path, progress: Progress, *, pin: Callable[[], None]
) -> Image:
    """Have `blobs` hold all of the image of `ref.digest` for this engine's platform; what is there is not sent again.

    `pin` is called once the manifest is kept and before it is asked what else is missing: it says that the image is
    wanted, so that nobody removes what is counted on. Raises `ImageNotFound` when no place gives the image's own bytes.
    """
    with TemporaryDirectory(dir=work, prefix="keep-") as name, _found(engine, ref, blobs, Path(name)) as found:
        (image, fetch), folder = found, Path(name)
        _put_documents(image, blobs, folder)
        pin()
        _put_documents(image, blobs, folder)  # an old one may have been removed just before

        def bring(blob: Descriptor) -> None:
            path = folder / blob.digest.hex
            fetch(blob, path, progress)
            blobs.put(path, blob.digest, blob.size)
            path.unlink()

        missing = {blob.digest: blob for blob in image.manifest if blobs.size(blob.digest) != blob.size}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(bring, missing.values()))
    return image


def _put_documents(image: Image, blobs: Blobs, folder: Path) -> None:
    for digest, data in reversed([*image.documents.items()]):  # the manifest before the index that names it
        if blobs.size(digest) != len(data):
            path = folder / digest.hex
            path.write_bytes(data)
            blobs.put(path, digest, len(data))
            path.unlink()


def kept(blobs: BlobSource, digest: Digest, architecture: str, config: str = "") -> Image | None:
    """The image of that digest when all of it is in `blobs`, else none; arguments as in `Image.read`."""
    try:
        image = Image.read(digest, lambda wanted: document(blobs, wanted), architecture, config)
    except ValueError:
        return None
    return image if all(blobs.size(digest) == size for digest, size in image.sizes.items()) else None


@contextmanager
def _found(engine: Engine, ref: ImageRef, blobs: Blobs, folder: Path) -> Iterator[tuple[Image, Fetch]]:
    """The image, and the first place that has its own bytes, open while the block runs."""
    here = held(engine, ref.pinned, blobs)
    platform = (here.architecture, here.id) if here else (engine.observe().platform, "")
    if image := kept(blobs, ref.pinned, *platform):
        yield image, _gone
        return
    said = [f"{ref.name} was built on some machine and is in no registry"] if built_here(ref) else []
    for place in _places(engine, ref, here, folder):
        with ExitStack() as stack:
            try:
                source = stack.enter_context(place)
                image = Image.read(ref.pinned, source.manifest, *platform)
            except (ImageNotFound, RegistryUnreachable) as error:
                said.append(error.message)
                continue
            except ValueError as error:
                raise ImageNotFound(f"{ref}: {error}", advice="name the digest of an image for this engine") from error
            yield image, source.fetch
            return
    raise ImageNotFound(
        "; ".join([*said, *([] if here else ["the engine at hand does not have it"])]),
        advice="push it to a registry that answers, or build it with `executor image build`, which keeps it",
    )


def _places(
    engine: Engine, ref: ImageRef, here: ImageFacts | None, folder: Path
) -> Iterator[AbstractContextManager[ImageSource]]:
    if not built_here(ref):
        yield nullcontext(Registry(ref.name, engine.credentials))
    if here:
        yield saved(engine.save(here), folder)


def _gone(blob: Descriptor, *_: object) -> None:
    """In the place of a fetch from a store that had it all: only a collector makes it come to this."""
    raise ImageNotFound(f"blob {blob.digest} was removed from the store just now", advice="archive it again")
