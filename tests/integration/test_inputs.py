"""Inputs from real servers on loopback (git over https and ssh, files over https), and two runs at once."""

import multiprocessing
import os
import ssl
import time
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from executor.engine.code import resolve_commit
from executor.engine.https import HttpsFetcher
from executor.engine.inputs import prepare_code, prepare_data
from executor.errors import InputMismatch, SourceUnreachable, UsageError
from executor.spec.model import Code, Data
from executor.spec.tree import HashCache, Progress, scan
from tests.unit.engine.repos import ENV, commit_all, make_repo, run_git
from tests.unit.engine.tls import serving


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A repository with a submodule by relative address, both as bare repositories in `www`."""
    make_repo(tmp_path / "inner", data="inside")
    repo = make_repo(tmp_path / "outer", a="1")
    run_git(repo, "submodule", "--quiet", "add", str(tmp_path / "inner"), "lib")
    run_git(repo, "config", "--file=.gitmodules", "submodule.lib.url", "../inner.git")
    commit_all(repo)
    run_git(repo, "tag", "--annotate", "--message", "m", "v1")
    for name in ("inner", "outer"):
        run_git(tmp_path, "clone", "--quiet", "--bare", name, f"www/{name}.git")
        run_git(tmp_path / "www" / f"{name}.git", "update-server-info")
    return tmp_path / "www"


def check(url: str, env: Mapping[str, str], tmp_path: Path) -> None:
    commit = run_git(tmp_path / "outer", "rev-parse", "HEAD")
    assert {resolve_commit(url, name, env=env) for name in ("main", "v1", "HEAD", "refs/heads/main")} == {commit}
    for absent in ("mai", "*", "--upload-pack=x", "absent"):
        with pytest.raises(UsageError, match="no branch or tag"):
            resolve_commit(url, absent, env=env)
    found = prepare_code(Code(commit=commit, repo=url), tmp_path / "code", tmp_path / "cache", env=env)
    assert (found.folder / "lib" / "data").read_text() == "inside"
    with pytest.raises(InputMismatch, match="no such commit"):
        prepare_code(Code(commit="0" * 39 + "1", repo=url), tmp_path / "none", tmp_path / "cache", env=env)
    with pytest.raises(SourceUnreachable):
        resolve_commit(url.replace("outer", "absent"), "main", env=env)


def test_code_over_https(published: Path, tmp_path: Path) -> None:
    with serving(partial(_Quiet, directory=str(published)), tmp_path) as (url, certificate):  # type: ignore[arg-type]
        check(f"{url}/outer.git", ENV | {"GIT_SSL_CAINFO": str(certificate)}, tmp_path)


def test_code_over_ssh(published: Path, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"  # stands in for the network only: runs what would be run on the other machine
    ssh.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
    ssh.chmod(0o755)
    check(f"ssh://git@example.org{published}/outer.git", ENV | {"GIT_SSH_COMMAND": str(ssh)}, tmp_path)


def test_one_file_over_https_is_a_data_tree(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "digits.csv").write_bytes(os.urandom(3 << 20))
    tree = scan(tmp_path / "www")
    with serving(partial(_Quiet, directory=str(tmp_path / "www")), tmp_path) as (url, certificate):  # type: ignore[arg-type]
        fetch = HttpsFetcher(
            hosts=frozenset({"127.0.0.1"}), context=ssl.create_default_context(cafile=str(certificate))
        )
        wanted = Data(hash=tree.hash, source=f"{url}/digits.csv")
        hashes = HashCache(tmp_path / "hashes", time.time_ns())
        found = prepare_data("digits", wanted, tmp_path / "cache", {"https": fetch}, hashes=hashes)
    assert scan(found.path) == found.tree == tree


def _fetch_slowly(_url: str, target: Path, _progress: Progress | None = None) -> None:
    with (target.parent / "fetches").open("a") as log:
        log.write("fetch\n")
    (target / "x").write_text("1")
    time.sleep(0.5)
    (target / "y").write_text("2")


def _prepare(tmp_path: Path, wanted: Data) -> None:
    hashes = HashCache(tmp_path / "hashes", time.time_ns())
    found = prepare_data("d", wanted, tmp_path / "cache", {"s3": _fetch_slowly}, hashes=hashes)
    assert found.tree.hash == wanted.hash
    code = Code(commit=run_git(tmp_path / "repo", "rev-parse", "HEAD"), repo=str(tmp_path / "repo"))
    prepare_code(code, tmp_path / f"code{os.getpid()}", tmp_path / "cache", env=ENV)


def test_several_runs_at_once_fetch_once(tmp_path: Path) -> None:
    make_repo(tmp_path / "repo", a="1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("1")
    (tmp_path / "data" / "y").write_text("2")
    wanted = Data(hash=scan(tmp_path / "data").hash, source="s3://b/d")
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_prepare, args=(tmp_path, wanted)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert (tmp_path / "cache" / "fetches").read_text() == "fetch\n"
    assert len(list(tmp_path.glob("code*"))) == 3
