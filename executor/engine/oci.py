"""Images as values: descriptors, manifests, configs, and the doors through which their blobs come and go. Pure: no I/O.

An image is named by the sha256 of its manifest, which names config and layers by theirs. What is written here has no
clock and no host in it, so that equal layers and settings give the equal digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

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
        """Raises `ValueError` for a digest that is not a sha256, `KeyError` for a missing field."""
        return cls(str(value["mediaType"]), Digest.parse(value["digest"]), int(value["size"]))


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
        value = json.loads(data)
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


def media_type(manifest: bytes) -> str:
    """What a manifest says that it is; the OCI ones may leave it out. Raises `ValueError` when it is none."""
    value = json.loads(manifest)
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
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
