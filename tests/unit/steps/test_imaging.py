from pathlib import Path

import pytest

from executor.engine import build
from executor.engine.oci import BlobSink
from executor.spec.scalars import ImageRef
from executor.steps.imaging import build_image
from executor.steps.prepare import Blobs
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
