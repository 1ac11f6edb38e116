"""A tree of files, its manifest and its hash: `Tree` is pure, `scan` and `HashCache` read the disk.

- The manifest is `executor/tree/v1` and a newline, then one line of canonical JSON for each file,
  `[path, size, sha256, executable]`, sorted by the raw bytes of the path. The tree hash is the manifest's sha256.
- Only files count: empty folders, owners, times and modes other than the owner's executable bit are not part of a tree.
- A symbolic link counts as the file it points to. It must be relative and stay inside the tree at every step, so that
  it means the same wherever the tree is mounted; a link to a folder is refused.
- Devices, FIFOs, sockets, names that are not UTF-8 and files that change while they are read are problems; all
  problems are reported together.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, NonNegativeInt, TypeAdapter

from executor.errors import UsageError
from executor.spec.canonical import CHUNK, Digest, canonical_bytes

TREE_TAG = b"executor/tree/v1\n"
"""First line of every manifest."""

Progress = Callable[[int], None]
"""Is told how many more bytes are done; called from several threads."""

_LINE = TypeAdapter(tuple[str, NonNegativeInt, str, bool], config=ConfigDict(strict=True))
_RACY_NS = 2 * 10**9
_BIG = 8 * CHUNK
_MAX_LINKS = 40
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file."""

    path: str
    """Relative to the tree, `/` between names."""
    size: int
    """Bytes."""
    digest: Digest
    executable: bool = False
    """Whether its owner may execute it."""

    def __post_init__(self) -> None:
        if any(name in ("", ".", "..") for name in self.path.split("/")) or "\0" in self.path:
            raise ValueError(f"not a path inside a tree: {self.path!r}")


@dataclass(frozen=True)
class Tree:
    """Files by content; raises `ValueError` for a path that is there twice, or is a file and a folder."""

    entries: tuple[TreeEntry, ...]
    """Sorted by the raw bytes of the path, whatever order they are given in."""

    def __post_init__(self) -> None:
        entries = tuple(sorted(self.entries, key=lambda entry: entry.path.encode()))
        object.__setattr__(self, "entries", entries)
        paths = {entry.path for entry in entries}
        folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
        if len(paths) < len(entries) or paths & folders:
            raise ValueError("a path is in the tree twice")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def hash(self) -> Digest:
        """The tree hash: digest of the manifest."""
        return Digest.of(self.manifest())

    def manifest(self) -> bytes:
        """The bytes that are hashed, themselves a blob in the store."""
        lines = (canonical_bytes([e.path, e.size, e.digest.hex, e.executable]) + b"\n" for e in self.entries)
        return TREE_TAG + b"".join(lines)

    @classmethod
    def parse(cls, data: bytes) -> Tree:
        """Read a manifest; raises `ValueError` for bytes that `manifest` could not have written."""
        tag, lines = data[: len(TREE_TAG)], data[len(TREE_TAG) :].splitlines()
        rows = [_LINE.validate_json(line) for line in lines] if tag == TREE_TAG else []
        tree = cls(tuple(TreeEntry(path, size, Digest(digest), bit) for path, size, digest, bit in rows))
        if tree.manifest() != data:
            raise ValueError("not a tree manifest")
        return tree


@dataclass(frozen=True)
class HashCache:
    """Digests of files by (device, inode, size, mtime, ctime) in an SQLite file that several processes share.

    A file touched less than two seconds before `now_ns` is not remembered: it could change again within the same
    tick of the file system's clock, and nobody would see it.
    """

    path: Path
    """The SQLite file; made when it is not there, deleted at no loss."""
    now_ns: int
    """A moment at or before the first look at any file, in nanoseconds since 1970."""

    def get(self, stats: Sequence[os.stat_result]) -> list[Digest | None]:
        """What is known of each file, in the same order."""
        query = "SELECT hex FROM file WHERE key = ?"
        with self._open() as database:
            rows = (database.execute(query, [repr(_key(found))]).fetchone() for found in stats)
            return [Digest(row[0]) if row else None for row in rows]

    def put(self, known: Iterable[tuple[os.stat_result, Digest]]) -> None:
        """Remember digests; files touched too recently are left out."""
        settled = self.now_ns - _RACY_NS
        rows = [(repr(_key(s)), d.hex) for s, d in known if max(s.st_mtime_ns, s.st_ctime_ns) < settled]
        with self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO file VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as database:
                database.execute("CREATE TABLE IF NOT EXISTS file (key TEXT PRIMARY KEY, hex TEXT) WITHOUT ROWID")
                yield database
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self.path}: {error}", advice="delete this file: it is only a cache") from error


