"""Collecting outputs from a folder that a program filled, a hostile one too."""

import itertools
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from executor.engine.outputs import Collected, OutputLimits, collect
from executor.errors import EngineUnreachable
from executor.facts import Role
from executor.spec.canonical import Digest

MIB = 2**20
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def role_of(path: str) -> Role:
    return "weights" if path.endswith(".pt") else "file"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "staging").mkdir(mode=0o700)
    return tmp_path / "outputs"


def run(outputs: Path, **limits: int) -> Collected:
    return collect(outputs, outputs.parent / "staging", role_of, OutputLimits(**limits))


def reasons(outputs: Path, **limits: int) -> dict[str, str]:
    collected = run(outputs, **limits)
    assert [file.path for file in collected.files] == []
    return {refused.path: refused.reason for refused in collected.refused}


def test_files_are_listed_by_content_with_role_and_staged(outputs: Path) -> None:
    (outputs / "sub" / "empty").mkdir(parents=True)
    (outputs / "sub" / "m.pt").write_bytes(b"weights")
    (outputs / "run").write_bytes(b"")
    (outputs / "run").chmod(0o755)
    collected = run(outputs)
    assert [(f.path, f.size, f.role, f.executable) for f in collected.files] == [
        ("run", 0, "file", True), ("sub/m.pt", 7, "weights", False),
    ]  # fmt: skip
    assert collected.files[1].digest == Digest.of(b"weights")
    assert (outputs.parent / "staging/sub/m.pt").read_bytes() == b"weights"
    assert collected.refused == ()


def test_no_output_is_an_empty_list(outputs: Path) -> None:
    assert run(outputs) == Collected((), ())


def test_unicode_names_are_kept_as_they_are(outputs: Path) -> None:
    names = ["é", "e\u0301", "文件", "\u202egnp", "a\\b", " ", "-rf", "A", "a"]
    for name in names:
        (outputs / name).write_text(name)
    assert [file.path for file in run(outputs).files] == sorted(names)


def test_links_of_every_kind_are_refused_by_name(outputs: Path) -> None:
    secret = outputs.parent / "secret"
    secret.write_text("secret")
    (outputs / "absolute").symlink_to(secret)
    (outputs / "folder").symlink_to(outputs.parent)
    (outputs / "inside").symlink_to("folder")
    (outputs / "dangling").symlink_to("nowhere")
    (outputs / "hard").hardlink_to(secret)
    link = "a symbolic link, not a regular file"
    assert reasons(outputs) == {
        "absolute": link, "folder": link, "inside": link, "dangling": link,
        "hard": "a hard link: the file has several names",
    }  # fmt: skip


def test_fifos_sockets_and_set_id_files_are_refused_without_waiting(outputs: Path) -> None:
    os.mkfifo(outputs / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(outputs / "socket"))
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755)):
        (outputs / name).touch()
        (outputs / name).chmod(mode)
    assert reasons(outputs) == {
        "fifo": "a FIFO, not a regular file", "socket": "a socket, not a regular file",
        "setgid": "a set-user-id or set-group-id file", "setuid": "a set-user-id or set-group-id file",
    }  # fmt: skip


