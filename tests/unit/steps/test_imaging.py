from pathlib import Path

import pytest

from executor.engine import build
from executor.engine.oci import BlobSink
from executor.errors import ImageNotFound, UsageError
from executor.spec.canonical import Digest, sealed
from executor.spec.scalars import ImageRef
from executor.steps.imaging import archive_image, build_image, restore_image
from executor.steps.prepare import Blobs
from executor.store import layout
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import World


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose image is two layers of a few bytes."""
    made = FolderBlobs(tmp_path / "blobs")
    made.root.mkdir()
    digest = made.image(b"base", b"wheels")

    def fake(folder: Path, sink: BlobSink, work: Path, report: object, *, update: bool) -> build.BuiltImage:
        for path in made.root.iterdir():
            with made.open(digest) as manifest:
                data = manifest.read()
            sink.put(path, type(digest)(path.name), path.stat().st_size)
        return build.BuiltImage("tiny", digest, data, 10, ("libc6: locked 1, found 2",) if update else ())

    monkeypatch.setattr(build, "build", fake)
    return tmp_path


def test_an_image_is_kept_loaded_and_named(world: World, recipe: Path) -> None:
    said: list[str] = []
    made = build_image(recipe, world.site, update=False, report=said.append)
    ref = ImageRef.parse(made.ref)
    assert (ref.name, ref.pinned) == ("localhost/tiny", made.digest)
    assert Blobs(world.store).size(made.digest)
    assert world.store.contents[layout.image(made.digest)] == sealed({"ref": made.ref})
    assert world.engine.image(made.digest) is not None
    assert world.engine.names == {"localhost/tiny": made.digest}
    assert said == ["the engine loads it"]
    assert (made.size, made.changed) == (10, ())


def test_an_image_that_the_engine_has_is_not_loaded_again(world: World, recipe: Path) -> None:
    made = [build_image(recipe, world.site, update=False, report=lambda _: None) for _ in range(2)]
    assert made[0] == made[1]
    assert len(world.engine.pulled) == 1


def test_podman_is_given_an_archive(world: World, recipe: Path) -> None:
    world.engine.facts = world.engine.facts.model_copy(update={"name": "podman"})
    made = build_image(recipe, world.site, update=False, report=lambda _: None)
    assert world.engine.image(made.digest) is not None
    assert (world.engine.pulled, len(world.engine.loaded) > 0) == ([], True)


def test_what_differs_from_the_locks_is_said(world: World, recipe: Path) -> None:
    made = build_image(recipe, world.site, update=True, report=lambda _: None)
    assert made.changed == ("libc6: locked 1, found 2",)


# Archived and restored ---------------------------------------------------------------------------------------------


@pytest.fixture
def other(world: World, recipe: Path) -> ImageRef:
    """An image that the engine and the store have, under a name of a registry."""
    digest = build_image(recipe, world.site, update=False, report=lambda _: None).digest
    del world.store.contents[layout.image(digest)]
    return ImageRef("example.org/acme/tiny", digest)


def test_an_image_is_archived_by_its_digest_whatever_it_is_called(world: World, other: ImageRef) -> None:
    world.engine.digests = {other.pinned}
    for wanted in (other, ImageRef(other.name, tag="v1")):  # the engine knows whose tag it is
        ref, size = archive_image(wanted, world.site)
        assert ref.digest == other.digest
        assert size == sum(len(data) for key, data in world.store.contents.items() if key.startswith("v1/blobs/"))
    assert world.store.contents[layout.image(other.pinned)] == sealed({"ref": str(other)})


def test_an_image_is_restored_by_name_or_by_its_digest_alone(world: World, other: ImageRef) -> None:
    archive_image(other, world.site)
    assert restore_image(str(other), world.site)[1].source == ""
    for text in (str(other), str(other.digest)):
        world.engine.digests.clear()
        ref, found = restore_image(text, world.site)
        assert (ref, found.digest, found.source) == (other, other.digest, "store")
        assert world.engine.pulled[-1].startswith("127.0.0.1:")


def test_an_image_that_was_never_archived_by_name_is_restored_all_the_same(world: World, other: ImageRef) -> None:
    world.engine.digests.clear()
    ref, found = restore_image(str(other.digest), world.site)
    assert (ref.name, found.digest) == ("localhost/restored", other.digest)


def test_what_a_store_says_moves_no_name_that_another_image_has(world: World, other: ImageRef) -> None:
    world.store.contents[layout.image(other.pinned)] = sealed({"ref": f"localhost/torch@{other.digest}"})
    world.engine.digests = {Digest.of(b"the torch that people use here")}
    assert restore_image(str(other.digest), world.site)[0].name == "localhost/restored"
    assert "localhost/torch" not in world.engine.names
    world.engine.digests.clear()
    assert restore_image(str(other.digest), world.site)[0].name == "localhost/torch"


@pytest.mark.parametrize(
    "root", [b"", b"{", b"[]", b"[" * 100_000, b'{"ref": 7}', b'{"ref": "x y"}', b'{"ref": "example.org/x"}',
             sealed({"ref": "example.org/x"}).replace(b"org", b"com"),
             sealed({"ref": f"example.org/x@{Digest.of(b'another')}"})],
)  # fmt: skip
def test_a_root_that_makes_no_sense_names_nothing(world: World, other: ImageRef, root: bytes) -> None:
    world.store.contents[layout.image(other.pinned)] = root
    world.engine.digests.clear()
    assert restore_image(str(other.digest), world.site)[0].name == "localhost/restored"


def test_an_image_that_the_store_does_not_hold_is_told(world: World) -> None:
    with pytest.raises(ImageNotFound, match="does not hold an image"):
        restore_image(str(Digest.of(b"nobody has this")), world.site)


@pytest.mark.parametrize("text", ["", "localhost/tiny", "localhost/tiny:latest", "sha256:12", "a b@sha256:12", "\x1b"])
def test_what_names_no_digest_cannot_be_restored(world: World, text: str) -> None:
    with pytest.raises(UsageError, match="expected name@sha256"):
        restore_image(text, world.site)