def scan(source: Path, *, cache: HashCache | None = None, progress: Progress | None = None, workers: int = 8) -> Tree:
    """Hash every file of a folder, or one file as a tree of its own; raises `UsageError` that lists every problem."""
    problems: list[str] = []
    found = list(_files(source, problems))
    known = cache.get([seen for _, _, seen in found]) if cache else [None] * len(found)
    missing = [item for item, digest in zip(found, known, strict=True) if digest is None]
    with ThreadPoolExecutor(workers) as pool:
        hashed = list(pool.map(lambda item: _hash(item, progress, problems), missing))
    if not found and not problems:
        problems.append("there are no files in it")
    if problems:
        more = [f"… and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        lines = "".join(f"\n  {line}" for line in sorted(problems)[:_SHOWN] + more)
        raise UsageError(f"{source}: cannot be used as data:{lines}", advice="a data tree holds plain files only")
    fresh = [digest for digest in hashed if digest]
    if cache and fresh:
        cache.put((seen, digest) for (_, _, seen), digest in zip(missing, fresh, strict=True))
    rest = iter(fresh)
    digests = [digest or next(rest) for digest in known]
    rows = zip(found, digests, strict=True)
    return Tree(tuple(TreeEntry(path, s.st_size, d, bool(s.st_mode & stat.S_IXUSR)) for (path, _, s), d in rows))


_Found = tuple[str, Path, os.stat_result]  # path in the tree, the regular file that it means, its stat


def _files(source: Path, problems: list[str]) -> Iterator[_Found]:
    try:
        root = source.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"no data there: {error}", advice="correct the path, or fetch the data first") from error
    for path in _walk(root, problems) if root.is_dir() else [source.name]:
        try:
            file = _follow(root, path) if root.is_dir() else root
            found = file.lstat()
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, file, found
        else:
            problems.append(f"{path}: {_kind(found.st_mode)}, not a regular file")


def _walk(root: Path, problems: list[str]) -> Iterator[str]:
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            with os.scandir(root / prefix) as entries:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            problems.append(f"{prefix}: {error.strerror}")
            continue
        for name, is_folder in names:
            shown = os.fsencode(name).decode(errors="backslashreplace")
            if shown != name:
                problems.append(f"{prefix}{shown}: the name is not UTF-8")
            elif is_folder:
                folders.append(f"{prefix}{name}/")
            else:
                yield prefix + name


def _follow(root: Path, path: str) -> Path:
    """The file that `path` means, following links within `root` only; `ValueError` when one leaves it."""
    parts = path.split("/")
    for _ in range(_MAX_LINKS):
        file = root.joinpath(*parts)
        if not file.is_symlink():
            return file
        target = str(file.readlink())
        parts = parts[:-1]
        for step in target.split("/"):
            if target.startswith("/") or (step == ".." and not parts):
                raise ValueError(f"a symbolic link that leaves the tree: {target}")
            if step == "..":
                parts.pop()
            elif step not in ("", "."):
                parts.append(step)
            if root.joinpath(*parts[:-1]).is_symlink():
                raise ValueError(f"a symbolic link through another one: {target}")
    raise ValueError("a symbolic link that leads in a circle")


def _hash(item: _Found, progress: Progress | None, problems: list[str]) -> Digest | None:
    path, file, seen = item
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", buffering=0) as stream:
            digest = _hash_stream(stream.fileno(), seen, progress)
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
        return None
    if digest is None:
        problems.append(f"{path}: changed while it was read")
    return digest


def _hash_stream(fd: int, seen: os.stat_result, progress: Progress | None) -> Digest | None:
    """Digest of an open file; none when it is not, or does not stay, the file that was `seen`."""
    hasher, buffer = hashlib.sha256(), bytearray(min(seen.st_size + 1, CHUNK))
    view = memoryview(buffer)
    if seen.st_size >= _BIG:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    if _key(os.fstat(fd)) != _key(seen):
        return None
    left = seen.st_size + 1  # one byte more than there should be: a file that grows must not be read for ever
    while count := os.readv(fd, [view[:left]]):
        hasher.update(view[:count])
        left -= count
        if progress:
            progress(count)
    return Digest(hasher.hexdigest()) if _key(os.fstat(fd)) == _key(seen) else None


def _key(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a link to a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
