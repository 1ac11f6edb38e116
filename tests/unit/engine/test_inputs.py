"""Inputs are put in place verified, from wherever they can still be had."""

import io
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from executor.engine.inputs import Fetcher, Restore, prepare_code, prepare_data, recheck
from executor.errors import InputMismatch, SourceUnreachable, UsageError
from executor.spec.canonical import Digest
from executor.spec.model import Code, Data
from executor.spec.tree import HashCache, Progress, scan
from tests.unit.engine.repos import ENV, make_repo, run_git


@pytest.fixture
def code(tmp_path: Path) -> Code:
    repo = make_repo(tmp_path / "repo", **{"train.py": "print(1)\n"})
    return Code(commit=run_git(repo, "rev-parse", "HEAD"), repo=str(repo))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x.csv").write_text("1,2\n")
    (folder / "tool").write_text("#!")
    (folder / "tool").chmod(0o755)
    return folder


@pytest.fixture
def hashes(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "hashes.sqlite", time.time_ns())


def copying(source: Path, asked: list[str]) -> Fetcher:
    def fetch(url: str, target: Path, _progress: Progress | None = None) -> None:
        asked.append(url)
        shutil.copytree(source, target, dirs_exist_ok=True)

    return fetch


def refuse(_url: str, _target: Path, _progress: Progress | None = None) -> None:
    raise SourceUnreachable("asked again")


def test_code_comes_from_the_repository_once_then_from_the_cache(code: Code, tmp_path: Path) -> None:
    first = prepare_code(code, tmp_path / "one", tmp_path / "cache", env=ENV)
    shutil.rmtree(code.repo)
    second = prepare_code(code, tmp_path / "two", tmp_path / "cache", env=ENV)
    assert (first.source, second.source) == ("repository", "cache")
    assert first.archive == second.archive
    assert (tmp_path / "two" / "train.py").read_text() == "print(1)\n"


def test_scribbling_in_one_copy_reaches_no_other(code: Code, tmp_path: Path) -> None:
    prepare_code(code, tmp_path / "one", tmp_path / "cache", env=ENV)
    (tmp_path / "one" / "train.py").write_text("scribbled")
    prepare_code(code, tmp_path / "two", tmp_path / "cache", env=ENV)
    assert (tmp_path / "two" / "train.py").read_text() == "print(1)\n"


def test_a_damaged_cache_is_fetched_anew(code: Code, tmp_path: Path) -> None:
    archive = prepare_code(code, tmp_path / "one", tmp_path / "cache", env=ENV).archive
    good = archive.read_bytes()
    for bad in (good.replace(b"print(1)", b"print(2)"), good[:600], b""):
        archive.write_bytes(bad)
        target = tmp_path / f"again{len(bad)}"
        target.mkdir()
        assert prepare_code(code, target, tmp_path / "cache", env=ENV).source == "repository"
        assert (target / "train.py").read_text() == "print(1)\n"
        assert archive.read_bytes() == good


@pytest.mark.parametrize("repo", ["/gone", "", "/", "ext::x"])
def test_a_stored_archive_stands_in_for_a_repository_that_is_gone(code: Code, tmp_path: Path, repo: str) -> None:
    stored = prepare_code(code, tmp_path / "one", tmp_path / "cache", env=ENV).archive.read_bytes()
    lost = Code(commit=code.commit, repo=repo)
    found = prepare_code(lost, tmp_path / "two", tmp_path / "other", env=ENV, archive=lambda: io.BytesIO(stored))
    assert found.source == "archive"
    assert found.archive.read_bytes() == stored
    assert (tmp_path / "two" / "train.py").stat().st_mtime == (tmp_path / "one" / "train.py").stat().st_mtime
    with pytest.raises((SourceUnreachable, UsageError)):
        prepare_code(lost, tmp_path / "three", tmp_path / "empty", env=ENV)


def test_a_stored_archive_of_something_else_is_refused(code: Code, tmp_path: Path) -> None:
    stored = prepare_code(code, tmp_path / "one", tmp_path / "cache", env=ENV).archive.read_bytes()
    other = Code(commit="0" * 40)
    with pytest.raises(InputMismatch, match="without it"):
        prepare_code(other, tmp_path / "two", tmp_path / "cache", env=ENV, archive=lambda: io.BytesIO(stored))


