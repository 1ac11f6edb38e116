"""Images as values: descriptors, manifests, configs, and the doors through which their blobs come and go. Pure: no I/O.

An image is named by the sha256 of its manifest, which names config and layers by theirs. What is written here has no
clock and no host in it, so that equal layers and settings give the equal digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from executor.errors import CorruptObject
from executor.spec.canonical import Digest, canonical_bytes

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""Uncompressed: gzip's bytes depend on the zlib that wrote them, a plain tar's do not."""
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_LIMIT = 4 << 20
"""Bytes; registries refuse a larger manifest, and so do we."""


class BlobSource(Protocol):
    """Where an image's blobs are read from."""

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's bytes from the start; the caller closes it."""

    def size(self, digest: Digest) -> int | None:
        """Its length in bytes, or none when it is not there."""


class BlobSink(Protocol):
    """Where an image's blobs are written to."""

    def put(self, path: Path, digest: Digest, size: int) -> None:
        """Keep the file's bytes under their digest; `path` is not needed afterwards."""


@dataclass(frozen=True)
class Descriptor:
    """One blob of an image, as a manifest names it."""

    media_type: str
    digest: Digest
    size: int
    """Bytes."""

    def as_json(self) -> dict[str, Any]:
        """The shape that manifests have."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Descriptor:
        """Raises `ValueError` for what is no sha256 digest or no size, `KeyError` for a missing field."""
        size = value["size"]
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"a manifest with a size that is none: {size!r}")
        return cls(str(value["mediaType"]), Digest.parse(str(value["digest"])), size)


@dataclass(frozen=True)
class Manifest:
    """The manifest of one image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    """Lowest first."""

    def encode(self) -> bytes:
        """The bytes whose sha256 is the image's digest."""
        layers = [layer.as_json() for layer in self.layers]
        return canonical_bytes(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.config.as_json(), "layers": layers}
        )

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read an OCI or Docker schema 2 manifest; raises `ValueError` for an index and for anything else."""
        if (found := media_type(data)) not in (MANIFEST, DOCKER_MANIFEST):
            raise ValueError(f"not the manifest of one image: {found}")
        value = _object(data)
        try:
            return cls(Descriptor.parse(value["config"]), tuple(map(Descriptor.parse, value["layers"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an image manifest: {error!r}") from None

    def __iter__(self) -> Iterator[Descriptor]:
        """Every blob that the manifest names, config first."""
        return iter((self.config, *self.layers))

    @property
    def size(self) -> int:
        """Bytes of config and layers together."""
        return sum(blob.size for blob in self)


Reader = Callable[[Digest], bytes | None]
"""Gives the bytes of a manifest or an index by its digest, which they have; none when it is not there."""


@dataclass(frozen=True)
class Image:
    """One image for one platform: what must be kept so that an engine can pull it by its digest."""

    documents: Mapping[Digest, bytes]
    """The manifest; where an index is what has the image's digest, that index first."""
    manifest: Manifest

    @classmethod
    def read(cls, digest: Digest, read: Reader, architecture: str, config: str = "") -> Image:
        """Follow an image's digest to its blobs.

        Of an index it is the image for Linux on `architecture`; among several the one whose config has the digest
        `config`, else the first. Raises `ValueError` when that is not there, and for what is no image.
        """
        data = read(digest)
        if data is None:
            raise ValueError("it is not there")
        if media_type(data) not in (INDEX, DOCKER_INDEX):
            return cls({digest: data}, Manifest.parse(data))
        images = [cls({digest: data, inner: manifest}, Manifest.parse(manifest))
                  for inner in platforms(data, architecture) if (manifest := read(inner)) is not None]  # fmt: skip
        if not images:
            raise ValueError(f"an index without an image for linux/{architecture}")
        return next((image for image in images if str(image.manifest.config.digest) == config), images[0])

    @property
    def sizes(self) -> dict[Digest, int]:
        """Bytes of everything, by digest."""
        return {digest: len(data) for digest, data in self.documents.items()} | {
            blob.digest: blob.size for blob in self.manifest
        }


def manifests(source: BlobSource, digest: Digest) -> list[Manifest]:
    """The manifests by which `source` keeps an image: its own, or those of its index that are there; else none."""
    try:
        data = document(source, digest)
        if data is None:
            return []
        if media_type(data) not in (INDEX, DOCKER_INDEX):
            return [Manifest.parse(data)]
        return [Manifest.parse(inner) for one in platforms(data) if (inner := document(source, one)) is not None]
    except ValueError:
        return []


def platforms(index: bytes, architecture: str | None = None) -> list[Digest]:
    """Manifests that an index names: those for Linux on `architecture`, or all; raises `ValueError` for no index."""
    try:
        return [Digest.parse(str(entry["digest"])) for entry in _object(index)["manifests"]
                if architecture is None or _is_for(entry.get("platform") or {}, architecture)]  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an index of images: {error!r}") from None


def _is_for(platform: Mapping[str, Any], architecture: str) -> bool:
    return platform.get("os") == "linux" and platform.get("architecture") == architecture


def document(source: BlobSource, digest: Digest) -> bytes | None:
    """A manifest or index of `source`, none when it is not there; `CorruptObject` for other bytes, and for too many."""
    if source.size(digest) is None:
        return None
    with source.open(digest) as file:
        data = file.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise CorruptObject(f"image manifest {digest}", expected=f"at most {MANIFEST_LIMIT} bytes", observed="more")
    if (observed := Digest.of(data)) != digest:
        raise CorruptObject(f"image manifest {digest}", expected=str(digest), observed=str(observed))
    return data


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object; `ValueError` for anything else."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("not a manifest: nested without an end") from None
    if not isinstance(value, dict):
        raise ValueError("not a manifest of schema version 2")  # noqa: TRY004  (what was sent is wrong, not its caller)
    return value


def media_type(manifest: bytes) -> str:
    """What a manifest says that it is; the OCI ones may leave it out. Raises `ValueError` when it is none."""
    value = _object(manifest)
    if value.get("schemaVersion") != 2:
        raise ValueError("not a manifest of schema version 2")
    if "mediaType" in value:
        return str(value["mediaType"])
    return INDEX if "manifests" in value else MANIFEST


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself, beside its layers."""

    architecture: str
    """As registries spell it: `amd64`, `arm64`."""
    epoch: int
    """Seconds since 1970 that stand for the time of creation."""
    diff_ids: tuple[Digest, ...]
    """Digests of the uncompressed layers, lowest first."""
    history: tuple[str, ...]
    """One line for each layer."""
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ("python",)

    def encode(self) -> bytes:
        """The config blob."""
        created = datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return canonical_bytes(
            {
                "architecture": self.architecture,
                "os": "linux",
                "created": created,
                "config": {
                    "Env": [f"{name}={value}" for name, value in sorted(self.environment.items())],
                    "Cmd": list(self.command),
                    "Labels": dict(self.labels),
                    "WorkingDir": "/",
                },
                "rootfs": {"type": "layers", "diff_ids": [str(digest) for digest in self.diff_ids]},
                "history": [{"created": created, "created_by": line} for line in self.history],
            }
        )
