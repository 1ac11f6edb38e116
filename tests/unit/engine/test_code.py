"""Branch to commit, only of a working tree that is what its commit says."""

import os
import subprocess
from pathlib import Path

import pytest

from executor.engine.code import first_commit, resolve_commit
from executor.errors import SourceUnreachable, UncommittedChanges, UsageError
from tests.unit.engine.repos import ENV, commit_all, make_repo, run_git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo", a="1", b="2")
    (repo / ".gitignore").write_text("*.tmp\n")
    commit_all(repo)
    return repo


def head(repo: Path) -> str:
    return run_git(repo, "rev-parse", "HEAD")


def changed(repo: Path, ignore: tuple[Path, ...] = ()) -> list[str]:
    with pytest.raises(UncommittedChanges) as caught:
        resolve_commit(str(repo), "HEAD", env=ENV, ignore=ignore)
    return sorted(caught.value.files)


def test_head_of_a_clean_tree_is_its_commit(repo: Path) -> None:
    (repo / "ignored.tmp").touch()
    assert resolve_commit(str(repo), "HEAD", env=ENV) == head(repo)
    (repo / "sub").mkdir()
    assert resolve_commit(str(repo / "sub"), "HEAD", env=ENV) == head(repo)


def test_every_kind_of_change_is_named(repo: Path) -> None:
    (repo / "a").write_text("changed")
    (repo / "b").unlink()
    (repo / "staged").touch()
    run_git(repo, "add", "staged")
    (repo / "new").mkdir()
    (repo / "new" / "one é\n").touch()
    assert changed(repo) == ["a", "b", "new/one é\n", "staged"]
    assert changed(repo / "new") == ["a", "b", "new/one é\n", "staged"]


def test_a_renamed_file_is_two_changes(repo: Path) -> None:
    run_git(repo, "mv", "a", "c")
    assert changed(repo) == ["a", "c"]


def test_settings_of_the_repository_hide_nothing(repo: Path) -> None:
    run_git(repo, "config", "status.showUntrackedFiles", "no")
    run_git(repo, "config", "diff.ignoreSubmodules", "all")
    (repo / "new").touch()
    assert changed(repo) == ["new"]


def test_a_dirty_submodule_is_a_change(repo: Path, tmp_path: Path) -> None:
    inner = make_repo(tmp_path / "inner", x="1")
    run_git(repo, "submodule", "--quiet", "add", str(inner), "lib")
    commit_all(repo)
    assert resolve_commit(str(repo), "HEAD", env=ENV) == head(repo)
    (repo / "lib" / "x").write_text("2")
    assert changed(repo) == ["lib"]


def test_the_draft_itself_does_not_count(repo: Path) -> None:
    draft, lock = repo / "spec.yaml", repo / "spec.lock.yaml"
    draft.touch()
    lock.touch()
    assert resolve_commit(str(repo), "HEAD", env=ENV, ignore=(draft, lock)) == head(repo)
    assert changed(repo, ignore=(draft,)) == ["spec.lock.yaml"]


def test_a_branch_a_tag_and_a_short_id_need_no_clean_tree(repo: Path) -> None:
    first = run_git(repo, "rev-parse", "HEAD~1")
    run_git(repo, "branch", "old", first)
    run_git(repo, "tag", "--annotate", "--message", "m", "v1", first)
    (repo / "a").write_text("changed")
    for name in ("old", "v1", "refs/heads/old", first[:10]):
        assert resolve_commit(str(repo), name, env=ENV) == first


@pytest.mark.parametrize("branch", ["absent", "--all", "-", "", "HEAD:a", "v1^{tree}", "HEAD..HEAD"])
def test_what_is_no_branch_is_said(repo: Path, branch: str) -> None:
    with pytest.raises(UsageError, match="no branch or tag"):
        resolve_commit(str(repo), branch, env=ENV)


def test_a_repository_without_commits_is_said(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    run_git(tmp_path / "new", "init", "--quiet")
    with pytest.raises(UsageError, match="no branch or tag 'HEAD' with a commit"):
        resolve_commit(str(tmp_path / "new"), "HEAD", env=ENV)


def test_a_bare_repository_has_nothing_uncommitted(repo: Path, tmp_path: Path) -> None:
    run_git(tmp_path, "clone", "--quiet", "--bare", "repo", "bare")
    assert resolve_commit(str(tmp_path / "bare"), "HEAD", env=ENV) == head(repo)


def test_commands_that_a_repository_configures_are_not_run(repo: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (repo / ".gitattributes").write_text("a filter=x=y\n")
    commit_all(repo)
    for key in ("core.fsmonitor", "filter.x=y.clean", "filter.x=y.process", "core.sshCommand", "core.pager"):
        run_git(repo, "config", key, f"touch {canary}; cat")
    run_git(repo, "config", "filter.x=y.required", "true")
    os.utime(repo / "a", (1, 1))
    assert resolve_commit(str(repo), "HEAD", env=ENV) == head(repo)
    assert not canary.exists()


def test_looking_writes_nothing(repo: Path) -> None:
    os.utime(repo / "a", (1, 1))
    index = repo / ".git" / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns, index.stat().st_ino)
    resolve_commit(str(repo), "HEAD", env=ENV)
    assert (index.read_bytes(), index.stat().st_mtime_ns, index.stat().st_ino) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a repository away")
def test_a_repository_of_another_user_is_read(repo: Path) -> None:
    subprocess.run(["chown", "-R", "1234:1234", repo], check=True)
    assert len(resolve_commit(str(repo), "HEAD", env=ENV)) == 40


def test_a_remote_that_does_not_answer_is_out_of_reach() -> None:
    with pytest.raises(SourceUnreachable) as caught:
        resolve_commit("https://127.0.0.1:9/x", "main", env=ENV)
    assert "network" in caught.value.advice


def test_a_first_commit_is_made_once(tmp_path: Path) -> None:
    for name in ("spec.yaml", "train.py", "other"):
        (tmp_path / name).write_text(name)
    assert first_commit(tmp_path, ["spec.yaml", "train.py"], env=ENV)
    assert run_git(tmp_path, "ls-files").split() == ["spec.yaml", "train.py"]
    assert not first_commit(tmp_path, ["other"], env=ENV)
    assert changed(tmp_path) == ["other"]