@root_only
def test_devices_are_refused_and_never_opened(outputs: Path) -> None:
    os.mknod(outputs / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(outputs / "tape", stat.S_IFBLK | 0o666, os.makedev(250, 250))
    assert set(reasons(outputs).values()) == {"a device, not a regular file"}


def test_the_folder_itself_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(NotADirectoryError):
        collect(tmp_path / "link", tmp_path, role_of, OutputLimits())


def test_names_that_are_not_text_are_refused_and_shown_escaped(outputs: Path) -> None:
    for name in (b"\xff", b"a\nb", b"\x1b[31m", b"\x7f"):
        Path(os.fsdecode(os.fsencode(outputs) + b"/" + name)).touch()
    control = "the name holds a control character"
    assert reasons(outputs) == {
        "\\xff": "the name is not UTF-8", "a\\nb": control, "\\x1b[31m": control, "\\x7f": control,
    }  # fmt: skip


def test_limits_are_named(outputs: Path) -> None:
    (outputs / "a" / "b").mkdir(parents=True)
    (outputs / "a" / "b" / "c").write_text("123")
    assert reasons(outputs, depth=1) == {"a/b": "more than 1 folders deep"}
    assert reasons(outputs, path=4) == {"a/b/c": "the path is longer than 4 bytes"}
    assert reasons(outputs, bytes=2) == {"a/b/c": "more than 2 bytes of outputs"}
    assert reasons(outputs, files=2) == {"a/b/c": "more than 2 files; this and the rest were not kept"}
    assert len(run(outputs, depth=2, path=5, bytes=3, files=3).files) == 1


def test_a_flood_of_files_ends_at_the_limit(outputs: Path) -> None:
    for number in range(50):
        (outputs / f"{number:02}").touch()
        (outputs / f"d{number}").mkdir()
    collected = run(outputs, files=10)
    assert (len(collected.files), len(collected.refused)) == (10, 1)


def test_holes_are_counted_and_blocks_alone_do_not_accuse(outputs: Path) -> None:
    with (outputs / "sparse").open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(2 * MIB)
        file.write(b"x" * MIB)
    assert reasons(outputs, hole=3 * MIB - 1) == {
        "sparse": f"a sparse file with more than {3 * MIB - 1} bytes of holes"
    }
    assert run(outputs, hole=3 * MIB).files[0].size == 4 * MIB


def test_ten_terabytes_of_nothing_are_refused_at_once(outputs: Path) -> None:
    with (outputs / "huge").open("wb") as file:
        file.truncate(10 * 2**40)
    started = time.monotonic()
    assert "bytes of outputs" in reasons(outputs)["huge"]
    assert "bytes of holes" in reasons(outputs, bytes=2**60)["huge"]
    assert time.monotonic() - started < 1


def test_a_path_longer_than_the_system_takes_is_refused(outputs: Path) -> None:
    here = os.open(outputs, os.O_DIRECTORY)
    for _ in range(60):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert list(reasons(outputs).values()) == ["the path is longer than 1024 bytes"]


def test_a_growing_file_is_refused_and_does_not_go_on_for_ever(outputs: Path) -> None:
    (outputs / "log").write_bytes(b"x" * 64 * MIB)
    done = threading.Event()

    def grow() -> None:
        with (outputs / "log").open("ab") as file:
            while not done.is_set():
                file.write(b"y" * 1000)
                file.flush()
                time.sleep(0.001)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert reasons(outputs) == {"log": "changed while it was read"}
    finally:
        done.set()
        writer.join()


def test_a_full_disk_is_not_blamed_on_the_program(outputs: Path) -> None:
    (outputs / "a").write_text("1")
    (outputs.parent / "staging" / "a").touch()
    with pytest.raises(EngineUnreachable, match="File exists"):
        run(outputs)


@root_only
def test_another_file_system_inside_is_refused(outputs: Path) -> None:
    (outputs / "proc").mkdir()
    if os.system(f"mount -t tmpfs none {outputs}/proc 2>/dev/null") != 0:
        pytest.skip("cannot mount here")
    try:
        assert reasons(outputs) == {"proc": "on another file system"}
    finally:
        os.system(f"umount {outputs}/proc")


def test_swapping_names_leaks_nothing_and_hangs_nothing(outputs: Path) -> None:
    """One thread swaps a file, a link to a secret, a FIFO and a folder link under the collector's eyes."""
    secret = outputs.parent / "secret"
    secret.mkdir()
    (secret / "x").write_text("secret")
    name, done = outputs / "name", threading.Event()

    def swap() -> None:
        for turn in itertools.count():
            if done.is_set():
                return
            new = outputs.parent / "new"
            with suppress(FileNotFoundError, IsADirectoryError):
                new.unlink()
            if turn % 4 == 0:
                new.write_text("plain")
            elif turn % 4 == 1:
                new.symlink_to(secret / "x")
            elif turn % 4 == 2:
                os.mkfifo(new)
            else:
                new.symlink_to(secret)
            with suppress(OSError):
                new.rename(name)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen, ends = set[Digest](), time.monotonic() + 3
    try:
        for turn in itertools.count():
            if time.monotonic() > ends:
                break
            staging = outputs.parent / f"staging{turn}"
            staging.mkdir()
            seen |= {file.digest for file in collect(outputs, staging, role_of, OutputLimits()).files}
    finally:
        done.set()
        swapper.join()
    assert turn > 100
    assert Digest.of(b"secret") not in seen
    assert seen <= {Digest.of(b"plain"), Digest.of(b"")}
