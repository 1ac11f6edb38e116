"""The disk of a run: a file system of its own where one can be mounted, a folder that is watched elsewhere."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import executor.steps.disk as disks
from executor.errors import DiskFailed, UsageError
from executor.facts import Outcome
from executor.steps.disk import FREE_MARGIN, Disk, Watch, make_disk, release, used, watched
from tests.fakes import NOON

MIB = 2**20
PLAIN = {"EXECUTOR_DISK": "watch"}
ENDED = Outcome(exit_code=0, started=NOON, finished=NOON)


@pytest.fixture(autouse=True)
def plain_folders() -> None:
    """Here disks are mounted."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work"
    release(tmp_path / "work")


@pytest.fixture
def own(folder: Path) -> Disk:
    made = make_disk(folder, 64 * MIB, {})
    if not made.own:
        pytest.skip(f"no file system can be mounted here: {made.problem}")
    return made


@pytest.fixture
def plain(folder: Path) -> Disk:
    return make_disk(folder, 64 * MIB, PLAIN)


def loops() -> str:
    return subprocess.run(["/usr/sbin/losetup", "--list"], capture_output=True, text=True, check=True).stdout


def fill(path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(b"x" * 65 * MIB)


def test_a_file_system_of_its_own_is_small_private_and_without_devices(own: Disk) -> None:
    assert os.path.ismount(own.folder)
    image = own.folder.with_name("work.ext4")
    assert (image.stat().st_size, image.stat().st_mode & 0o777) == (64 * MIB, 0o600)
    assert image.stat().st_blocks * 512 < MIB
    options = next(line.split()[3] for line in Path("/proc/mounts").read_text().splitlines() if str(own.folder) in line)
    assert {"nosuid", "nodev"} <= set(options.split(","))
    assert (own.problem, own.full) == ("", "")
    assert own.finding(local=True).observed == "as expected"


def test_a_full_one_says_no_to_the_program_and_the_host_has_lost_only_its_size(own: Disk) -> None:
    fill(own.folder / "big")
    assert own.full == "it filled its disk of 64.0 MiB (resources.disk)"
    assert own.folder.with_name("work.ext4").stat().st_blocks * 512 <= 64 * MIB


def test_what_does_not_fit_on_it_is_told_of_the_disk_and_not_of_this_machine(own: Disk) -> None:
    with pytest.raises(UsageError, match=r"code does not fit on the run's disk of 64.0 MiB"), own.holding("code"):
        (own.folder / "big").write_bytes(b"x" * 65 * MIB)
    with pytest.raises(FileNotFoundError), own.holding("code"):
        (own.folder / "gone").read_bytes()


def test_files_without_content_are_counted(own: Disk) -> None:
    def touch() -> None:
        for number in range(own.files + 1000):
            (own.folder / str(number)).touch()

    with pytest.raises(OSError, match="No space left"):
        touch()
    assert own.full == f"it made the {own.files} files that a disk of 64.0 MiB may have (resources.disk)"


def test_a_released_one_leaves_nothing_mounted_and_no_file(own: Disk) -> None:
    release(own.folder)
    assert not os.path.ismount(own.folder)
    assert not own.folder.with_name("work.ext4").exists()
    assert str(own.folder) not in loops()
    release(own.folder)


def test_one_in_use_is_released_too(own: Disk) -> None:
    with (own.folder / "open").open("w"):
        release(own.folder)
        assert not os.path.ismount(own.folder)
    assert str(own.folder) not in loops()


def test_names_are_read_in_the_same_order_on_every_one(own: Disk) -> None:
    def order() -> list[str]:
        for number in range(500):
            (own.folder / f"name-{number}").touch()
        return os.listdir(own.folder)

    first = order()
    release(own.folder)
    own.folder.rmdir()
    assert make_disk(own.folder, 128 * MIB, {}).own
    assert order() == first


def test_it_is_never_more_than_half_of_what_is_free(folder: Path) -> None:
    now = os.statvfs(folder.parent)
    made = make_disk(folder, 2**60, PLAIN)
    assert abs(made.size - now.f_bavail * now.f_frsize // 2) < 2**30


@pytest.mark.parametrize(
    ("uid", "tools", "said"),
    [(1000, disks._TOOLS, "only root can mount one"), (0, {"PATH": "/nonexistent"}, "there is no mke2fs here")],
)
def test_where_none_can_be_mounted_it_is_a_plain_folder(
    uid: int, tools: dict[str, str], said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(disks, "_TOOLS", tools)
    made = make_disk(folder, 64 * MIB, {})
    assert made.problem == said
    assert list(folder.parent.iterdir()) == [folder]
    assert made.finding(local=True).observed == f"a plain folder that is watched: {said}"
    assert made.finding(local=True).severity == "info"


def test_a_mount_that_is_refused_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(disks, "_MOUNT", ("false",))
    assert make_disk(folder, 64 * MIB, {}).problem == "false ended with 1"
    assert list(folder.parent.iterdir()) == [folder]


def test_of_another_machine_only_files_are_limited_and_that_is_warned_of(plain: Disk) -> None:
    found = plain.finding(local=False)
    assert (found.severity, found.observed) == ("warn", "64.0 MiB for each file")


def test_a_plain_folder_is_full_when_too_much_lies_in_it(plain: Disk) -> None:
    assert plain.full == ""
    with (plain.folder / "sparse").open("wb") as file:
        file.truncate(2**40)
    assert plain.full == ""  # holes take no room
    (plain.folder / "big").write_bytes(b"x" * 65 * MIB)
    assert plain.full == "it filled its disk of 64.0 MiB (resources.disk)"


def test_a_plain_folder_is_full_when_too_many_lie_in_it(folder: Path) -> None:
    folder.mkdir()
    small = Disk(folder, 2**16, "for the test")
    for number in range(small.files + 1):
        (folder / str(number)).touch()
    assert small.full.startswith(f"it made the {small.files} files")


def test_a_plain_folder_is_full_when_this_machine_is(plain: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = os.statvfs(plain.folder)
    free = os.statvfs_result((*now[:3], FREE_MARGIN // now.f_frsize, FREE_MARGIN // now.f_frsize - 1, *now[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: free)
    assert plain.full == "stopped: this machine has less than 1.0 GiB of disk left"


def test_what_is_used_is_counted_without_following_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "file").write_bytes(b"x" * 4 * MIB)
    (tmp_path / "far").write_bytes(b"x" * 64 * MIB)
    (tree / "link").symlink_to(tmp_path)
    (tree / "a" / "far").symlink_to(tmp_path / "far")
    size, names = used(tree)
    assert names == 4
    assert 4 * MIB <= size < 5 * MIB


def test_a_tree_too_deep_to_be_walked_counts_as_too_much(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert used(tmp_path)[1] > disks.MOST_FILES
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_run_that_fills_a_plain_folder_is_stopped_and_has_failed(plain: Disk) -> None:
    with watched(plain, threading.Event()) as watch:
        assert not watch.stop.is_set()
        (plain.folder / "big").write_bytes(b"x" * 65 * MIB)
        deadline = time.monotonic() + 30
        while not watch.stop.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
    outcome = watch.judged(ENDED.model_copy(update={"exit_code": 143, "interrupted": True}))
    assert (outcome.disk_full, outcome.interrupted) == (True, False)
    assert outcome.reason == "it filled its disk of 64.0 MiB (resources.disk)"


def test_a_run_that_fills_its_own_has_failed_even_if_it_says_otherwise(own: Disk) -> None:
    with watched(own, threading.Event()) as watch:
        fill(own.folder / "big")
    assert not watch.stop.is_set()
    outcome = watch.judged(ENDED)
    assert (outcome.disk_full, outcome.exit_code) == (True, 0)


@pytest.mark.parametrize("why", ["timed_out", "oom_killed"])
def test_what_else_ended_it_is_told_first(plain: Disk, why: str) -> None:
    (plain.folder / "big").write_bytes(b"x" * 65 * MIB)
    with watched(plain, threading.Event()) as watch:
        pass
    ended = ENDED.model_copy(update={why: True, "reason": "why"})
    assert watch.judged(ended) == ended


def test_the_user_s_wish_to_stop_is_passed_on_and_stays_one(plain: Disk) -> None:
    user = threading.Event()
    with watched(plain, user) as watch:
        user.set()
        assert watch.stop.is_set()
    ended = ENDED.model_copy(update={"interrupted": True})
    assert watch.judged(ended) == ended


def test_a_run_that_stays_within_its_disk_is_left_alone(own: Disk) -> None:
    with watched(own, threading.Event()) as watch:
        (own.folder / "small").write_bytes(b"x" * MIB)
    assert watch.judged(ENDED) == ENDED


def test_what_this_machine_s_full_disk_lost_is_never_a_result(tmp_path: Path, own: Disk) -> None:
    """The run's file system promises room that the disk below it does not have."""
    if not (below := make_disk(tmp_path / "below", 32 * MIB, {})).own:
        pytest.skip("cannot mount here")
    inner = below.folder / "inner"
    inner.mkdir()
    above = Disk(inner, 200 * MIB)
    assert disks._mount(above, "") == ""
    try:
        with watched(above, threading.Event()) as watch:
            (inner / "big").write_bytes(os.urandom(60 * MIB))
        with pytest.raises(DiskFailed, match="what the run wrote is not whole"):
            watch.judged(ENDED)
    finally:
        release(inner)
        release(below.folder)


def test_a_watch_ends_with_the_run(plain: Disk) -> None:
    watch = Watch(plain, threading.Event())
    watch.start()
    watch.finish()
    assert not watch.is_alive()
