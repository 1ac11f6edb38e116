from __future__ import annotations

import io
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from executor.engine import layers
from executor.engine.recipe import Recipe
from executor.errors import CorruptObject, EnvironmentMismatch, SourceUnreachable
from executor.spec.canonical import Digest

RECIPE = Recipe(
    folder=Path("unused"),
    name="tiny",
    suite="bookworm",
    architecture="amd64",
    glibc="2.36",
    python="3.11",
    source_date_epoch=86_400,
    packages=("python3",),
    env={},
    debian_lock="",
    requirements_lock="",
    digest=None,
)


def tree(root: Path, names: list[str], mode: int, time: int) -> Path:
    for name in names:
        path = root / "usr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
        os.utime(path, (time, time))
    (root / "usr/link").symlink_to("b/run")
    return root


def packed(root: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        layers.pack(tar, root, root / "usr", 86_400)
    return stream.getvalue()


def test_a_layer_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    names = ["b/run", "a", "b/" + "long" * 50]
    one = packed(tree(tmp_path / "one", names, 0o600, 1))
    two = packed(tree(tmp_path / "two", names[::-1], 0o664, 10**9))
    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["usr", "usr/a", "usr/b", "usr/" + names[2], "usr/b/run", "usr/link"]
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 86_400)}
    assert [oct(member.mode) for member in members[:2]] == ["0o755", "0o644"]


def test_a_program_stays_executable_and_a_hard_link_becomes_a_file(tmp_path: Path) -> None:
    tree(tmp_path, ["b/run"], 0o700, 1)
    (tmp_path / "usr/again").hardlink_to(tmp_path / "usr/b/run")
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path))) as tar:
        assert [tar.getmember(f"usr/{name}").mode for name in ("b/run", "again")] == [0o755, 0o755]
        assert [tar.extractfile(f"usr/{name}").read() for name in ("b/run", "again")] == [b"b/run"] * 2  # type: ignore[union-attr]


def test_platform_tags_reach_from_the_newest_library_that_fits_to_the_oldest() -> None:
    tags = layers.manylinux("2.36", "amd64")
    assert tags[0] == "manylinux_2_36_x86_64"
    assert {"manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64"} < set(tags)
    assert "manylinux_2_37_x86_64" not in tags
    assert layers.manylinux("2.41", "arm64")[0] == "manylinux_2_41_aarch64"


def test_a_missing_tool_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMismatch, match="mmdebstrap is not installed") as caught:
        layers.debian(RECIPE, tmp_path)
    assert caught.value.advice.startswith("apt-get install")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe of one small wheel, and pip set up to find it on disk only."""
    wheel = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return replace(RECIPE, requirements_lock=f"tiny==1.0 --hash={Digest.of(wheel.read_bytes())}\n")


def test_wheels_come_by_their_hash_and_only_once(
    index: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    wheels = layers.wheelhouse(index, work)
    assert [wheel.name for wheel in wheels.iterdir()] == ["tiny-1.0-py3-none-any.whl"]
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert layers.wheelhouse(index, work) == wheels


def test_a_wheel_of_another_hash_is_refused_and_nothing_is_kept(index: Recipe, tmp_path: Path) -> None:
    wrong = replace(index, requirements_lock=f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SourceUnreachable, match=r"(?s)pip could not get every wheel.*(HASHES|hashes)"):
        layers.wheelhouse(wrong, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_cached_wheel_that_rotted_is_noticed(index: Recipe, tmp_path: Path) -> None:
    wheels = layers.wheelhouse(index, tmp_path / "work")
    next(wheels.iterdir()).write_bytes(b"rot")
    with pytest.raises(CorruptObject, match=r"a hash in requirements\.lock"):
        layers.wheelhouse(index, tmp_path / "work")
