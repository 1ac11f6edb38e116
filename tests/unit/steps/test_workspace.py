import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import StoreUnreachable
from executor.steps.workspace import UNPUBLISHED, Home, open_workspace, remove_tree, sweep
from tests.fakes import FakeEngine

HOLDER = """
import sys, time
from pathlib import Path
from executor.steps.workspace import Home, open_workspace
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


def test_a_result_that_could_not_be_stored_stays_through_sweeps(home: Home) -> None:
    with (
        pytest.raises(StoreUnreachable) as raised,
        open_workspace(home, "a") as space,
        space.kept_on_failure(),
    ):
        raise StoreUnreachable("down")
    assert str(space.folder) in raised.value.advice
    assert sweep(home, FakeEngine) == []
    assert (space.folder / UNPUBLISHED).exists()


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
