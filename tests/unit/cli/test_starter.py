import subprocess
from pathlib import Path

import pytest

from executor.spec.file import load_draft
from tests.unit.cli.conftest import Run
from tests.unit.engine.repos import make_repo, run_git


def test_init_writes_a_draft_and_its_program_and_commits_them(run: Run, tmp_path: Path) -> None:
    ran = run("init", tmp_path / "new")
    assert (ran.code, ran.out) == (0, f"executor submit --lock {tmp_path / 'new' / 'spec.yaml'}\n")
    assert load_draft(tmp_path / "new" / "spec.yaml").name == "my-experiment"
    assert run_git(tmp_path / "new", "ls-files").split() == ["spec.yaml", "train.py"]
    assert run_git(tmp_path / "new", "status", "--porcelain") == ""


def test_init_in_a_repository_leaves_the_commit_to_its_owner(run: Run, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", **{"a.py": ""})
    document = run("init", repo / "sub", "--json").json
    assert document == {"folder": str(repo / "sub"), "files": ["spec.yaml", "train.py"], "committed": False}
    assert "commit them" in run("init", repo / "other").err


def test_init_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("mine")
    ran = run("init", tmp_path, "--json")
    assert (ran.code, ran.json["message"]) == (2, f"{tmp_path}: there is already train.py")
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def test_init_where_nothing_can_be_made_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        ran = run("init", place, "--json")
        assert ran.code == 2
        assert "file" in ran.json["message"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_EXECUTOR_COMPLETE" in ran.out


def test_the_script_for_bash_is_bash(run: Run) -> None:
    script = run("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
