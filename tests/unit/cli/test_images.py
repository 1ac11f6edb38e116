from pathlib import Path
from typing import Any

import pytest

from executor.facts import ImageFacts
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from executor.steps import imaging
from executor.steps.imaging import Built
from tests.unit.cli.conftest import Run
from tests.unit.sites import IMAGE, World

BUILT = Built(f"localhost/tiny@{IMAGE}", IMAGE, 10, ("libc6: locked 1, found 2",))


@pytest.fixture
def built(wired: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, bool]]:
    """Stands in for a build: holds the recipes that were asked for."""
    asked: list[tuple[Path, bool]] = []

    def build_image(recipe: Path, *_: Any, update: bool, report: Any) -> Built:
        asked.append((recipe, update))
        report("wheels")
        return BUILT

    monkeypatch.setattr(imaging, "build_image", build_image)
    return asked


def recipe(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.toml").touch()
    return folder


def test_build_takes_a_folder_or_a_name(
    run: Run, built: list[tuple[Path, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path / "images" / "tiny")
    other = recipe(tmp_path / "elsewhere")
    ran = run("image", "build", "tiny")
    assert (ran.code, ran.out, ran.err) == (0, f"{BUILT.ref}\n", "· wheels\n  ! libc6: locked 1, found 2\n")
    document = run("image", "build", other, "--update", "--json").json
    assert document == {"ref": BUILT.ref, "digest": str(IMAGE), "size": 10, "changed": list(BUILT.changed)}
    assert built == [(Path("images/tiny"), False), (other, True)]


@pytest.mark.parametrize("name", ["nowhere", "/", "\x1b[2J"])
def test_build_of_no_recipe_is_told(run: Run, built: list[tuple[Path, bool]], name: str) -> None:
    ran = run("image", "build", name, "--json")
    assert (ran.code, ran.json["error"], built) == (2, "UsageError", [])
    assert "\x1b" not in ran.err


def test_pin_prints_the_reference_that_a_spec_takes(run: Run, wired: World) -> None:
    assert run("image", "pin", "localhost/torch:cpu").out == f"localhost/torch:cpu@{IMAGE}\n"
    assert run("image", "pin", "localhost/torch:cpu", "--json").json["digest"] == str(IMAGE)
    wired.engine.digests.clear()
    assert run("image", "pin", "localhost/torch:cpu", "--json").json["error"] == "NotFound"


@pytest.mark.parametrize("name", ["", "UPPER/Case", "a b", "x@sha256:12", "https://example.org/x"])
def test_pin_of_what_is_no_image_is_told(run: Run, wired: World, name: str) -> None:
    ran = run("image", "pin", name, "--json")
    assert (ran.code, ran.json["error"]) == (2, "UsageError")
    assert "expected an image" in ran.json["message"]


def test_archive_and_restore_say_which_image_it_is(run: Run, wired: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ImageRef("example.org/x", IMAGE)
    found = wired.engine.image(IMAGE)
    assert found
    asked: list[Any] = []
    source = {"source": "store"}

    def archive_image(wanted: ImageRef, _: object) -> tuple[ImageRef, int]:
        asked.append(wanted)
        return ref, 2048

    def restore_image(wanted: str, _: object) -> tuple[ImageRef, ImageFacts]:
        asked.append(wanted)
        return ref, found.model_copy(update=source)

    monkeypatch.setattr(imaging, "archive_image", archive_image)
    monkeypatch.setattr(imaging, "restore_image", restore_image)
    assert run("image", "archive", "example.org/x:1", "--json").json == {
        "ref": str(ref), "digest": str(IMAGE), "size": 2048,
    }  # fmt: skip
    ran = run("image", "archive", str(ref))
    assert (ran.out, ran.err) == (f"{ref}\n", "2.0 KiB in the store\n")
    assert run("image", "restore", str(IMAGE), "--json").json == {
        "ref": str(ref), "digest": str(IMAGE), "size": 1, "source": "store",
    }  # fmt: skip
    assert run("image", "restore", str(IMAGE)).err == "from the store\n"
    source["source"] = "engine"
    assert run("image", "restore", str(ref)).err == "the engine has it already\n"
    assert asked == [ImageRef("example.org/x", tag="1"), ref, str(IMAGE), str(IMAGE), str(ref)]


def test_what_cannot_be_archived_or_restored_is_told(run: Run, wired: World) -> None:
    assert run("image", "archive", "a b", "--json").json["error"] == "UsageError"
    assert run("image", "restore", "localhost/tiny", "--json").code == 2
    ran = run("image", "restore", str(Digest.of(b"nobody has this")), "--json")
    assert (ran.code, ran.json["error"]) == (6, "ImageNotFound")


def test_ls_lists_what_has_a_digest(run: Run, wired: World) -> None:
    assert run("image", "ls", "--json").json == [{"ref": f"localhost/fake@{IMAGE}", "digest": str(IMAGE), "size": 1}]
    assert run("image", "ls").out.splitlines()[1].startswith(f"localhost/fake@{IMAGE}")
    wired.engine.digests.clear()
    ran = run("image", "ls")
    assert (ran.code, ran.out) == (0, "")
    assert "executor image build" in ran.err
