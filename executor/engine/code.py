"""Which commit is meant: a branch or tag becomes a full commit id, of a working tree that is what its commit says."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from executor.engine.git import OFF, config, git, locate, reason
from executor.errors import SourceUnreachable, UncommittedChanges, UsageError


def resolve_commit(repo: str, branch: str, *, env: Mapping[str, str], ignore: Collection[Path] = ()) -> str:
    """Full id of the commit that a branch or tag points to.

    `HEAD` of a local repository must have no uncommitted changes, files in `ignore` aside: `UncommittedChanges`.
    Raises `UsageError` when there is no such branch, `SourceUnreachable` when the repository does not answer.
    """
    source = locate(repo, env=env)
    if not source.local:
        return _remote_commit(source.url, branch, env=env)
    path = str(Path(repo).resolve())
    if branch == "HEAD":
        _require_clean(path, ignore, env=env)
    try:
        return git("-C", path, "rev-parse", "--verify", "--end-of-options", f"{branch}^{{commit}}", env=env).strip()
    except subprocess.CalledProcessError as error:
        raise _no_branch(path, branch) from error


def _remote_commit(url: str, branch: str, *, env: Mapping[str, str]) -> str:
    try:
        listing = git("-C", "/", "ls-remote", "--", url, env=env)
    except subprocess.CalledProcessError as error:
        raise SourceUnreachable(f"{url}: {reason(error)}", advice="check the address, network and access") from error
    refs = {name: commit for commit, _, name in (line.partition("\t") for line in listing.splitlines())}
    tag, head = f"refs/tags/{branch}", f"refs/heads/{branch}"
    found = {refs[name] for name in (branch, head) if name in refs}
    if tag in refs:
        found.add(refs.get(f"{tag}^{{}}", refs[tag]))
    if len(found) > 1:
        raise UsageError(f"{url}: {branch} is a branch and a tag", advice=f"write {head} or {tag}")
    if not found:
        raise _no_branch(url, branch)
    return found.pop()


def _no_branch(repo: str, branch: str) -> UsageError:
    return UsageError(
        f"{repo}: no branch or tag {branch!r} with a commit", advice="correct `code.branch`, or commit first"
    )


def _require_clean(path: str, ignore: Collection[Path], *, env: Mapping[str, str]) -> None:
    if git("-C", path, "rev-parse", "--is-inside-work-tree", env=env).strip() != "true":
        return
    top = Path(git("-C", path, "rev-parse", "--show-toplevel", env=env).rstrip("\n"))
    # A filter is a command that a repository's own configuration names: emptied, it is not run.
    filters = dict.fromkeys(config("-C", path, key=r"^filter\..*\.(clean|smudge|process)$", env=env), "")
    required = {key.rpartition(".")[0] + ".required": "false" for key in filters}
    status = git(
        "-C", str(top), "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all",
        "--ignore-submodules=none", env=env, off=OFF | filters | required,
    )  # fmt: skip
    ignored = {item.resolve() for item in ignore}
    changed = [line[3:] for line in status.split("\0") if line and (top / line[3:]).resolve() not in ignored]
    if changed:
        raise UncommittedChanges(str(top), [name.encode(errors="replace").decode() for name in changed])


def first_commit(folder: Path, files: Collection[str], *, env: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Make `folder` a repository whose first commit holds `files`; False when it lies in a repository already."""
    try:
        git("-C", str(folder), "rev-parse", "--git-dir", env=env)
    except subprocess.CalledProcessError:
        git("init", "--quiet", "--template=", "--", str(folder), env=env)
        git("-C", str(folder), "add", "--", *files, env=env)
        identity = ("-c", "user.name=executor", "-c", "user.email=executor@localhost")
        git("-C", str(folder), *identity, "commit", "--quiet", "--message=Start", env=env)
        return True
    return False
