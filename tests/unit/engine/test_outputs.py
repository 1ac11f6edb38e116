"""Collecting outputs from a folder that a program filled, a hostile one too."""

import itertools
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from executor.engine.outputs import Collected, OutputLimits, collect
from executor.errors import DiskFailed
from executor.facts import Role
from executor.spec.canonical import Digest

MIB = 2**20
SCANS = int(os.environ.get("EXECUTOR_TEST_SCANS", "15000"))
"""How often the collector looks while names are swapped."""
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
    with pytest.raises(DiskFailed, match="File exists"):
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
    secret, staging = outputs.parent / "secret", outputs.parent / "staging"
    secret.mkdir()
    (secret / "x").write_text("secret")
    name, done, swaps = outputs / "name", threading.Event(), 0

    def swap() -> None:
        nonlocal swaps
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
            swaps = turn

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen, reasons, scans = set[Digest](), set[str](), 0
    try:
        while scans < SCANS or swaps < SCANS / 10:
            scans += 1
            collected = collect(outputs, staging, role_of, OutputLimits())
            seen |= {file.digest for file in collected.files}
            reasons |= {refused.reason for refused in collected.refused}
            (staging / "name").unlink(missing_ok=True)
    finally:
        done.set()
        swapper.join()
    assert len(reasons) > 1
    assert Digest.of(b"secret") not in seen
    assert seen <= {Digest.of(b"plain"), Digest.of(b"")}


Build = Callable[[Path, Path], None]
"""Fills an output folder; what the second folder holds must not come out."""


def sockets(outputs: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(outputs / "x"))


def holes(outputs: Path, _: Path) -> None:
    with (outputs / "x").open("wb") as file:
        file.truncate(10 * 2**40)


def deep(outputs: Path, _: Path) -> None:
    here = outputs
    for _depth in range(70):
        here = here / "x"
    here.mkdir(parents=True)


def mode(bits: int) -> Build:
    def build(outputs: Path, _: Path) -> None:
        (outputs / "x").touch()
        (outputs / "x").chmod(bits)

    return build


def device(kind: int, major: int, minor: int) -> Build:
    return lambda outputs, _: os.mknod(outputs / "x", kind | 0o666, os.makedev(major, minor))


def named(name: bytes) -> Build:
    return lambda outputs, _: Path(os.fsdecode(os.fsencode(outputs) + b"/" + name)).touch()


def both(outputs: Path, _: Path) -> None:
    (outputs / "x").write_text("1")
    (outputs / "y").hardlink_to(outputs / "x")


LINK, HARD = "a symbolic link", "a hard link"
HOSTILE: dict[str, tuple[Build, str]] = {
    "link to a file outside": (lambda out, far: (out / "x").symlink_to(far / "secret"), LINK),
    "link to a folder outside": (lambda out, far: (out / "x").symlink_to(far), LINK),
    "link by a relative path": (lambda out, _: (out / "x").symlink_to("../far/secret"), LINK),
    "link to the password file": (lambda out, _: (out / "x").symlink_to("/etc/passwd"), LINK),
    "link to a process's memory": (lambda out, _: (out / "x").symlink_to("/proc/self/mem"), LINK),
    "link to a descriptor": (lambda out, _: (out / "x").symlink_to("/proc/self/fd/0"), LINK),
    "link to itself": (lambda out, _: (out / "x").symlink_to("x"), LINK),
    "link to nothing": (lambda out, _: (out / "x").symlink_to("nothing"), LINK),
    "link to the folder above": (lambda out, _: (out / "x").symlink_to(".."), LINK),
    "second name of a file outside": (lambda out, far: (out / "x").hardlink_to(far / "secret"), HARD),
    "two names of one file": (both, HARD),
    "FIFO": (lambda out, _: os.mkfifo(out / "x"), "a FIFO"),
    "socket": (sockets, "a socket"),
    "set-user-id file": (mode(0o4755), "set-user-id"),
    "set-group-id file": (mode(0o2755), "set-group-id"),
    "ten terabytes of holes": (holes, "bytes of outputs"),
    "folders without end": (deep, "more than 64 folders deep"),
    "name that is not UTF-8": (named(b"\xff\xfe"), "not UTF-8"),
    "name that is half a pair": (named(b"\xed\xa0\x80"), "not UTF-8"),
    "name with a line end": (named(b"a\nb"), "control character"),
    "name with an escape": (named(b"\x1b[2J"), "control character"),
    "root's zero device": (device(stat.S_IFCHR, 1, 5), "a device"),
    "root's disk": (device(stat.S_IFBLK, 8, 0), "a device"),
    "root's whiteout": (device(stat.S_IFCHR, 0, 0), "a device"),
}
"""What a program may leave, and why each name of it is refused; those of root need root to be made."""


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_trees_are_refused_at_once_and_give_nothing_away(case: str, outputs: Path) -> None:
    if case.startswith("root's") and os.geteuid() != 0:
        pytest.skip("needs root")
    far = outputs.parent / "far"
    far.mkdir()
    (far / "secret").write_text("secret")
    build, reason = HOSTILE[case]
    build(outputs, far)
    (outputs / "good").write_text("good")
    collected = run(outputs)
    assert [file.path for file in collected.files] == ["good"]
    assert collected.refused
    assert all(reason in refused.reason for refused in collected.refused)
    assert [path.name for path in (outputs.parent / "staging").rglob("*") if path.is_file()] == ["good"]
    assert (far / "secret").read_text() == "secret"


