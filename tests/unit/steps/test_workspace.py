import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import (
    CorruptObject,
    DiskFailed,
    DiskFull,
    EngineUnreachable,
    ExecutorError,
    HeldElsewhere,
    Interrupted,
    NotFound,
    StoreUnreachable,
    Unpublished,
)
from executor.facts import EngineFacts
from executor.spec.canonical import Digest
from executor.steps.home import Home
from executor.steps.workspace import open_workspace, remove_tree, reopen_workspace, sweep, unpublished
from tests.fakes import FakeEngine

HOLDER = """
import sys, time
from pathlib import Path
from executor.steps.home import Home
from executor.steps.workspace import open_workspace
with open_workspace(Home(Path(sys.argv[1])), "theirs"):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_workspace_is_private_and_goes_at_the_end(home: Home) -> None:
    with open_workspace(home, "a") as space:
        assert space.folder.stat().st_mode & 0o777 == 0o700
        assert all(
            folder.is_dir() for folder in (space.code, space.outputs, space.control, space.report, space.staging)
        )
    assert not space.folder.exists()


def test_it_goes_when_the_run_fails_too(home: Home) -> None:
    with pytest.raises(ZeroDivisionError), open_workspace(home, "a") as space:
        raise ZeroDivisionError
    assert not space.folder.exists()


SPEC_HASH = Digest.of(b"a spec")


def fail(home: Home, error: BaseException, *, kept: bool = True) -> None:
    """A publication that ends in `error`, of a result that was kept or not."""
    with open_workspace(home, "a") as space, space.kept_on_failure(SPEC_HASH):
        if kept:
            space.keep()
        raise error


def test_a_result_that_could_not_be_stored_stays_through_sweeps(home: Home) -> None:
    folder = home.attempts / "a"
    with pytest.raises(Unpublished, match=f"down; the run has ended, and its result is kept in {folder}") as raised:
        fail(home, StoreUnreachable("down", advice="start it"))
    assert raised.value.advice == "start it; then `executor publish --pending` brings it to the store"
    assert (raised.value.spec_hash, raised.value.attempt, raised.value.folder) == (SPEC_HASH.hex, "a", str(folder))
    assert sweep(home, FakeEngine) == []
    assert unpublished(home) == ["a"]


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), DiskFull),
        (OSError(errno.EIO, "Input/output error"), DiskFailed),
        (CorruptObject("model.pt", expected="a", observed="b"), CorruptObject),
        (KeyboardInterrupt(), Interrupted),
    ],
)
def test_whatever_keeps_a_result_from_the_store_says_where_it_is(
    home: Home, error: BaseException, becomes: type[ExecutorError]
) -> None:
    with pytest.raises(becomes) as raised:
        fail(home, error)
    assert type(raised.value) is becomes
    assert str(home.attempts / "a") in raised.value.advice
    assert "executor publish --pending" in raised.value.advice
    assert unpublished(home) == ["a"]


def test_what_a_full_disk_leaves_of_a_run_is_kept_even_if_nothing_is_staged(home: Home) -> None:
    with pytest.raises(DiskFull):
        fail(home, OSError(errno.ENOSPC, "No space left on device"), kept=False)
    assert unpublished(home) == ["a"]


@pytest.mark.parametrize("error", [CorruptObject("x", expected="a", observed="b"), KeyboardInterrupt()])
def test_nothing_is_kept_of_which_nothing_is_staged(home: Home, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail(home, error, kept=False)
    assert list(home.attempts.glob("a")) == []


def test_a_disk_that_is_full_before_the_end_gives_its_room_back(home: Home) -> None:
    with pytest.raises(DiskFull, match="/x: No space"), open_workspace(home, "a"):
        raise OSError(errno.ENOSPC, "No space left on device", "/x")
    assert list(home.attempts.glob("a")) == []


def test_a_kept_folder_is_opened_again_by_one_at_a_time_and_goes_when_it_is_no_longer_marked(home: Home) -> None:
    with pytest.raises(Unpublished):
        fail(home, StoreUnreachable("down"))
    with reopen_workspace(home, "a") as space:
        assert unpublished(home) == [], "somebody works on it"
        with pytest.raises(HeldElsewhere), reopen_workspace(home, "a"):
            pass
    assert unpublished(home) == ["a"]
    with reopen_workspace(home, "a") as space, space.kept_on_failure(SPEC_HASH):
        pass
    assert not space.folder.exists()
    with pytest.raises(NotFound), reopen_workspace(home, "a"):
        pass


def test_a_sweep_removes_what_a_dead_process_left_and_nothing_else(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(home.root)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        engine = FakeEngine()
        assert sweep(home, lambda: engine) == []
        holder.kill()
        holder.wait()
        assert sweep(home, lambda: engine) == ["theirs"]
    assert engine.removed == ["theirs"]
    assert not (home.attempts / "theirs").exists()


def left_over(home: Home, *names: str) -> None:
    """Folders of executors that were killed while the engine had a container of theirs."""
    for name in names:
        (home.attempts / name).mkdir()
        (home.attempts / name / "engaged").touch()


def test_a_container_that_stays_keeps_no_other_from_being_removed(home: Home) -> None:
    left_over(home, "a", "b")
    engine = FakeEngine()
    engine.stuck = ("a",)
    assert sweep(home, lambda: engine) == ["b"]
    engine.stuck = ()
    assert sweep(home, lambda: engine) == ["a"]


def test_an_engine_that_is_away_is_asked_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    left_over(home, "a", "b")
    engine = FakeEngine()
    engine.stuck = ("",)

    def observe() -> EngineFacts:
        raise EngineUnreachable("away")

    monkeypatch.setattr(engine, "observe", observe)
    with pytest.raises(EngineUnreachable, match="away"):
        sweep(home, lambda: engine)
    assert len(list(home.attempts.glob("?"))) == 2


def test_a_result_that_waits_loses_its_container_and_nothing_else(home: Home) -> None:
    left_over(home, "a")
    (home.attempts / "a" / "unpublished").touch()
    engine = FakeEngine()
    assert (sweep(home, lambda: engine), engine.removed) == ([], ["a"])
    assert sweep(home, lambda: pytest.fail("connected")) == []
    assert unpublished(home) == ["a"]


def test_a_sweep_of_nothing_asks_the_engine_nothing(home: Home) -> None:
    assert sweep(home, lambda: pytest.fail("connected")) == []


def test_trees_without_write_permission_are_removed_and_links_not_followed(tmp_path: Path) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    kept.mkdir()
    (kept / "file").touch()
    (tree / "link").symlink_to(kept)
    os.chmod(tree / "a" / "b", 0o500)
    os.chmod(tree / "a", 0o500)
    remove_tree(tree)
    assert not tree.exists()
    assert (kept / "file").exists()
