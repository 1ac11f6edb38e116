import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from executor.engine import layout
from executor.engine.images import held, resolve, restore
from executor.engine.interface import Progress
from executor.engine.oci import INDEX, MANIFEST, MANIFEST_LIMIT, Manifest
from executor.errors import CorruptObject, EngineUnreachable, ImageNotFound, RegistryUnreachable
from executor.facts import EngineFacts, ImageFacts
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from tests.fakes import ENGINE, FakeEngine
from tests.unit.engine.blobs import FolderBlobs

ABSENT = Digest.of(b"nobody has this")


@pytest.fixture
def stored(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


def silent(what: str, done: int, total: int) -> None: ...


def test_what_the_engine_has_is_taken_and_nobody_is_asked(stored: FolderBlobs) -> None:
    engine = FakeEngine(ABSENT)
    assert resolve(engine, ImageRef("example.org/x", ABSENT), stored, silent) == engine.image(ABSENT)
    assert engine.pulled == []


def test_the_registry_comes_before_the_store_and_no_tag_is_followed(stored: FolderBlobs) -> None:
    digest, engine = stored.image(b"layer"), FakeEngine()
    engine.registry = {digest}
    found = resolve(engine, ImageRef("example.org/x", digest, "latest"), stored, silent)
    assert (found.digest, found.source) == (digest, "example.org/x")
    assert engine.pulled == [f"example.org/x@{digest}"]


def test_the_store_helps_when_the_registry_has_gone(stored: FolderBlobs) -> None:
    digest, engine, moved = stored.image(b"layer"), FakeEngine(), list[tuple[str, int, int]]()
    found = resolve(engine, ImageRef("example.org/ml/x", digest), stored, lambda *seen: moved.append(seen))
    assert (found.digest, found.source) == (digest, "store")
    assert engine.pulled[0] == f"example.org/ml/x@{digest}"
    assert engine.pulled[1].startswith("127.0.0.1:")
    assert engine.pulled[1].endswith(f"/x@{digest}")
    assert len(moved) == 2
    assert engine.names == {}


def test_an_image_built_on_the_spot_is_asked_of_no_registry_and_keeps_its_name(stored: FolderBlobs) -> None:
    digest, engine = stored.image(b"layer"), FakeEngine()
    resolve(engine, ImageRef("localhost/x", digest), stored, silent)
    assert [name.partition(":")[0] for name in engine.pulled] == ["127.0.0.1"]
    assert engine.names == {"localhost/x": digest}


def test_podman_takes_an_archive_from_the_store(stored: FolderBlobs) -> None:
    digest, engine = stored.image(b"layer"), FakeEngine()
    engine.facts = engine.facts.model_copy(update={"name": "podman"})
    assert restore(engine, ImageRef("example.org/x", digest), stored, silent).source == "store"
    assert (engine.pulled, bool(engine.loaded)) == ([], True)


def test_an_image_that_is_nowhere_says_what_each_place_said(stored: FolderBlobs) -> None:
    with pytest.raises(ImageNotFound) as caught:
        resolve(FakeEngine(), ImageRef("example.org/x", ABSENT), stored, silent)
    assert str(caught.value) == (
        f"the engine at hand has no image {ABSENT}; example.org/x@{ABSENT}: nowhere; the store does not hold it"
    )
    with pytest.raises(ImageNotFound, match="is in no registry; the store does not hold it"):
        resolve(FakeEngine(), ImageRef("localhost/x", ABSENT), stored, silent)


def test_damaged_blobs_never_become_an_image(stored: FolderBlobs) -> None:
    digest, engine = stored.image(b"layer"), FakeEngine()
    (stored.root / Digest.of(b"layer").hex).write_bytes(b"LAYER")
    with pytest.raises(RegistryUnreachable):
        resolve(engine, ImageRef("localhost/x", digest), stored, silent)
    assert engine.digests == set()


class Liar(FakeEngine):
    """Says that it pulled, and has nothing."""

    def pull(self, reference: str, progress: Progress) -> None:
        self.pulled.append(reference)


def test_a_registry_that_gives_another_image_is_not_trusted(stored: FolderBlobs) -> None:
    digest = stored.image(b"layer")
    with pytest.raises(ImageNotFound, match="yet the engine has none of") as caught:
        restore(Liar(), ImageRef("example.org/x", digest), stored, silent)
    assert "do not trust it" in caught.value.advice


class Lost(FakeEngine):
    """Is gone when it should pull."""

    def pull(self, reference: str, progress: Progress) -> None:
        raise EngineUnreachable("gone")


def test_a_lost_engine_is_no_missing_image(stored: FolderBlobs) -> None:
    with pytest.raises(EngineUnreachable):
        resolve(Lost(), ImageRef("example.org/x", ABSENT), stored, silent)


class Elsewhere(FakeEngine):
    """An engine of another machine, which knows a loaded image by its config alone."""

    def __init__(self) -> None:
        super().__init__()
        self.configs: set[Digest] = set()

    def observe(self) -> EngineFacts:
        return ENGINE.model_copy(update={"address": "ssh://elsewhere"})

    def image(self, digest: Digest, config: Digest | None = None) -> ImageFacts | None:
        if config not in self.configs:
            return None
        return ImageFacts(digest=digest, id=str(config), size=1, architecture="amd64", environment={})

    def load(self, archive: Iterable[bytes]) -> None:
        with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as tar:
            (listed,) = json.load(tar.extractfile("manifest.json") or io.BytesIO())
            names = tar.getnames()
        assert {listed["Config"], *listed["Layers"]} <= {*names}
        self.configs.add(Digest(listed["Config"].rpartition("/")[2]))


def test_an_image_that_was_loaded_elsewhere_is_known_by_its_config(stored: FolderBlobs) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    assert held(engine, ref.pinned, stored) is None
    loaded = resolve(engine, ref, stored, silent)
    assert (loaded.digest, loaded.source) == (ref.pinned, "store")
    assert held(engine, ref.pinned, stored) == loaded.model_copy(update={"source": ""})


def test_without_its_manifest_nothing_proves_what_an_image_is(stored: FolderBlobs, tmp_path: Path) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    resolve(engine, ref, stored, silent)
    (tmp_path / "empty").mkdir()
    empty = FolderBlobs(tmp_path / "empty")
    assert held(engine, ref.pinned, empty) is None
    with pytest.raises(ImageNotFound, match="the store does not hold it"):
        resolve(engine, ref, empty, silent)


def test_an_engine_that_took_another_image_is_not_trusted(stored: FolderBlobs) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    other = stored.image(b"other")
    engine.load(layout.stream(stored, other, "localhost/small:latest", "amd64"))
    assert held(engine, ref.pinned, stored) is None


def an_index(stored: FolderBlobs) -> Digest:
    """An index of two platforms of which the store keeps one, as it is archived."""
    kept, other = stored.image(b"amd"), Digest.of(b"kept by nobody")
    entries = [
        {"mediaType": MANIFEST, "digest": str(digest), "size": 1, "platform": {"os": "linux", "architecture": name}}
        for digest, name in ((other, "arm64"), (kept, "amd64"))
    ]
    return stored.add(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode())


def test_an_image_of_several_platforms_is_loaded_as_that_of_the_engine(stored: FolderBlobs) -> None:
    engine, ref = Elsewhere(), ImageRef("example.org/x", an_index(stored))
    assert held(engine, ref.pinned, stored) is None
    assert restore(engine, ref, stored, silent).digest == ref.pinned
    assert held(engine, ref.pinned, stored)


def test_an_image_of_other_platforms_only_is_not_loaded(stored: FolderBlobs) -> None:
    class Riscv(Elsewhere):
        def observe(self) -> EngineFacts:
            return super().observe().model_copy(update={"architecture": "riscv64"})

    with pytest.raises(ImageNotFound, match="without an image for linux/riscv64"):
        restore(Riscv(), ImageRef("example.org/x", an_index(stored)), stored, silent)


def test_a_padded_manifest_proves_nothing(stored: FolderBlobs, tmp_path: Path) -> None:
    """Of a bucket that others write to: longer than is read, so that only a part of it would be looked at."""
    engine, digest = Elsewhere(), stored.image(b"layer")
    evil = (tmp_path / stored.image(b"evil").hex).read_bytes()
    engine.configs.add(Manifest.parse(evil).config.digest)
    (tmp_path / digest.hex).write_bytes(evil + b" " * MANIFEST_LIMIT)
    with pytest.raises(CorruptObject):
        held(engine, digest, stored)


def test_a_blob_that_is_no_image_is_held_by_nobody(stored: FolderBlobs) -> None:
    assert held(Elsewhere(), stored.add(b"weights"), stored) is None
