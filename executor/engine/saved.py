"""The blobs in an engine's own archive of an image (`docker save`), as far as they are those of its digest.

An engine that keeps images as registries give them (Docker with the containerd image store) saves them so. Others keep
layers unpacked and save plain tars: those are the image's own when its manifest names plain tars, as the manifests of
`executor image build` do. Then that manifest is written again from them, and its digest says whether it is the one.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from executor.engine.interface import Progress
from executor.engine.oci import CONFIG, LAYER, MANIFEST_LIMIT, Descriptor, Manifest
from executor.errors import ImageNotFound
from executor.spec.canonical import CHUNK, Digest

_BLOB = re.compile(r"(?:\./)?blobs/sha256/([0-9a-f]{64})")
_UNPACKED = "the engine keeps the layers of {} unpacked, not as its digest names them"


class Saved:
    """An archive, looked at as a source of the blobs of one image."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self._lock = tar, threading.Lock()  # its members share one position in the file
        self._places = {Digest(match[1]): name for name in tar.getnames() if (match := _BLOB.fullmatch(name))}
        """Name of the member that should have each digest; nothing is believed before it is hashed."""

    def manifest(self, digest: Digest) -> bytes:
        """The manifest or index of that digest; raises `ImageNotFound` when it is not what the engine keeps."""
        place = self._places.get(digest)
        data = self._read(place) if place else self._rewritten(digest)
        if Digest.of(data) != digest:
            raise ImageNotFound(_UNPACKED.format(digest))
        return data

    def fetch(self, blob: Descriptor, target: Path, progress: Progress) -> None:
        """Write a blob to a file; raises `ImageNotFound` when it is not there, also under its name."""
        if blob.digest in self._places:
            with self._lock, self._open(self._places[blob.digest]) as stream, target.open("wb") as file:
                shutil.copyfileobj(stream, file, CHUNK)
            with target.open("rb") as file:
                found = Digest.of_stream(file)
            progress(blob.digest.hex[:12], found[1], blob.size)
            if found == (blob.digest, blob.size):
                return
        raise ImageNotFound(f"the engine's archive of the image has no blob {blob.digest}")

    def _rewritten(self, digest: Digest) -> bytes:
        """The manifest that `executor image build` wrote of these layers, if that is what made them."""
        try:
            (listed,) = json.loads(self._read("manifest.json"))
            config, layers = str(listed["Config"]), [str(name) for name in listed["Layers"]]
            data = self._read(config)
            diff_ids = [Digest.parse(text) for text in json.loads(data)["rootfs"]["diff_ids"]]
            blobs = [Descriptor(LAYER, diff_id, self._size(name))
                     for diff_id, name in zip(diff_ids, layers, strict=True)]  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ImageNotFound(_UNPACKED.format(digest)) from error
        self._places |= {Digest.of(data): config} | dict(zip(diff_ids, layers, strict=True))
        return Manifest(Descriptor(CONFIG, Digest.of(data), len(data)), tuple(blobs)).encode()

    def _read(self, name: str) -> bytes:
        with self._open(name) as stream:
            return stream.read(MANIFEST_LIMIT)

    def _size(self, name: str) -> int:
        with self._open(name) as stream:  # which follows the links by which some engines name a layer twice
            return stream.seek(0, 2)

    def _open(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(name)
        if stream is None:
            raise KeyError(name)
        return stream


@contextmanager
def saved(pieces: Iterable[bytes], folder: Path) -> Iterator[Saved]:
    """Keep an archive in `folder` while the block runs; raises `ImageNotFound` for what is no archive."""
    path = folder / "image.tar"
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
        try:
            tar = tarfile.open(path, "r:")  # noqa: SIM115  (closed below)
        except tarfile.TarError as error:
            raise ImageNotFound(f"the engine gave no archive of the image: {error}") from error
        with tar:
            yield Saved(tar)
    finally:
        path.unlink(missing_ok=True)
