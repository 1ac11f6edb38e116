from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.engine.outputs import OutputLimits, collect
from executor.engine.remote import packed, unpack
from executor.errors import EngineUnreachable, InputMismatch


def sent(*members: tarfile.TarInfo, end: bytes = bytes(1024)) -> Iterator[bytes]:
    """What an engine sends of a folder called `outputs`, in small pieces."""
    folder = tarfile.TarInfo("outputs")
    folder.type = tarfile.DIRTYPE
    data = b"".join(info.tobuf() + b"x" * info.size + bytes(-info.size % 512) for info in (folder, *members)) + end
    return (data[at : at + 700] for at in range(0, len(data), 700))


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, to: str = "", size: int = 0, mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, to, size, mode
    return info


def test_a_folder_comes_back_as_it_went(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "er").mkdir(parents=True)
    target.mkdir()
    (source / "deep" / "er" / "big").write_bytes(os.urandom(3_000_001))
    (source / "empty").touch()
    (source / "é\n").write_text("name")
    (source / os.fsdecode(b"\xff")).write_text("bytes")
    (source / "run").write_text("#!")
    (source / "run").chmod(0o755)
    (source / ("long" * 50)).write_text("long")
    unpack(packed({"/outputs": source}), target)
    assert (target / "deep" / "er" / "big").read_bytes() == (source / "deep" / "er" / "big").read_bytes()
    names = {path.relative_to(source) for path in source.rglob("*")}
    assert {path.relative_to(target) for path in target.rglob("*")} == names
    assert stat.S_IMODE((target / "run").stat().st_mode) == 0o755


def test_what_is_sent_belongs_to_the_runs_user_and_keeps_modes_times_and_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").chmod(0o750)
    os.utime(tmp_path / "a", (0, 1_000_000_000))
    (tmp_path / "b").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "c")
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed({"/data/x": tmp_path}))), mode="r:") as tar:
        root, a, b, c = tar.getmembers()
    assert (root.name, root.isdir()) == ("data/x", True)
    assert {(info.uid, info.gid, info.uname) for info in (root, a, b, c)} == {(1000, 1000, "")}
    assert (stat.S_IMODE(a.mode), a.mtime) == (0o750, 1_000_000_000)
    assert (b.issym(), b.linkname, c.islnk(), c.linkname) == (True, "a", True, "data/x/a")


def test_a_file_that_shrinks_while_it_is_sent_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    pieces = packed({"/data/x": tmp_path})
    next(pieces)
    next(pieces)
    os.truncate(tmp_path / "a", 10)
    with pytest.raises(InputMismatch, match=re.escape(str(tmp_path / "a"))):
        list(pieces)


def test_what_is_no_file_is_refused_as_if_it_had_been_left_here(tmp_path: Path) -> None:
    folder, staging = tmp_path / "outputs", tmp_path / "staging"
    folder.mkdir()
    staging.mkdir()
    (tmp_path / "secret").write_text("secret")
    unpack(
        sent(
            member("outputs/good", size=600),
            member("outputs/link", tarfile.SYMTYPE, to=str(tmp_path / "secret")),
            member("outputs/one", size=5),
            member("outputs/other", tarfile.LNKTYPE, to="outputs/one"),
            member("outputs/pipe", tarfile.FIFOTYPE),
            member("outputs/root", size=1, mode=0o4755),
        ),
        folder,
    )
    collected = collect(folder, staging, lambda _: "file", OutputLimits())
    assert [(file.path, file.size) for file in collected.files] == [("good", 600)]
    assert {refused.path: refused.reason for refused in collected.refused} == {
        "link": "a symbolic link, not a regular file",
        "one": "a hard link: the file has several names",
        "other": "a hard link: the file has several names",
        "pipe": "a FIFO, not a regular file",
        "root": "a set-user-id or set-group-id file",
    }


@pytest.mark.parametrize(
    "bad",
    [
        member("outputs/../escaped", size=1),
        member("/escaped", size=1),
        member("/outputs/escaped", size=1),
        member("../escaped", size=1),
        member("../outputs/../../escaped", size=1),
        member("outputs//escaped", size=1),
        member("outputs/link", tarfile.LNKTYPE, to="outputs/../../escaped"),
        member("outputs/null", tarfile.CHRTYPE),
        member("outputs/disk", tarfile.BLKTYPE),
    ],
    ids=lambda info: info.name,
)
def test_what_no_honest_engine_sends_ends_it(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    folder = tmp_path / "a" / "outputs"
    folder.mkdir(parents=True)
    with pytest.raises(EngineUnreachable, match=re.escape(bad.name)):
        unpack(sent(bad), folder)
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", folder]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: bytes) -> None:
    folder, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    first = member("outputs/link", tarfile.SYMTYPE, to=str(elsewhere))
    second = member("outputs/again", kind, to="outputs/link")
    for name in ("link/file", "again/file", "link", "again"):
        with pytest.raises(EngineUnreachable, match="did not arrive whole"):
            unpack(sent(first, second, member(f"outputs/{name}", size=1)), folder)
        for path in folder.iterdir():
            path.unlink()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("end", [b"", bytes(512)])
def test_an_archive_without_its_end_is_not_believed(tmp_path: Path, end: bytes) -> None:
    with pytest.raises(EngineUnreachable):
        unpack(sent(member("outputs/a", size=1), end=end), tmp_path)


def test_an_archive_that_ends_in_a_file_is_not_believed(tmp_path: Path) -> None:
    whole = b"".join(sent(member("outputs/a", size=5000)))
    with pytest.raises(EngineUnreachable, match="did not arrive whole"):
        unpack(iter([whole[:3000]]), tmp_path)
