from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from executor.engine import images, layout
from executor.errors import ImageNotFound
from executor.facts import EngineFacts, ImageFacts
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from tests.fakes import ENGINE, FakeEngine
from tests.unit.engine.blobs import FolderBlobs


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


@pytest.fixture
def stored(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


def test_an_image_that_was_loaded_elsewhere_is_known_by_its_config(stored: FolderBlobs) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    assert images.held(engine, ref.pinned, stored) is None
    loaded = images.resolve(engine, ref, stored, lambda *_: None)
    assert (loaded.digest, loaded.source) == (ref.pinned, "store")
    assert images.held(engine, ref.pinned, stored) == loaded.model_copy(update={"source": ""})


def test_without_its_manifest_nothing_proves_what_an_image_is(stored: FolderBlobs, tmp_path: Path) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    images.resolve(engine, ref, stored, lambda *_: None)
    (tmp_path / "empty").mkdir()
    empty = FolderBlobs(tmp_path / "empty")
    assert images.held(engine, ref.pinned, empty) is None
    with pytest.raises(ImageNotFound, match="the store does not hold it"):
        images.resolve(engine, ref, empty, lambda *_: None)


def test_an_engine_that_took_another_image_is_not_trusted(stored: FolderBlobs) -> None:
    engine, ref = Elsewhere(), ImageRef("localhost/small", stored.image(b"layer"))
    other = stored.image(b"other")
    engine.load(layout.stream(stored, other, "localhost/small:latest"))
    assert images.held(engine, ref.pinned, stored) is None
