"""Code and data are put in place, each verified against what the spec names before anything runs.

- Code: its archive is cached by commit; each attempt gets a checkout of its own, so a program may scribble in it.
- Data: a local folder is hashed and mounted where it lies, and looked at again after the run (`recheck`). One file, a
  folder that not everyone may read, and whatever comes from the archive or is fetched goes to the cache, a folder named
  by the tree hash. The archive is asked before a source elsewhere: that may have changed, or be gone.
- A cached copy is hashed again on every use, which `HashCache` makes cheap; a damaged one is fetched anew. A lock makes
  two runs fetch once; a copy is complete before it gets its name.
"""

from __future__ import annotations

import fcntl
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

from executor.engine.archive import pack, unpack
from executor.engine.private import require_data
from executor.errors import ExecutorError, InputMismatch, SourceUnreachable, UsageError
from executor.facts import Finding
from executor.spec.canonical import CHUNK
from executor.spec.model import Code, Data
from executor.spec.tree import HashCache, Progress, Tree, scan

Restore = Callable[[Path], None]
"""Writes all files of a tree below an empty folder."""
Fetcher = Callable[[str, Path, Progress | None], None]
"""Brings a data source (URL) into an empty folder; tells the bytes that came."""


@dataclass(frozen=True)
class PreparedCode:
    """A checkout, and what it was made from."""

    folder: Path
    archive: Path
    """The archive that the store keeps; its digest goes into the record."""
    source: Literal["cache", "repository", "archive"]
    """Where it came from."""


@dataclass(frozen=True)
class PreparedData:
    """A data tree that is what the spec names."""

    name: str
    path: Path
    """The folder to mount read-only."""
    tree: Tree
    source: Literal["cache", "local", "archive", "fetched"]
    """Where it came from; `local` is mounted where it lies."""


def prepare_code(
    code: Code, target: Path, cache: Path, *, env: Mapping[str, str], archive: Callable[[], BinaryIO] | None = None
) -> PreparedCode:
    """Check the commit out into `target` (absent or empty): from the cache, its repository, or a stored archive.

    Raises what the repository raised when there is no `archive` to turn to, and `InputMismatch` when that is not the
    commit's.
    """
    kept = cache / f"{code.commit}.tar"
    with _locked(kept):
        if _check_out_cached(kept, code.commit, target):
            return PreparedCode(target, kept, "cache")
        source = _bring_archive(code, kept, env, archive)
        with kept.open("rb") as stream:
            unpack(stream, code.commit, target)
    return PreparedCode(target, kept, source)


def _check_out_cached(kept: Path, commit: str, target: Path) -> bool:
    if not kept.exists():
        return False
    try:
        with kept.open("rb") as stream:
            unpack(stream, commit, target)
    except InputMismatch:  # damaged on disk: it is only a cache
        shutil.rmtree(target, ignore_errors=True)
        kept.unlink()
        return False
    return True


def _bring_archive(
    code: Code, kept: Path, env: Mapping[str, str], archive: Callable[[], BinaryIO] | None
) -> Literal["repository", "archive"]:
    problem: ExecutorError = SourceUnreachable("code.repo: no repository is named", advice="name one with the commit")
    if code.repo:
        try:
            pack(code.repo, code.commit, kept, env=env)
        except (SourceUnreachable, UsageError, InputMismatch) as error:
            problem = error
        else:
            return "repository"
    if archive is None:
        raise problem
    part = kept.with_suffix(".part")
    with archive() as stream, part.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK)
    part.replace(kept)
    return "archive"


def prepare_data(
    name: str,
    data: Data,
    cache: Path,
    fetchers: Mapping[str, Fetcher],
    *,
    hashes: HashCache,
    progress: Progress | None = None,
    archive: Callable[[], Restore | None] = lambda: None,
) -> PreparedData:
    """The folder that holds the tree of `data.hash`: here already, from the archive, or fetched from its source.

    `archive` gives what writes the tree as it was archived, if it was; `fetchers` go by URL scheme, local paths need
    none. Raises `InputMismatch` when the source is another tree, `SourceUnreachable` when there is no source,
    `UsageError` when it holds what no tree can.
    """
    kept, place = cache / data.hash.hex, _Source(name, data, hashes, progress)
    with _locked(kept):
        if tree := _cached(kept, data, hashes):
            return PreparedData(name, kept, tree, "cache")
        problem: ExecutorError | None = None
        if place.scheme in ("", "file"):
            try:
                return _local(place, kept)
            except (InputMismatch, SourceUnreachable, UsageError) as error:
                problem = error
        if restore := archive():
            return PreparedData(name, kept, _fill(kept, restore, place.verified), "archive")
        if problem:
            raise problem
        if place.scheme not in fetchers:
            known = ", ".join(sorted(fetchers))
            raise UsageError(f"data.{name}: cannot fetch {data.source}", advice=f"use a path, or one of: {known}")
        bring = partial(_fetch, fetchers[place.scheme], data.source, progress)
        return PreparedData(name, kept, _fill(kept, bring, place.verified), "fetched")


