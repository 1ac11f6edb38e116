"""Git repositories for tests, made by the git binary with nothing of the user's configuration."""

import os
import subprocess
from pathlib import Path

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
_IDENTITY = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "1700000000 +0000",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def run_git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(command, cwd=folder, env=ENV | _IDENTITY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_repo(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    run_git(folder, "init", "--quiet")
    for name, text in files.items():
        (folder / name).write_text(text)
    commit_all(folder)
    return folder


def commit_all(folder: Path) -> str:
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--allow-empty", "--message", "change")
    return run_git(folder, "rev-parse", "HEAD")
