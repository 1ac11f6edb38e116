from __future__ import annotations

from pathlib import Path

import pytest

from executor.engine.recipe import Recipe, changes
from executor.errors import UsageError
from executor.spec.canonical import Digest

RECIPES = Path(__file__).parents[3] / "images"
GOOD = """
name = "tiny"
suite = "bookworm"
architecture = "amd64"
glibc = "2.36"
python = "3.11"
source_date_epoch = 0
packages = ["python3", "ca-certificates"]
[env]
LANG = "C.UTF-8"
"""


def folder(path: Path, recipe: str = GOOD) -> Path:
    (path / "recipe.toml").write_text(recipe)
    (path / "requirements.lock").write_text("a==1 --hash=sha256:" + "a" * 64 + " \\\n    --hash=sha256:" + "b" * 64)
    return path


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = Recipe.read(folder(tmp_path))
    assert (recipe.name, recipe.packages) == ("tiny", ("ca-certificates", "python3"))
    assert recipe.wheel_hashes == {"a" * 64, "b" * 64}
    assert (recipe.debian_lock, recipe.digest) == ("", None)


def test_pin_writes_what_the_next_read_finds(tmp_path: Path) -> None:
    Recipe.read(folder(tmp_path)).pin("libc6=2.36 sha256:00\n", Digest.of(b"image"))
    recipe = Recipe.read(tmp_path)
    assert (recipe.debian_lock, recipe.digest) == ("libc6=2.36 sha256:00\n", Digest.of(b"image"))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (GOOD.replace('suite = "bookworm"', ""), "suite must be there, a str"),
        (GOOD.replace("source_date_epoch = 0", 'source_date_epoch = "0"'), "source_date_epoch must be there, a int"),
        ('mirror = "x"' + GOOD, "mirror is not a field of a recipe"),
        ("name = ", "Invalid value"),
    ],
)
def test_a_broken_recipe_is_refused_by_field(tmp_path: Path, recipe: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe.read(folder(tmp_path, recipe))


def test_a_folder_without_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.toml: no such file"):
        Recipe.read(tmp_path)


def test_changes_name_package_locked_and_found() -> None:
    locked = "gone=1 sha256:aa\nlibc6=2.36-9 sha256:bb\nsame=1:2=3 sha256:cc\n"
    found = "libc6=2.36-10 sha256:dd\nnew=5 sha256:ee\nsame=1:2=3 sha256:cc\n"
    assert changes(locked, found) == (
        "gone: locked 1 sha256:aa, found nothing",
        "libc6: locked 2.36-9 sha256:bb, found 2.36-10 sha256:dd",
        "new: locked nothing, found 5 sha256:ee",
    )
    assert changes(locked, locked) == ()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/recipe.toml")), ids=lambda path: path.parent.name)
def test_the_recipes_of_this_project_are_locked(path: Path) -> None:
    recipe = Recipe.read(path.parent)
    assert recipe.digest
    assert changes(recipe.debian_lock, "")
    assert "://" not in recipe.requirements_lock
    requirements = recipe.requirements_lock.replace("\\\n", "").splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in requirements)
    assert any(line.startswith("installer==") for line in requirements)
