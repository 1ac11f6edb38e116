"""A data tree: its manifest, its hash, and what of a folder belongs to it."""

import multiprocessing
import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import UsageError
from executor.spec.canonical import Digest
from executor.spec.tree import TREE_TAG, HashCache, Tree, TreeEntry, scan

EMPTY = Digest.of(b"")
OLD, LATER = 10**18, 2 * 10**18


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def problems(source: Path) -> list[str]:
    with pytest.raises(UsageError) as caught:
        scan(source)
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def settled_cache(path: Path) -> HashCache:
    return HashCache(path, time.time_ns() + 10**10)


def test_manifest_and_hash_never_change() -> None:
    tree = Tree((TreeEntry("b/é\n", 0, EMPTY), TreeEntry("a", 2, Digest.of(b"hi"), True)))
    assert tree.manifest() == (
        b"executor/tree/v1\n"
        b'["a",2,"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",true]\n'
        b'["b/\xc3\xa9\\n",0,"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",false]\n'
    )
    assert tree.hash.hex == "47ce13903f0b86ae693874b7345501e883e6434c781a9b38852be78bf32fc9ce"
    assert tree.size == 2


_names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(st.dictionaries(_names, st.tuples(st.binary(max_size=4), st.booleans()), max_size=6))
def test_every_tree_survives_its_manifest_in_any_order(files: dict[str, tuple[bytes, bool]]) -> None:
    entries = [TreeEntry(name, len(data), Digest.of(data), bit) for name, (data, bit) in files.items()]
    tree = Tree(tuple(entries))
    assert Tree.parse(tree.manifest()) == tree == Tree(tuple(reversed(entries)))


@given(_names, _names)
def test_entries_are_sorted_by_raw_bytes(one: str, other: str) -> None:
    paths = [entry.path for entry in Tree(tuple(TreeEntry(path, 0, EMPTY) for path in {one, other})).entries]
    assert [path.encode() for path in paths] == sorted(path.encode() for path in {one, other})


_HEX = EMPTY.hex.encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"executor/tree/v2\n", TREE_TAG[:-1], TREE_TAG + b"\xff\n"]
    + [TREE_TAG + row for row in (
        b"[]\n", b'["a",0,"00",false]\n', b'["a",-1,"' + _HEX + b'",false]\n', b'["a",0,"' + _HEX + b'",0]\n',
        b'["a", 0,"' + _HEX + b'",false]\n', b'["a",0,"' + _HEX + b'",false]', b'["../a",0,"' + _HEX + b'",false]\n',
    )],
)  # fmt: skip
def test_parse_refuses_what_manifest_never_writes(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Tree.parse(data)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a\0b"])
def test_paths_stay_inside(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        TreeEntry(path, 0, EMPTY)


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a", "a-b", "a/b/c")])
def test_a_path_is_there_once(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="twice"):
        Tree(tuple(TreeEntry(path, 0, EMPTY) for path in paths))


def test_scan_lists_files_with_size_digest_and_executable_bit(tmp_path: Path) -> None:
    write(tmp_path, a="one", b__c="", b__run="#!/bin/sh").joinpath("b/run").chmod(0o700)
    (tmp_path / "empty").mkdir()
    assert scan(tmp_path).entries == (
        TreeEntry("a", 3, Digest.of(b"one")),
        TreeEntry("b/c", 0, EMPTY),
        TreeEntry("b/run", 9, Digest.of(b"#!/bin/sh"), True),
    )


def test_one_file_is_a_tree_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, blob_1="x")
    (tmp_path / "named").symlink_to("blob_1")
    assert scan(tmp_path / "named").entries == (TreeEntry("named", 1, Digest.of(b"x")),)


def test_names_with_newlines_and_any_unicode_form_are_kept_apart(tmp_path: Path) -> None:
    names = ["a\nb", "é", "e\u0301", "\u202e", "\\", " "]
    for name in names:
        (tmp_path / name).write_text(name)
    tree = scan(tmp_path)
    assert {entry.path for entry in tree.entries} == set(names)
    assert Tree.parse(tree.manifest()) == tree


def test_links_inside_the_tree_count_as_what_they_point_to(tmp_path: Path) -> None:
    write(tmp_path, d__real="data")
    (tmp_path / "one").symlink_to("d/../d/./real")
    (tmp_path / "d" / "two").symlink_to("../one")
    assert {entry.digest for entry in scan(tmp_path).entries} == {Digest.of(b"data")}
    assert len(scan(tmp_path).entries) == 3


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    root = write(tmp_path / "t", ok="1", sub__ok="2")
    (root / "absolute").symlink_to(root / "ok")
    (root / "out").symlink_to("../t/ok")
    (root / "folder").symlink_to("sub")
    (root / "through").symlink_to("folder/ok")
    (root / "circle").symlink_to("circle")
    (root / "gone").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    (Path(os.fsdecode(os.fsencode(root) + b"/bad\xff"))).write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "sock"))
    assert problems(root) == [
        f"absolute: a symbolic link that leaves the tree: {root}/ok",
        "bad\\xff: the name is not UTF-8",
        "circle: a symbolic link that leads in a circle",
        "fifo: a FIFO, not a regular file",
        "folder: a link to a folder, not a regular file",
        "gone: No such file or directory",
        "out: a symbolic link that leaves the tree: ../t/ok",
        "sock: a socket, not a regular file",
        "through: a symbolic link through another one: folder/ok",
    ]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    for number in range(25):
        os.mkfifo(tmp_path / f"{number:02}")
    assert len(problems(tmp_path)) == 21
    assert problems(tmp_path)[-1] == "… and 5 more"


