"""A folder of blobs: the smallest thing that is both a source and a sink."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from executor.engine.oci import CONFIG, LAYER, Descriptor, ImageConfig, Manifest
from executor.spec.canonical import Digest


class FolderBlobs:
    """Blobs in files named by their digests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: Path, digest: Digest, size: int) -> None:
        assert path.stat().st_size == size
        shutil.copyfile(path, self.root / digest.hex)

    def add(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        (self.root / digest.hex).write_bytes(data)
        return digest

    def open(self, digest: Digest) -> BinaryIO:
        return (self.root / digest.hex).open("rb")

    def size(self, digest: Digest) -> int | None:
        path = self.root / digest.hex
        return path.stat().st_size if path.exists() else None

    def image(self, *layers: bytes) -> Digest:
        """Add an image of these layer tars; gives its digest."""
        kept = tuple(Descriptor(LAYER, self.add(layer), len(layer)) for layer in layers)
        config = ImageConfig("amd64", 0, tuple(layer.digest for layer in kept), ("test",) * len(kept)).encode()
        return self.add(Manifest(Descriptor(CONFIG, self.add(config), len(config)), kept).encode())