@dataclass(frozen=True)
class _Source:
    """Where data is said to be found."""

    name: str
    data: Data
    hashes: HashCache
    progress: Progress | None

    @property
    def scheme(self) -> str:
        return urlsplit(self.data.source).scheme

    def verified(self, folder: Path, progress: Progress | None = None) -> Tree:
        """The tree of a folder, which is the one that is asked for."""
        tree = scan(folder, cache=self.hashes, progress=progress)
        if tree.hash != self.data.hash:
            raise InputMismatch(
                f"data.{self.name}.hash", expected=str(self.data.hash), observed=f"{tree.hash} at {self.data.source}",
                advice="restore the data that the spec names, or lock the draft again",
            )  # fmt: skip
        return tree


def _local(place: _Source, kept: Path) -> PreparedData:
    """Data of this machine: mounted where it lies, unless it is one file or not everyone may read it."""
    name, data = place.name, place.data
    if not data.source:
        raise SourceUnreachable(f"data.{name}: no source is named", advice=f"name one that holds {data.hash}")
    folder = Path(data.source.removeprefix("file://"))
    if not folder.exists():
        raise SourceUnreachable(f"data.{name}: there is nothing at {folder}", advice="put the data back")
    require_data(name, folder)
    tree = place.verified(folder, place.progress)
    if folder.is_dir() and _readable(folder, tree):
        return PreparedData(name, folder.resolve(), tree, "local")
    return PreparedData(name, kept, _fill(kept, partial(_copy, folder, tree), place.verified), "fetched")


def recheck(data: PreparedData, hashes: HashCache) -> list[Finding]:
    """Look at a tree again after the run; files whose stat is unchanged are not read again."""
    found = _scan_if_whole(data.path, hashes)
    if found == data.tree:
        return []
    observed = str(found.hash) if found else "a tree that cannot be read"
    return [
        Finding(
            field=f"data.{data.name}.hash", expected=str(data.tree.hash), observed=observed, severity="warn",
            advice="the data changed during the run: run again, and keep others from writing to it",
        )
    ]  # fmt: skip


def _cached(kept: Path, data: Data, hashes: HashCache) -> Tree | None:
    """The tree of a cached copy; a copy that is not what its name says is removed."""
    if not kept.exists():
        return None
    tree = _scan_if_whole(kept, hashes)
    if tree is None or tree.hash != data.hash:
        shutil.rmtree(kept)
        return None
    return tree


def _fill(kept: Path, bring: Callable[[Path], None], verify: Callable[[Path], Tree]) -> Tree:
    """Bring files into a folder beside `kept` and give it that name once they are what they should be."""
    part = kept.with_suffix(".part")
    if part.exists():  # of a process that was killed: we hold its lock
        shutil.rmtree(part)
    part.mkdir(parents=True)
    try:
        bring(part)
        tree = verify(part)
    except BaseException:
        shutil.rmtree(part)
        raise
    for folder in {part, *(path for path in part.rglob("*") if path.is_dir())}:
        folder.chmod(0o755)
    for entry in tree.entries:
        (part / entry.path).chmod(0o555 if entry.executable else 0o444)
    part.rename(kept)
    return tree


def _fetch(fetcher: Fetcher, url: str, progress: Progress | None, target: Path) -> None:
    fetcher(url, target, progress)


def _copy(source: Path, tree: Tree, target: Path) -> None:
    for entry in tree.entries:
        file = target / entry.path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / entry.path if source.is_dir() else source, file)
        file.chmod(0o755 if entry.executable else 0o644)


def _readable(folder: Path, tree: Tree) -> bool:
    """Whether the run's user, who is neither owner nor group, may read every file."""
    paths = [folder.joinpath(*entry.path.split("/")) for entry in tree.entries]
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(folder)}
    return all(path.stat().st_mode & stat.S_IROTH for path in paths) and all(
        path.stat().st_mode & 0o005 == 0o005 for path in folders
    )


def _scan_if_whole(folder: Path, hashes: HashCache) -> Tree | None:
    try:
        return scan(folder, cache=hashes)
    except UsageError:
        return None


@contextmanager
def _locked(kept: Path) -> Iterator[None]:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