def test_nothing_to_hash_is_an_error(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["there are no files in it"]
    with pytest.raises(UsageError, match="no data there"):
        scan(tmp_path / "absent")


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 << 20))

    def grow(_count: int) -> None:
        with path.open("ab") as stream:
            stream.write(b"y")

    with pytest.raises(UsageError, match="log: changed while it was read"):
        scan(tmp_path, progress=grow)


def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    seen: list[int] = []
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    write(tmp_path, small="abc")
    assert scan(tmp_path, progress=seen.append).size == sum(seen)


def test_the_cache_spares_reading_and_sees_every_change(tmp_path: Path) -> None:
    root, seen = write(tmp_path / "t", a="one", b="two"), list[int]()
    cache = settled_cache(tmp_path / "cache.sqlite")
    first = scan(root, cache=cache)
    assert scan(root, cache=cache, progress=seen.append) == first
    assert seen == []
    before = (root / "a").stat()
    (root / "a").write_text("eno")
    os.utime(root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same mtime: only ctime tells
    assert scan(root, cache=cache, progress=seen.append).hash != first.hash
    assert seen == [3]


def test_a_file_touched_just_now_is_not_remembered(tmp_path: Path) -> None:
    path, seen = tmp_path / "t", list[int]()
    path.write_text("one")
    touched = path.stat().st_ctime_ns
    for age, read in ((0, [3]), (2 * 10**9, [3, 3]), (2 * 10**9 + 1, [3, 3, 3])):
        scan(path, cache=HashCache(tmp_path / "cache.sqlite", touched + age), progress=seen.append)
        assert seen == read
    scan(path, cache=HashCache(tmp_path / "cache.sqlite", touched), progress=seen.append)
    assert seen == [3, 3, 3]


def test_a_cache_file_that_is_none_says_so(tmp_path: Path) -> None:
    write(tmp_path, t__a="1", cache="not a database, but long enough to be looked at as one" * 100)
    with pytest.raises(UsageError, match=r"cache: .*not a database") as caught:
        scan(tmp_path / "t", cache=settled_cache(tmp_path / "cache"))
    assert "delete" in caught.value.advice


def _scan_often(root: Path, cache: Path) -> None:
    for _ in range(10):
        scan(root, cache=settled_cache(cache))


def test_several_processes_share_one_cache(tmp_path: Path) -> None:
    root = write(tmp_path / "t", **{f"file{number}": str(number) for number in range(50)})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_scan_often, args=(root, tmp_path / "cache")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert scan(root, cache=settled_cache(tmp_path / "cache")) == scan(root)