def test_a_folder_is_mounted_where_it_lies(folder: Path, tmp_path: Path, hashes: HashCache) -> None:
    wanted = Data(hash=scan(folder).hash, source=str(folder))
    found = prepare_data("d", wanted, tmp_path / "cache", {}, hashes=hashes)
    assert (found.path, found.source, found.tree) == (folder, "local", scan(folder))
    assert prepare_data("d", Data(hash=wanted.hash, source=f"file://{folder}"), tmp_path / "cache", {}, hashes=hashes)


def test_another_tree_is_a_mismatch(folder: Path, tmp_path: Path, hashes: HashCache) -> None:
    wanted = Data(hash=Digest.of(b"other"), source=str(folder))
    with pytest.raises(InputMismatch) as caught:
        prepare_data("d", wanted, tmp_path / "cache", {}, hashes=hashes)
    assert caught.value.field == "data.d.hash"
    assert caught.value.observed.startswith(str(scan(folder).hash))


@pytest.mark.parametrize("hidden", ["sub/x.csv", "sub", "."])
def test_a_folder_that_not_everyone_may_read_is_copied(
    folder: Path, tmp_path: Path, hashes: HashCache, hidden: str
) -> None:
    (folder / hidden).chmod(0o700)
    tree = scan(folder)
    found = prepare_data("d", Data(hash=tree.hash, source=str(folder)), tmp_path / "cache", {}, hashes=hashes)
    assert found.path == tmp_path / "cache" / tree.hash.hex
    assert scan(found.path) == tree
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (found.path, *found.path.rglob("*"))}
    assert {modes["sub"], modes[found.path.name]} == {0o755}
    assert (modes["x.csv"], modes["tool"]) == (0o555 if hidden == "sub/x.csv" else 0o444, 0o555)


def test_one_file_is_a_folder_with_it(folder: Path, tmp_path: Path, hashes: HashCache) -> None:
    file = folder / "sub" / "x.csv"
    found = prepare_data("d", Data(hash=scan(file).hash, source=str(file)), tmp_path / "cache", {}, hashes=hashes)
    assert [path.name for path in found.path.iterdir()] == ["x.csv"]


def test_what_is_fetched_is_verified_kept_and_not_fetched_again(
    folder: Path, tmp_path: Path, hashes: HashCache
) -> None:
    asked: list[str] = []
    wanted = Data(hash=scan(folder).hash, source="s3://bucket/d")
    first = prepare_data("d", wanted, tmp_path / "cache", {"s3": copying(folder, asked)}, hashes=hashes)
    second = prepare_data("d", wanted, tmp_path / "cache", {"s3": refuse}, hashes=hashes)
    assert (first.source, second.source, first.path) == ("fetched", "cache", second.path)
    assert asked == ["s3://bucket/d"]
    assert prepare_data("d", Data(hash=wanted.hash), tmp_path / "cache", {}, hashes=hashes).path == first.path


@pytest.mark.parametrize("damage", ["content", "missing", "extra", "fifo"])
def test_a_damaged_cached_copy_is_never_used(folder: Path, tmp_path: Path, hashes: HashCache, damage: str) -> None:
    wanted, asked = Data(hash=scan(folder).hash, source="s3://b/d"), list[str]()
    fetchers = {"s3": copying(folder, asked)}
    path = prepare_data("d", wanted, tmp_path / "cache", fetchers, hashes=hashes).path
    victim = path / "sub" / "x.csv"
    victim.chmod(0o644)
    if damage == "content":
        victim.write_text("1,3\n")
    elif damage == "missing":
        victim.unlink()
    elif damage == "extra":
        (path / "more").touch()
    else:
        os.mkfifo(path / "pipe")
    assert prepare_data("d", wanted, tmp_path / "cache", fetchers, hashes=hashes).source == "fetched"
    assert scan(path).hash == wanted.hash
    assert len(asked) == 2


