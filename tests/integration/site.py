"""A machine for tests: its own home and store, the real `executor` command, the real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from executor.engine.plan import LABEL
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.steps.history import read
from executor.store import open_store
from executor.store.interface import Store
from tests.integration.command import run_command
from tests.ran import Ran

EXECUTOR = Path(sys.executable).with_name("executor")
TORCH, SMALL = "localhost/torch-cpu", f"localhost/executor-test-small-{os.getpid()}"
"""Names of images in specs of tests: that of `make image`, and one with a shell and nothing else, of this process."""
PATIENCE = 120.0
"""Seconds until a test gives up waiting for what another process does."""
_AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"), ("DATE", "2026-01-01T00:00:00Z"))
}


@dataclass(frozen=True)
class Machine:
    """One home, one store; `folder` is where everything of it lies."""

    folder: Path
    url: str
    """Its store."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the store needs beside its URL."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def store(self) -> Store:
        return open_store(self.url, self.variables)

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees: nothing of the user's own settings."""
        kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST", "LANG") if name in os.environ}
        own = {"HOME": str(self.folder), "EXECUTOR_HOME": str(self.home), "EXECUTOR_STORE": self.url}
        return {**kept, **own, **self.variables}

    def run(self, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """Run `executor WORDS…` to its end."""
        return run_command([*map(str, words)], {**self.environment, **(env or {})}, cwd or self.folder, 300)

    def start(self, *words: object, stderr: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start `executor WORDS…`; use it as a context manager."""
        return subprocess.Popen(
            [EXECUTOR, *map(str, words)], stdout=subprocess.PIPE, stderr=stderr, text=True,
            env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def record(self, view: Mapping[str, Any]) -> Record:
        """The record of an attempt that a command showed."""
        return read(self.store, Digest(view["spec_hash"]), view["attempt"])

    def log(self, record: Record) -> str:
        assert record.log
        return self.store.read_blob(record.log.digest, 1 << 28).decode("utf-8", "replace")

    def attempts_left(self) -> list[Path]:
        """Folders of attempts that nobody cleaned up, but for those that hold an unpublished result."""
        folder = self.home / "attempts"
        found = folder.iterdir() if folder.is_dir() else iter(())
        return [path for path in found if path.is_dir() and not (path / "unpublished").exists()]


def repository(source: Path, target: Path, *, images: Mapping[str, str], leave: frozenset[str] = frozenset()) -> Path:
    """Copy a folder into a new repository of one commit; names of images in its specs become those at hand."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", *leave))
    for spec in target.glob("*.yaml"):
        text = spec.read_text()
        for name, image in images.items():
            text = text.replace(f"image: {name}\n", f"image: {image}\n")
        spec.write_text(text)
    git(target, "init", "--quiet", "--initial-branch=main")
    commit(target)
    return target


def project(folder: Path, spec: str, **files: str) -> Path:
    """Make a repository with `spec.yaml` and files (`run_sh` is `run.sh`); gives the spec's path."""
    source = folder.with_name(f"{folder.name}-source")
    source.mkdir(parents=True)
    for name, text in {"spec_yaml": spec, **files}.items():
        (source / ".".join(name.rsplit("_", 1))).write_text(textwrap.dedent(text))
    return repository(source, folder, images={}) / "spec.yaml"


SPEC = f"""
version: 1
name: small
image: {SMALL}
code: {{repo: .}}
command: [sh, run.sh]
seed: 1
gpu: none
resources: {{memory: 256MiB}}
"""
"""A draft that runs `run.sh` in the small image."""
SCRIPT = """
echo hello
echo '{"step": 1, "loss": 0.5}' >/outputs/metrics.jsonl
echo weights >/outputs/model.pt
"""
"""A `run.sh` that leaves weights and a metric."""


def locked(machine: Machine, script: str, more: str = "") -> tuple[Path, str]:
    """Lock a spec that runs `script`; gives the spec and its hash."""
    draft = project(machine.folder / "project", SPEC + more, run_sh=script)
    spec = draft.with_name("spec.lock.yaml")
    made = machine.run("lock", draft, "--output", spec)
    assert made.code == 0, made
    return spec, machine.run("hash", spec).out.strip()


def commit(folder: Path) -> str:
    """Commit all that lies in a repository; gives the commit.

    No two are the same, so that no two tests have the same spec: containers are found by its hash, and killed.
    """
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", f"--message={uuid4()}")
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *words: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1", **_AUTHOR}
    return subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


def docker(*words: str) -> str:
    """What the engine's own command says."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def containers(spec_hash: str, *, running: bool = False) -> list[str]:
    """Ids of the containers of a spec that the engine still has."""
    every = () if running else ("--all",)
    return docker("ps", *every, "--quiet", "--no-trunc", f"--filter=label={LABEL}.spec={spec_hash}").split()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`; fails when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")
