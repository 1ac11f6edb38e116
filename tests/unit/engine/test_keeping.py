"""An image's own bytes come into a store, from the first place that has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from executor.engine import keeping
from executor.engine.interface import Progress
from executor.engine.keeping import keep, kept
from executor.engine.layout import stream
from executor.engine.oci import INDEX, MANIFEST, Descriptor, Image, document
from executor.errors import ImageNotFound, RegistryUnreachable
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from tests.fakes import FakeEngine
from tests.unit.engine.blobs import FolderBlobs


class Noting(FolderBlobs):
    """A folder of blobs that remembers what was put."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        super().__init__(root)
        self.sent: list[Digest] = []

    def put(self, path: Path, digest: Digest, size: int) -> None:
        self.sent.append(digest)
        super().put(path, digest, size)

    def read(self, digest: Digest) -> bytes:
        return (self.root / digest.hex).read_bytes()

    def all(self) -> set[Digest]:
        return {Digest(path.name) for path in self.root.iterdir()}


@dataclass
class Elsewhere:
    """Stands in for a registry."""

    blobs: Noting
    names: list[str] = field(default_factory=list)
    down: bool = False

    def manifest(self, digest: Digest) -> bytes:
        if self.down:
            raise RegistryUnreachable("registry: no answer")
        if (data := document(self.blobs, digest)) is None:
            raise ImageNotFound(f"registry: no {digest}")
        return data

    def fetch(self, blob: Descriptor, target: Path, progress: Progress) -> None:
        target.write_bytes(self.blobs.read(blob.digest))
        progress(blob.digest.hex[:12], blob.size, blob.size)


@pytest.fixture
def store(tmp_path: Path) -> Noting:
    return Noting(tmp_path / "store")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    found = Elsewhere(Noting(tmp_path / "elsewhere"))

    def registry(name: str, _: object) -> Elsewhere:
        found.names.append(name)
        return found

    monkeypatch.setattr(keeping, "Registry", registry)
    return found


def keeps(engine: FakeEngine, name: str, digest: Digest, store: Noting, work: Path) -> tuple[Image, list[set[Digest]]]:
    """Keep an image; gives it, and what was in the store when it was pinned."""
    pins: list[set[Digest]] = []
    image = keep(engine, ImageRef(name, digest), store, work, lambda *_: None, pin=lambda: pins.append(store.all()))
    assert [path for path in work.iterdir() if path.name.startswith("keep-")] == []
    return image, pins


