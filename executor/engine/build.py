"""A recipe folder becomes an image: layers, config and manifest as blobs, whose digest is a function of the recipe.

No engine and no `docker build` is needed. When Debian has moved on, the image is another one and has another digest;
what differs from the locks is said and never hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from executor.engine import layers
from executor.engine.oci import CONFIG, LAYER, MANIFEST, BlobSink, Descriptor, ImageConfig, Manifest
from executor.engine.recipe import Recipe, changes
from executor.spec.canonical import Digest

T = TypeVar("T")


@dataclass(frozen=True)
class BuiltImage:
    """An image whose blobs are all in the sink."""

    name: str
    digest: Digest
    """Of the manifest: what a spec pins."""
    manifest: bytes
    size: int
    """Bytes of config and layers."""
    changed: tuple[str, ...]
    """What differs from the recipe's locks, one line each; empty when this is the pinned image again."""


def build(
    recipe: Path,
    sink: BlobSink,
    work: Path,
    report: Callable[[str], None],
    *,
    update: bool = False,
    mirrors: Sequence[str] = (),
) -> BuiltImage:
    """Build the image of a recipe folder; with `update`, write what was found as its new lock and digest.

    `work` caches downloads and layers between builds; `mirrors` names other Debian mirrors, such as a dated snapshot
    that still has the locked versions. Raises `UsageError` for a broken recipe, `SourceUnreachable` when packages
    cannot be had, `EnvironmentMismatch` when a tool is missing.
    """
    wanted = Recipe.read(recipe)
    work = work.resolve()
    base = _timed(report, f"Debian {wanted.suite}", lambda: layers.debian(wanted, work, mirrors))
    wheels = _timed(report, "wheels", lambda: layers.wheelhouse(wanted, work))
    installed = _timed(report, "wheels installed", lambda: layers.python(wanted, base, wheels, work))
    manifest = _timed(report, "blobs kept", lambda: _keep(wanted, base, installed, sink, work))
    image = _built(wanted, base, manifest)
    if update:
        wanted.pin(base.packages, image.digest)
    return image


def _built(recipe: Recipe, base: layers.Base, manifest: Manifest) -> BuiltImage:
    data = manifest.encode()
    digest = Digest.of(data)
    changed = changes(recipe.debian_lock, base.packages) if recipe.debian_lock else ("debian.lock: not written yet",)
    if digest != recipe.digest:
        changed += (f"digest: locked {recipe.digest or 'nothing'}, built {digest}",)
    return BuiltImage(recipe.name, digest, data, manifest.size, changed)


def _keep(recipe: Recipe, base: layers.Base, installed: Path, sink: BlobSink, work: Path) -> Manifest:
    """Layers first, then the config that names them, the manifest last."""
    kept = tuple(_put(sink, tar, LAYER) for tar in (base.tar, installed))
    config = ImageConfig(
        architecture=recipe.architecture,
        epoch=recipe.source_date_epoch,
        diff_ids=tuple(layer.digest for layer in kept),
        history=(f"mmdebstrap {recipe.suite} {' '.join(recipe.packages)}", "installer requirements.lock"),
        environment={"PATH": layers.SEARCH_PATH, **recipe.env},
        labels={
            "org.opencontainers.image.title": recipe.name,
            "executor.debian.lock": str(Digest.of(base.packages.encode())),
            "executor.requirements.lock": str(Digest.of(recipe.requirements_lock.encode())),
        },
    )
    with TemporaryDirectory(dir=work) as folder:
        path = Path(folder) / "blob"
        path.write_bytes(config.encode())
        manifest = Manifest(_put(sink, path, CONFIG), kept)
        path.write_bytes(manifest.encode())
        _put(sink, path, MANIFEST)
    return manifest


def _put(sink: BlobSink, path: Path, media_type: str) -> Descriptor:
    with path.open("rb") as stream:
        digest, size = Digest.of_stream(stream)
    sink.put(path, digest, size)
    return Descriptor(media_type, digest, size)


def _timed(report: Callable[[str], None], name: str, step: Callable[[], T]) -> T:
    started = time.monotonic()
    result = step()
    report(f"{name}: {time.monotonic() - started:.1f} s")
    return result
