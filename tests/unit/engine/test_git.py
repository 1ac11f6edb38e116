"""The git process: what it is told, and which addresses it is given."""

import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from executor.engine.code import resolve_commit
from executor.engine.git import Source, environment, fetch, git, locate, relative
from executor.errors import InputMismatch, SourceUnreachable, UsageError
from tests.unit.engine.repos import ENV, make_repo, run_git
from tests.unit.engine.tls import serving


def test_only_what_is_needed_of_the_environment_reaches_git() -> None:
    found = environment({"PATH": "/bin", "GIT_DIR": "/x", "AWS_SECRET_ACCESS_KEY": "s", "GIT_CONFIG_COUNT": "9",
                         "https_proxy": "http://proxy", "GIT_ALLOW_PROTOCOL": "ext"}, {"a.b": "c"})  # fmt: skip
    assert found["PATH"] == "/bin"
    assert found["https_proxy"] == "http://proxy"
    assert found["GIT_ALLOW_PROTOCOL"] == "file:https:ssh"
    assert (found["GIT_CONFIG_COUNT"], found["GIT_CONFIG_KEY_0"], found["GIT_CONFIG_VALUE_0"]) == ("1", "a.b", "c")
    assert not {"GIT_DIR", "AWS_SECRET_ACCESS_KEY"} & set(found)


def test_no_git_is_said_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git is not installed") as caught:
        git("version", env={"PATH": str(tmp_path)})
    assert "install" in caught.value.advice


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("ssh://git@example.org:22/a", "ssh://git@example.org:22/a"),
        ("git@example.org:a/b.git", "ssh://git@example.org/a/b.git"),
    ],
)
def test_remote_addresses(address: str, url: str) -> None:
    assert locate(address, env=ENV) == Source(url, url)


@pytest.mark.parametrize(
    "address",
    ["ext::sh -c touch", "ext::x", "file:///etc", "http://example.org/a", "git://example.org/a", "ftp://example.org/a",
     "https://", "https:///a", "ssh://-oProxyCommand=x/a", "ssh://-x@example.org/a", "https://example.org/a b",
     "https://example.org/a\n", "https://example.org:99999/a", "https://[::1/a", "fd::17", "HTTPX://a/b"],
)  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a repository"):
        locate(address, env=ENV)


@pytest.mark.parametrize("address", ["https://user:pass@example.org/a", "https://ghp_token@example.org/a",
                                     "ssh://git:pass@example.org/a"])  # fmt: skip
def test_addresses_hold_no_secret_and_the_message_does_not_repeat_it(address: str) -> None:
    with pytest.raises(UsageError, match="no password") as caught:
        locate(address, env=ENV)
    assert "pass@" not in caught.value.message
    assert "token@" not in caught.value.message


def test_local_repositories_are_found_from_any_folder_in_them(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "-repo", a="1")
    (repo / "sub").mkdir()
    run_git(tmp_path, "clone", "--quiet", "--bare", "./-repo", "bare.git")
    run_git(repo, "worktree", "add", "--quiet", "../tree")
    expected = Source(str(repo / ".git"), str(repo))
    assert locate(str(repo), env=ENV) == locate(str(repo / "sub"), env=ENV) == expected
    assert locate(str(tmp_path / "tree"), env=ENV) == expected
    assert locate(str(tmp_path / "bare.git"), env=ENV).url == str(tmp_path / "bare.git")


def test_a_path_that_begins_with_a_dash_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_repo(tmp_path / "--upload-pack=touch x", a="1")
    monkeypatch.chdir(tmp_path)
    assert locate("--upload-pack=touch x", env=ENV).local


def test_what_is_no_repository_is_told_apart_from_what_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        locate(str(tmp_path), env=ENV)
    with pytest.raises(SourceUnreachable, match="no such folder"):
        locate(str(tmp_path / "gone"), env=ENV)


@pytest.mark.parametrize(
    ("base", "address", "expected"),
    [
        ("https://h.org/g/outer.git", "../inner.git", "https://h.org/g/inner.git"),
        ("https://h.org/g/outer/", "./inner", "https://h.org/g/outer/inner"),
        ("git@h.org:g/outer", "../../x/inner", "ssh://git@h.org/x/inner"),
        ("https://h.org/a", "https://other.org/b", "https://other.org/b"),
    ],
)
def test_relative_addresses_of_submodules(base: str, address: str, expected: str) -> None:
    assert relative(Source("https://h.org/g/outer", base), address) == expected


def test_a_remote_repository_cannot_name_a_local_path() -> None:
    with pytest.raises(UsageError, match="names a local path: /etc"):
        relative(Source("https://h.org/a", "https://h.org/a"), "/etc")
    assert relative(Source("/repo/.git", "/repo"), "/other") == "/other"
    assert relative(Source("/g/outer/.git", "/g/outer"), "../inner") == "/g/inner"


def test_git_itself_refuses_other_protocols(tmp_path: Path) -> None:
    for address in (f"ext::touch {tmp_path}/canary", "http://127.0.0.1:9/x"):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            git("ls-remote", "--", address, env=ENV)
        assert b"not allowed" in caught.value.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["--upload-pack=touch {canary}", "-u touch {canary}", "--exec=touch {canary}"])
def test_no_value_is_taken_for_an_option(tmp_path: Path, word: str) -> None:
    repo, evil = make_repo(tmp_path / "repo", a="1"), word.format(canary=tmp_path / "canary")
    run_git(tmp_path, "init", "--quiet", "--bare", "database")
    with pytest.raises(SourceUnreachable, match="no such folder"):
        locate(evil, env=ENV)
    with pytest.raises(UsageError, match="no branch or tag"):
        resolve_commit(str(repo), evil, env=ENV)
    for source, commit in ((Source(str(repo / ".git"), ""), evil), (Source(evil, ""), "0" * 40)):
        with pytest.raises((SourceUnreachable, InputMismatch)):
            fetch(source, commit, tmp_path / "database", env=ENV)
    assert not (tmp_path / "canary").exists()


class _Hostile(BaseHTTPRequestHandler):
    """Asks for a password, or leads elsewhere: `/to/SCHEME@HOST/…`."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/").replace("@", "://", 1))
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(f"[credential]\n\thelper = !touch {tmp_path}/canary\n")
    with serving(_Hostile, tmp_path) as (url, certificate):
        env = ENV | {"GIT_SSL_CAINFO": str(certificate), "HOME": str(tmp_path / "home")}
        with pytest.raises(SourceUnreachable, match="terminal prompts disabled"):
            resolve_commit(f"{url}/x.git", "main", env=env)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("target", ["http@127.0.0.1:9", "file@", "ext@touch {canary}", "ftp@127.0.0.1:9"])
def test_a_redirect_leaves_https_for_nothing(tmp_path: Path, target: str) -> None:
    path = target.format(canary=tmp_path / "canary").replace(" ", "%20")
    with serving(_Hostile, tmp_path) as (url, certificate):
        env = ENV | {"GIT_SSL_CAINFO": str(certificate)}
        with pytest.raises(SourceUnreachable, match=r"not supported|disabled|Unsupported URL scheme"):
            resolve_commit(f"{url}/to/{path}/x.git", "main", env=env)
    assert not (tmp_path / "canary").exists()
