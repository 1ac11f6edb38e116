"""The git binary, run so that a repository cannot make it do anything but read: find, resolve and fetch a commit.

- Addresses are a local path, `https://` or `ssh://` (also as `user@host:path`); git itself is told the same list, so
  that no redirect or submodule reaches `ext::` or another helper. Addresses hold no password, and none is asked for.
- Configuration is `gitconfig` beside this file; a user's or a system's is not read. Hooks, templates, file-system
  monitors, filters (LFS among them), replacement objects and global attributes are off.
- Every value that comes from a spec or a repository stands after `--` or `--end-of-options`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from executor.errors import InputMismatch, SourceUnreachable, UsageError

_CONFIG = Path(__file__).with_name("gitconfig")
_KEPT = (
    "PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_SSL_CAINFO", "SSL_CERT_FILE",
    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip
_SET = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": str(_CONFIG),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
OFF = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null"}
"""Configuration that no repository may override."""
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15"
_SCP = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?P<path>(?!/).+)")
_ADDRESS_ADVICE = "write a local path, https://host/path or ssh://user@host/path"


@dataclass(frozen=True)
class Source:
    """A repository that git can fetch from."""

    url: str
    """`https://…`, `ssh://…`, or the absolute path of a git directory."""
    base: str
    """What relative addresses of its submodules are relative to."""

    @property
    def local(self) -> bool:
        """Whether it lies on this machine."""
        return self.url.startswith("/")


def git(*arguments: str, env: Mapping[str, str], off: Mapping[str, str] = OFF) -> str:
    """Output of one git command; raises `CalledProcessError`, or `UsageError` when there is no git.

    `off` is configuration that a repository cannot override.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], env=environment(env, off), capture_output=True, stdin=subprocess.DEVNULL, check=True
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", advice="install it: apt-get install git") from error
    return done.stdout.decode(errors="surrogateescape")


def environment(env: Mapping[str, str], off: Mapping[str, str] = OFF) -> dict[str, str]:
    """All variables of a git process: what is needed of `env`, and our settings."""
    kept = {name: env[name] for name in _KEPT if name in env}
    pairs = {
        f"GIT_CONFIG_{part}_{number}": text
        for number, pair in enumerate(off.items())
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {"GIT_SSH_COMMAND": _SSH} | kept | _SET | {"GIT_CONFIG_COUNT": str(len(off))} | pairs


def locate(repo: str, *, env: Mapping[str, str]) -> Source:
    """Find a repository by address; raises `UsageError` or `SourceUnreachable` when it cannot be one."""
    if url := _remote(repo):
        return Source(url, url)
    path = Path(repo).resolve()
    if not path.is_dir():
        raise SourceUnreachable(f"{path}: no such folder", advice=f"put the repository back, or {_ADDRESS_ADVICE}")
    try:
        directory = git("-C", str(path), "rev-parse", "--path-format=absolute", "--git-common-dir", env=env).rstrip(
            "\n"
        )
    except subprocess.CalledProcessError as error:
        raise UsageError(f"{path}: not a git repository: {reason(error)}", advice=_ADDRESS_ADVICE) from error
    origin = config(f"--git-dir={directory}", key=r"^remote\.origin\.url$", env=env)
    return Source(directory, origin.get("remote.origin.url") or directory.removesuffix("/.git"))


def relative(source: Source, address: str) -> str:
    """Address of a submodule as its repository means it; raises `UsageError` when a remote one names a local path."""
    if address.startswith(("./", "../")):
        base = (_remote(source.base) or source.base).rstrip("/")
        for step in address.rstrip("/").split("/"):
            base = base.rpartition("/")[0] if step == ".." else f"{base}/{step}" if step != "." else base
        address = base
    if not source.local and not _remote(address):
        raise UsageError(f"{source.url}: a submodule of a remote repository names a local path: {address}")
    return address


def _remote(repo: str) -> str:
    """The URL when `repo` is a remote address, nothing when it is a path; raises `UsageError` for any other address."""
    scp = _SCP.fullmatch(repo)
    url = f"ssh://{scp['host']}/{scp['path']}" if scp else repo
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url):
        return ""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise UsageError(f"not the address of a repository: {error}", advice=_ADDRESS_ADVICE) from error
    secret = parts.password is not None or (parts.scheme == "https" and parts.username is not None)
    if secret:
        raise UsageError("an address of a repository holds no password or token", advice="use ssh://, or ~/.netrc")
    strange = re.search(r"[\x00-\x20\x7f]", url) or (parts.hostname or "-").startswith("-")
    if parts.scheme not in ("https", "ssh") or strange or not port_is_fine or (parts.username or "").startswith("-"):
        raise UsageError(f"not the address of a repository: {repo!r}", advice=_ADDRESS_ADVICE)
    return url


def fetch(source: Source, commit: str, database: Path, *, env: Mapping[str, str]) -> None:
    """Bring a commit's files into a bare repository of ours; from a server that refuses ids, every branch and tag."""
    into = (f"--git-dir={database}", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    try:
        git(*into, "--depth=1", "--", source.url, commit, env=env)
    except subprocess.CalledProcessError:
        try:
            git(*into, "--", source.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", env=env)
        except subprocess.CalledProcessError as error:
            advice = "check the address, network and access"
            raise SourceUnreachable(f"{source.url}: {reason(error)}", advice=advice) from error
    try:
        git(f"--git-dir={database}", "cat-file", "-e", f"{commit}^{{commit}}", env=env)
    except subprocess.CalledProcessError as error:
        raise InputMismatch(
            "code.commit", expected=commit, observed=f"no such commit in {source.url}",
            advice="push the commit, or correct `code.repo`",
        ) from error  # fmt: skip


def submodules(database: Path, commit: str, *, env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name and address of each submodule that a commit's `.gitmodules` lists, by path."""
    listed = config(
        f"--git-dir={database}", f"--blob={commit}:.gitmodules", key=r"^submodule\..*\.(path|url)$", env=env
    )
    names = {key[len("submodule.") : -len(".path")]: path for key, path in listed.items() if key.endswith(".path")}
    return {path: (name, listed.get(f"submodule.{name}.url", "")) for name, path in names.items()}


def config(*where: str, key: str, env: Mapping[str, str]) -> dict[str, str]:
    """Settings whose names match `key`; none when nothing is there to read."""
    before, after = [w for w in where if not w.startswith("--blob")], [w for w in where if w.startswith("--blob")]
    try:
        listing = git(*before, "config", "-z", *after, "--get-regexp", "--", key, env=env)
    except subprocess.CalledProcessError:
        return {}
    return {row.partition("\n")[0]: row.partition("\n")[2] for row in listing.split("\0") if row}


def reason(error: subprocess.CalledProcessError) -> str:
    """The last line that git said."""
    lines = error.stderr.decode(errors="replace").strip().splitlines()
    return str(lines[-1]) if lines else f"git ended with {error.returncode}"