def test_a_fetch_that_fails_or_brings_something_else_leaves_nothing(
    folder: Path, tmp_path: Path, hashes: HashCache
) -> None:
    wrong, cache = Data(hash=Digest.of(b"x"), source="s3://b/d"), tmp_path / "cache"
    with pytest.raises(InputMismatch, match="s3://b/d"):
        prepare_data("d", wrong, cache, {"s3": copying(folder, [])}, hashes=hashes)
    with pytest.raises(SourceUnreachable, match="asked again"):
        prepare_data("d", wrong, cache, {"s3": refuse}, hashes=hashes)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def restoring(folder: Path, asked: list[str]) -> Callable[[], Restore | None]:
    """An archive that holds what is in `folder` now; notes that it was asked."""
    kept = {path.relative_to(folder): (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*.*")}
    kept |= {Path("tool"): ((folder / "tool").read_bytes(), 0o755)}

    def archive() -> Restore:
        def restore(target: Path) -> None:
            for name, (data, mode) in kept.items():
                (target / name).parent.mkdir(exist_ok=True)
                (target / name).write_bytes(data)
                (target / name).chmod(mode)

        asked.append("archive")
        return restore

    return archive


@pytest.mark.parametrize("state", ["there", "gone", "changed", "unusable", "elsewhere", "unnamed"])
def test_the_archive_helps_when_the_data_is_not_here(
    folder: Path, tmp_path: Path, hashes: HashCache, state: str
) -> None:
    asked, tree = list[str](), scan(folder)
    source = {"elsewhere": "s3://bucket/d", "unnamed": ""}.get(state, str(folder))
    archive = restoring(folder, asked)
    if state == "gone":
        shutil.rmtree(folder)
    elif state == "changed":
        (folder / "tool").write_text("#!/bin/sh")
    elif state == "unusable":
        os.mkfifo(folder / "pipe")
    found = prepare_data("d", Data(hash=tree.hash, source=source), tmp_path / "cache", {"s3": refuse}, hashes=hashes,
                         archive=archive)  # fmt: skip
    assert (found.tree, scan(found.path)) == (tree, tree)
    assert (found.source, asked) == (("local", []) if state == "there" else ("archive", ["archive"]))
    again = prepare_data("d", Data(hash=tree.hash), tmp_path / "cache", {}, hashes=hashes, archive=archive)
    assert (again.source, asked) == ("archive" if state == "there" else "cache", ["archive"])


def test_without_an_archive_what_was_wrong_with_the_source_is_told(
    folder: Path, tmp_path: Path, hashes: HashCache
) -> None:
    wrong = Data(hash=Digest.of(b"x"), source=str(folder))
    with pytest.raises(InputMismatch):
        prepare_data("d", wrong, tmp_path / "cache", {}, hashes=hashes, archive=lambda: None)
    with pytest.raises(InputMismatch):  # and another tree from the archive is not taken either
        prepare_data("d", wrong, tmp_path / "cache", {}, hashes=hashes, archive=restoring(folder, []))
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_what_a_killed_process_left_half_fetched_is_cleared(folder: Path, tmp_path: Path, hashes: HashCache) -> None:
    wanted = Data(hash=scan(folder).hash, source="s3://b/d")
    half = tmp_path / "cache" / f"{wanted.hash.hex}.part"
    half.mkdir(parents=True)
    (half / "half").touch()
    found = prepare_data("d", wanted, tmp_path / "cache", {"s3": copying(folder, [])}, hashes=hashes)
    assert found.tree == scan(folder)
    assert not half.exists()


def test_sources_that_are_none_are_told_apart(tmp_path: Path, hashes: HashCache) -> None:
    for source, kind, message in (
        ("", SourceUnreachable, "no source is named"),
        (str(tmp_path / "gone"), SourceUnreachable, "there is nothing at"),
        ("gs://b/d", UsageError, "cannot fetch gs://b/d"),
    ):
        with pytest.raises(kind, match=message):
            prepare_data("d", Data(hash=Digest.of(b""), source=source), tmp_path / "cache", {}, hashes=hashes)


def test_data_that_changes_during_the_run_is_a_finding(folder: Path, tmp_path: Path, hashes: HashCache) -> None:
    wanted = Data(hash=scan(folder).hash, source=str(folder))
    found = prepare_data("d", wanted, tmp_path / "cache", {}, hashes=hashes)
    assert recheck(found, hashes) == []
    (folder / "sub" / "x.csv").write_text("1,3\n")
    (finding,) = recheck(found, hashes)
    assert (finding.field, finding.expected, finding.severity) == ("data.d.hash", str(wanted.hash), "warn")
    shutil.rmtree(folder)
    assert recheck(found, hashes)[0].observed == "a tree that cannot be read"
