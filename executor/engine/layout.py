"""An image's blobs as one archive, streamed: for engines that cannot pull from a registry on loopback.

The archive is the OCI image layout in an uncompressed tar (image-spec, image-layout.md), with the `manifest.json` that
`docker load` reads. Blobs go in as they are, so the image keeps its config, and its manifest digest where engines can.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from executor.engine.oci import BlobSource, Descriptor, Image, document, media_type
from executor.errors import ImageNotFound
from executor.spec.canonical import CHUNK, Digest, canonical_bytes

NAME = "org.opencontainers.image.ref.name"
"""Annotation by which an archive says what its image is called."""


def stream(source: BlobSource, digest: Digest, name: str, architecture: str) -> Iterator[bytes]:
    """The archive of the image of `digest`, called `name`, in pieces of at most a mebibyte.

    Of an index it is the image for that architecture; raises `ImageNotFound` when the source does not keep it.
    """
    try:
        image = Image.read(digest, lambda wanted: document(source, wanted), architecture)
    except ValueError as error:
        raise ImageNotFound(f"{digest} is kept, yet not as an image that can be loaded here: {error}") from error
    *_, (own, data) = image.documents.items()
    entry = Descriptor(media_type(data), own, len(data)).as_json() | {"annotations": {NAME: name}}
    yield from _member("oci-layout", canonical_bytes({"imageLayoutVersion": "1.0.0"}))
    yield from _member("index.json", canonical_bytes({"schemaVersion": 2, "manifests": [entry]}))
    yield from _member(_path(own), data)
    config, *layers = (_path(blob.digest) for blob in image.manifest)
    yield from _member("manifest.json", canonical_bytes([{"Config": config, "RepoTags": [name], "Layers": layers}]))
    for blob in image.manifest:
        with source.open(blob.digest) as file:
            yield from _copy(_path(blob.digest), file, blob.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"


def _member(name: str, data: bytes) -> Iterator[bytes]:
    yield from _copy(name, io.BytesIO(data), len(data))


def _copy(name: str, file: BinaryIO, size: int) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.GNU_FORMAT)
    while piece := file.read(CHUNK):
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
