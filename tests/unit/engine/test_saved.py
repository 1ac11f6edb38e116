"""What engines save, in the shapes that they have, as the blobs of an image."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from executor.engine.layout import stream
from executor.engine.oci import CONFIG, DOCKER_MANIFEST, LAYER, Descriptor, ImageConfig, Manifest
from executor.engine.saved import Saved, saved
from executor.errors import ImageNotFound
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs

LAYERS = (b"low" * 1000, b"high" * 700_000)


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return FolderBlobs(folder)


def tar_of(members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, place in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, place
            tar.addfile(info)
    return target.getvalue()


@contextmanager
def opened(data: bytes, folder: Path) -> Iterator[Saved]:
    with saved(iter([data[:1000], data[1000:]]), folder) as found:
        yield found
    assert not (folder / "image.tar").exists()


def descriptors(*layers: bytes) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    kept = tuple(Descriptor(LAYER, Digest.of(layer), len(layer)) for layer in layers)
    config = ImageConfig("amd64", 0, tuple(one.digest for one in kept), ("test",) * len(kept)).encode()
    return Descriptor(CONFIG, Digest.of(config), len(config)), kept


def old_archive(*layers: bytes, config: bytes | None = None) -> bytes:
    """As Docker before 25 saves: the config by its digest, a folder for each layer; one that repeats is a link."""
    diff_ids = tuple(Digest.of(layer) for layer in layers)
    config = config or ImageConfig("amd64", 0, diff_ids, ("test",) * len(layers)).encode()
    names = [f"{number:064x}/layer.tar" for number in range(len(layers))]
    first = dict(reversed(list(zip(diff_ids, names, strict=True))))
    whole = {name: layer for name, layer in zip(names, layers, strict=True) if first[Digest.of(layer)] == name}
    links = {name: f"../{first[digest]}" for name, digest in zip(names, diff_ids, strict=True) if name not in whole}
    listed = [{"Config": f"{Digest.of(config).hex}.json", "RepoTags": None, "Layers": names}]
    document = json.dumps(listed).encode()
    return tar_of({f"{Digest.of(config).hex}.json": config, **whole, "manifest.json": document}, links)


def fetched(source: Saved, digest: Digest, folder: Path) -> list[bytes]:
    manifest = Manifest.parse(source.manifest(digest))
    found = []
    for number, blob in enumerate(manifest):
        source.fetch(blob, folder / str(number), lambda *_: None)
        found.append((folder / str(number)).read_bytes())
    return found[1:]


def test_an_engine_that_keeps_images_as_they_came_saves_every_blob(blobs: FolderBlobs, tmp_path: Path) -> None:
    digest = blobs.image(*LAYERS)
    with opened(b"".join(stream(blobs, digest, "x:latest", "amd64")), tmp_path) as source:
        assert fetched(source, digest, tmp_path) == [*LAYERS]


@pytest.mark.parametrize("layers", [LAYERS, (b"same", b"other", b"same")])
def test_plain_tars_are_the_image_when_its_manifest_names_plain_tars(
    blobs: FolderBlobs, tmp_path: Path, layers: tuple[bytes, ...]
) -> None:
    digest = blobs.image(*layers)
    with opened(old_archive(*layers), tmp_path) as source:
        assert fetched(source, digest, tmp_path) == [*layers]


def test_plain_tars_of_an_image_that_came_compressed_are_not_taken_for_it(tmp_path: Path) -> None:
    config, kept = descriptors(*LAYERS)
    packed = tuple(Descriptor("gzip", Digest.of(b"packed" + bytes([n])), 9) for n in range(len(kept)))
    value = json.loads(Manifest(config, packed).encode()) | {"mediaType": DOCKER_MANIFEST}
    digest = Digest.of(json.dumps(value).encode())
    with (
        opened(old_archive(*LAYERS), tmp_path) as source,
        pytest.raises(ImageNotFound, match=r"keeps the layers of .* unpacked"),
    ):
        source.manifest(digest)


@pytest.mark.parametrize(
    "listed",
    [b"", b"{}", b"[]", b"[[]]", b'[{"Config": "x"}]', b'[{"Config": "absent", "Layers": []}]', b"[" * 100_000,
     b'[{"Config": "config", "Layers": ["absent"]}]', b'[{"Config": "config", "Layers": []}]'],
)  # fmt: skip
def test_an_archive_that_makes_no_sense_has_no_image(tmp_path: Path, listed: bytes) -> None:
    config = ImageConfig("amd64", 0, (Digest.of(b"x"),), ("test",)).encode()
    with opened(tar_of({"config": config, "manifest.json": listed}), tmp_path) as source, pytest.raises(ImageNotFound):
        source.manifest(Digest.of(b"image"))


@pytest.mark.parametrize("data", [b"", b"no archive" * 1000])
def test_what_is_no_archive_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ImageNotFound), opened(data, tmp_path) as source:
        source.manifest(Digest.of(b"image"))


def test_a_blob_under_a_wrong_name_is_not_taken(blobs: FolderBlobs, tmp_path: Path) -> None:
    digest = blobs.image(b"layer")
    manifest = (blobs.root / digest.hex).read_bytes()
    _, layer = Manifest.parse(manifest)
    members: dict[str, Any] = {f"blobs/sha256/{digest.hex}": manifest, f"blobs/sha256/{layer.digest.hex}": b"LAYER"}
    with opened(tar_of(members), tmp_path) as source, pytest.raises(ImageNotFound, match="has no blob"):
        source.fetch(layer, tmp_path / "layer", lambda *_: None)
    with opened(tar_of({f"blobs/sha256/{digest.hex}": b"{}"}), tmp_path) as source, pytest.raises(ImageNotFound):
        source.manifest(digest)


def test_several_layers_are_taken_at_once(blobs: FolderBlobs, tmp_path: Path) -> None:
    layers = tuple(bytes([number]) * 5_000_000 for number in range(6))
    digest = blobs.image(*layers)
    with opened(b"".join(stream(blobs, digest, "x:latest", "amd64")), tmp_path) as source:
        wanted = Manifest.parse(source.manifest(digest)).layers
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda blob: source.fetch(blob, tmp_path / blob.digest.hex, lambda *_: None), wanted))
    assert [(tmp_path / blob.digest.hex).read_bytes() for blob in wanted] == [*layers]
