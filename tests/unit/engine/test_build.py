from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.engine import layers
from executor.engine.build import BuiltImage, build
from executor.engine.oci import Manifest
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.engine.test_recipe import folder

PACKAGES = "libc6=2.36-9 sha256:aa\npython3=3.11.2 sha256:bb\n"


class Bench:
    """A build whose layers are a few bytes."""

    def __init__(self, path: Path) -> None:
        self.recipe = path / "recipe"
        self.recipe.mkdir()
        folder(self.recipe)
        self.blobs = FolderBlobs(path / "blobs")
        self.blobs.root.mkdir()
        self.work = path / "work"
        self.work.mkdir()
        self.packages = PACKAGES
        self.said: list[str] = []

    def debian(self, *_: object) -> layers.Base:
        (self.work / "base.tar").write_text("base of " + self.packages)
        return layers.Base(self.work / "base.tar", self.packages)

    def python(self, *_: object) -> Path:
        (self.work / "python.tar").write_bytes(b"wheels")
        return self.work / "python.tar"

    def build(self, *, update: bool = False) -> BuiltImage:
        return build(self.recipe, self.blobs, self.work, self.said.append, update=update)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(layers, "debian", bench.debian)
    monkeypatch.setattr(layers, "wheelhouse", lambda *_: bench.work)
    monkeypatch.setattr(layers, "python", bench.python)
    return bench


def test_every_blob_that_the_manifest_names_is_in_the_sink(bench: Bench) -> None:
    image = bench.build()
    manifest = Manifest.parse(image.manifest)
    assert Digest.of(image.manifest) == image.digest
    assert [bench.blobs.size(blob.digest) for blob in manifest] == [blob.size for blob in manifest]
    assert bench.blobs.size(image.digest) == len(image.manifest)
    assert (image.name, image.size) == ("tiny", manifest.size)


def test_config_holds_layers_settings_and_the_hashes_of_both_locks(bench: Bench) -> None:
    manifest = Manifest.parse(bench.build().manifest)
    with bench.blobs.open(manifest.config.digest) as stream:
        config = json.load(stream)
    assert config["rootfs"]["diff_ids"] == [str(layer.digest) for layer in manifest.layers]
    assert config["config"]["Env"] == ["LANG=C.UTF-8", f"PATH={layers.SEARCH_PATH}"]
    assert config["config"]["Labels"]["executor.debian.lock"] == str(Digest.of(PACKAGES.encode()))
    assert config["created"] == "1970-01-01T00:00:00Z"


def test_the_same_recipe_gives_the_same_digest_and_says_so(bench: Bench) -> None:
    first = bench.build(update=True)
    assert first.changed == (
        "debian.lock: not written yet",
        f"digest: locked nothing, built {first.digest}",
    )
    again = bench.build()
    assert (again.digest, again.changed) == (first.digest, ())


def test_a_moved_package_gives_another_digest_and_is_named(bench: Bench) -> None:
    first = bench.build(update=True)
    bench.packages = PACKAGES.replace("2.36-9 sha256:aa", "2.36-10 sha256:cc")
    moved = bench.build()
    assert moved.digest != first.digest
    assert moved.changed == (
        "libc6: locked 2.36-9 sha256:aa, found 2.36-10 sha256:cc",
        f"digest: locked {first.digest}, built {moved.digest}",
    )


def test_locks_are_written_only_when_asked(bench: Bench) -> None:
    bench.build()
    assert not (bench.recipe / "digest").exists()
    image = bench.build(update=True)
    assert (bench.recipe / "digest").read_text() == f"{image.digest}\n"
    assert (bench.recipe / "debian.lock").read_text() == PACKAGES


def test_each_step_is_reported_with_its_time(bench: Bench) -> None:
    bench.build()
    assert [line.split(":")[0] for line in bench.said] == [
        "Debian bookworm",
        "wheels",
        "wheels installed",
        "blobs kept",
    ]
