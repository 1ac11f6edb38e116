"""Data trees in a store, and what others may have put there."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from executor.errors import CorruptObject
from executor.spec.canonical import Digest
from executor.spec.tree import TREE_TAG, Tree, scan
from executor.steps.keeping.trees import keep, listed, restorer
from executor.store import layout
from tests.fakes import MemoryStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "deep" / "x.csv").write_text("1,2\n")
    (folder / "same.csv").write_text("1,2\n")
    (folder / "empty").touch()
    (folder / "tool").write_text("#!")
    (folder / "tool").chmod(0o755)
    (folder / "large").write_bytes(bytes(3 << 20))
    (folder / "link").symlink_to("tool")
    return folder


def kept(store: MemoryStore, folder: Path) -> Tree:
    tree = scan(folder)
    store.put_bytes(tree.manifest())
    keep(store, tree, folder)
    return tree


def test_a_tree_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    store, moved = MemoryStore(), list[int]()
    tree = kept(store, folder)
    assert listed(store, tree.hash) == tree
    write = restorer(store, tree.hash, moved.append)
    assert write
    back = tmp_path / "back"
    back.mkdir()
    write(back)
    assert scan(back) == tree
    assert stat.S_IMODE((back / "link").stat().st_mode) & 0o100
    assert (sum(moved), sorted(path.name for path in back.rglob("*") if path.is_dir())) == (tree.size, ["deep", "sub"])


def test_nothing_is_sent_twice(folder: Path) -> None:
    store = MemoryStore()
    tree = kept(store, folder)
    store.requests.clear()
    keep(store, tree, folder)
    assert [request for request in store.requests if request.startswith("put")] == []


def test_a_tree_that_is_not_all_there_is_not_restored(folder: Path) -> None:
    store = MemoryStore()
    tree = kept(store, folder)
    assert restorer(store, Digest.of(b"another")) is None
    del store.contents[layout.blob(tree.entries[0].digest)]
    assert restorer(store, tree.hash) is None
    assert listed(store, tree.hash) == tree


def test_wrong_bytes_are_never_written_as_if_they_were_right(folder: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    tree = kept(store, folder)
    store.contents[layout.blob(Digest.of(b"1,2\n"))] = b"1,3\n"
    write = restorer(store, tree.hash)
    assert write
    with pytest.raises(CorruptObject):
        write(tmp_path)
    assert not (tmp_path / "same.csv").exists()


X = Digest.of(b"x").hex


@pytest.mark.parametrize(
    "rows",
    [
        [["../x", 1, X, False]],
        [["/etc/passwd", 1, X, False]],
        [["a/../../x", 1, X, False]],
        [["a//x", 1, X, False]],
        [["x\0y", 1, X, False]],
        [["x", 1, X, False], ["x", 1, X, False]],
        [["x", 1, X, False], ["x/y", 1, X, False]],
        [["x", -1, X, False]],
        [["x", 1, "md5", False]],
        [["\ud800", 1, X, False]],
        [["x", 1, X, "yes"]],
    ],
)
def test_a_manifest_that_names_what_no_tree_holds_is_refused(rows: list[object]) -> None:
    store = MemoryStore()
    lines = (json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
    digest = store.put_bytes(TREE_TAG + b"".join(lines))
    with pytest.raises(CorruptObject, match="the manifest of a data tree"):
        restorer(store, digest)


def test_a_blob_that_is_no_manifest_is_told() -> None:
    store = MemoryStore()
    with pytest.raises(CorruptObject, match="the manifest of a data tree"):
        listed(store, store.put_bytes(b"weights"))