def test_the_registry_gives_all_that_is_missing_and_the_pin_comes_between(
    store: Noting, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    digest = elsewhere.blobs.image(b"low", b"high")
    image, pins = keeps(FakeEngine(digest), "example.org/acme/x", digest, store, tmp_path)
    assert elsewhere.names == ["example.org/acme/x"]
    assert pins == [{digest}]
    assert store.all() == image.sizes.keys()
    assert kept(store, digest, "amd64") == image


def test_what_is_there_is_not_sent_again(store: Noting, elsewhere: Elsewhere, tmp_path: Path) -> None:
    shared = elsewhere.blobs.image(b"low", b"high")
    digest = elsewhere.blobs.image(b"low", b"other")
    keeps(FakeEngine(), "example.org/x", shared, store, tmp_path)
    before = len(store.sent)
    keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
    assert len(store.sent) - before == 3  # manifest, config and one layer
    elsewhere.down = True
    for _ in range(2):
        _, pins = keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
        assert len(pins) == 1
    assert len(store.sent) == before + 3


def test_a_blob_of_another_size_counts_as_missing(store: Noting, elsewhere: Elsewhere, tmp_path: Path) -> None:
    digest = elsewhere.blobs.image(b"layer")
    keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
    (store.root / Digest.of(b"layer").hex).write_bytes(b"lay")
    assert kept(store, digest, "amd64") is None
    keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
    assert store.read(Digest.of(b"layer")) == b"layer"


@pytest.mark.parametrize("down", [True, False])
def test_the_engine_helps_where_no_registry_does(
    store: Noting, elsewhere: Elsewhere, tmp_path: Path, down: bool
) -> None:
    mine = Noting(tmp_path / "engine")
    digest, elsewhere.down = mine.image(b"low", b"high"), down
    engine = FakeEngine(digest)
    engine.saved = b"".join(stream(mine, digest, "x:latest", "amd64"))
    image, _ = keeps(engine, "example.org/x", digest, store, tmp_path)
    assert kept(store, digest, "amd64") == image


def test_an_image_built_on_the_spot_is_asked_of_no_registry(
    store: Noting, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    mine = Noting(tmp_path / "engine")
    digest = mine.image(b"layer")
    engine = FakeEngine(digest)
    engine.saved = b"".join(stream(mine, digest, "x:latest", "amd64"))
    keeps(engine, "localhost/x", digest, store, tmp_path)
    assert elsewhere.names == []


def test_what_no_place_has_is_told_with_what_each_said(store: Noting, elsewhere: Elsewhere, tmp_path: Path) -> None:
    digest = Digest.of(b"nobody has this")
    with pytest.raises(ImageNotFound) as caught:
        keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
    assert str(caught.value) == f"registry: no {digest}; the engine at hand does not have it"
    with pytest.raises(ImageNotFound, match="is in no registry; the engine gave no archive"):
        keeps(FakeEngine(digest), "localhost/x", digest, store, tmp_path)
    assert store.sent == []


def test_what_is_no_image_is_told(store: Noting, elsewhere: Elsewhere, tmp_path: Path) -> None:
    for data in (b"weights", b'{"schemaVersion": 2, "manifests": [{}]}'):
        with pytest.raises(ImageNotFound) as caught:
            keeps(FakeEngine(), "example.org/x", elsewhere.blobs.add(data), store, tmp_path)
        assert "name the digest of an image" in caught.value.advice


def an_index(blobs: FolderBlobs, *entries: tuple[Digest, str, str]) -> Digest:
    """An index of (manifest, system, architecture)."""
    listed = [
        {"mediaType": MANIFEST, "digest": str(digest), "size": blobs.size(digest),
         "platform": {"os": system, "architecture": architecture}}
        for digest, system, architecture in entries
    ]  # fmt: skip
    return blobs.add(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode())


def test_of_an_index_the_image_that_this_engine_runs_is_kept(
    store: Noting, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    amd, arm, windows = (elsewhere.blobs.image(layer) for layer in (b"amd", b"arm", b"windows"))
    digest = an_index(elsewhere.blobs, (arm, "linux", "arm64"), (windows, "windows", "amd64"), (amd, "linux", "amd64"))
    image, pins = keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)
    assert [*image.documents] == [digest, amd]
    assert pins == [{digest, amd}]
    assert store.sent[:2] == [amd, digest]  # the index last: it names the other
    assert (store.size(arm), kept(store, digest, "arm64")) == (None, None)
    engine = FakeEngine()
    engine.facts = engine.facts.model_copy(update={"architecture": "riscv64"})
    with pytest.raises(ImageNotFound, match="an index without an image for linux/riscv64"):
        keeps(engine, "example.org/x", digest, store, tmp_path)


def test_a_blob_that_a_collector_removed_meanwhile_is_told(store: Noting, elsewhere: Elsewhere, tmp_path: Path) -> None:
    digest = elsewhere.blobs.image(b"layer")
    keeps(FakeEngine(), "example.org/x", digest, store, tmp_path)

    def pin() -> None:
        (store.root / Digest.of(b"layer").hex).unlink()

    with pytest.raises(ImageNotFound) as caught:
        keep(FakeEngine(), ImageRef("example.org/x", digest), store, tmp_path, lambda *_: None, pin=pin)
    assert caught.value.advice == "archive it again"


def test_a_manifest_that_a_collector_removed_meanwhile_is_put_again(
    store: Noting, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    digest = elsewhere.blobs.image(b"layer")

    def pin() -> None:
        (store.root / digest.hex).unlink()

    keep(FakeEngine(), ImageRef("example.org/x", digest), store, tmp_path, lambda *_: None, pin=pin)
    assert kept(store, digest, "amd64")