NAMES = (
    "a\\b", "..\\..\\evil", "C:", "CON", "nul.txt", "aux", "a:b", "trailing.", "trailing ", "A", "a", "\u212a", "k",
    "e\u0301", "\xe9", "\u202egpj.exe", "\u2066x", "\ufeffx", "-rf", "--upload-pack=x", "$(id)", "`id`", "<script>",
    "%2e%2e%2f", "...", "~", "*", "x" * 255, "\U0001f600",
)  # fmt: skip


def test_names_that_are_strange_elsewhere_are_kept_byte_for_byte(outputs: Path) -> None:
    for name in NAMES:
        (outputs / name).write_text(name)
    collected = run(outputs)
    assert {file.path: file.digest for file in collected.files} == {name: Digest.of(name.encode()) for name in NAMES}
    assert collected.refused == ()


def test_folders_that_the_owner_closed_are_refused_or_read_and_end_nothing(outputs: Path) -> None:
    (outputs / "closed").mkdir()
    (outputs / "closed" / "x").touch()
    (outputs / "closed").chmod(0)
    (outputs / "good").touch()
    found = [file.path for file in run(outputs).files]
    assert found == (["closed/x", "good"] if os.geteuid() == 0 else ["good"])


def test_folders_within_folders_are_bounded_as_files_are(outputs: Path) -> None:
    for number in range(300):
        (outputs / f"{number:03}" / "a" / "b").mkdir(parents=True)
    collected = run(outputs, files=500)
    assert collected.files == ()
    assert [refused.reason for refused in collected.refused] == [
        "more than 500 files; this and the rest were not kept"
    ]  # fmt: skip


def test_a_great_many_files_are_looked_at_up_to_the_limit(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (outputs / "many").mkdir()
    monkeypatch.chdir(outputs / "many")
    for number in range(100_000):
        os.close(os.open(f"{number:06}", os.O_CREAT | os.O_WRONLY))
    opened, real = 0, os.open

    def count(*words: Any, **more: Any) -> int:
        nonlocal opened
        opened += 1
        return real(*words, **more)

    monkeypatch.setattr(os, "open", count)
    collected = run(outputs, files=1000)
    assert (len(collected.files), len(collected.refused)) == (999, 1)
    assert opened < 3010


def test_long_names_are_bounded_together(outputs: Path) -> None:
    for number in range(100):
        (outputs / f"{number:0200}").touch()
    collected = run(outputs, names=10_000)
    assert (len(collected.files), len(collected.refused)) == (50, 1)
    assert collected.refused[0].reason == "names of more than 10000 bytes; this and the rest were not kept"


def test_not_more_refusals_are_named_than_a_record_can_hold(outputs: Path) -> None:
    for number in range(100):
        (outputs / f"{number:03}").symlink_to("x")
    (outputs / "z").touch()
    collected = run(outputs, refused=10)
    assert [file.path for file in collected.files] == ["z"]
    assert len(collected.refused) == 11
    assert collected.refused[10].reason == "more than 10 are refused; this and the rest are not named"
