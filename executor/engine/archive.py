"""A commit becomes an archive, and an archive becomes the files of `/code`.

The archive is an uncompressed tar of git objects, each named by its id: the commit, its folders, its files, and the
same of its submodules at their recorded commits, sorted. It is the same bytes wherever it is made, and it proves
itself: every object must hash to the id that the object above it names, up to the commit that the spec names. So a
checkout needs no repository, and no path that an archive names is ever followed.

Files are written as git keeps them: line ends are not converted, filters (LFS among them) are not run, `export-subst`
is not applied. Symbolic links are kept as they are and never followed here; what they mean is up to the container.
Times are those of the commit, modes 0644 and 0755: the same commit gives the same folder everywhere.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from executor.engine.git import Source, environment, fetch, git, locate, relative, submodules
from executor.errors import InputMismatch, UsageError
from executor.spec.canonical import CHUNK

_FOLDER, _LINK, _COMMIT = 0o040000, 0o120000, 0o160000
_MAX_ENTRIES = 1_000_000
_MAX_DEPTH = 100
_MAX_TIME = 2**33


def pack(repo: str, commit: str, out: Path, *, env: Mapping[str, str]) -> None:
    """Write the archive of a commit; `out` appears whole or not at all.

    Raises `InputMismatch` when the repository lacks the commit, `SourceUnreachable` when it does not answer, and
    `UsageError` for an address that is none.
    """
    source = locate(repo, env=env)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".git-") as folder:
        database, part = Path(folder, "objects.git"), Path(folder, "archive")
        git("init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(database), env=env)
        with _cat_file(database, env) as objects, tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(_closure(source, commit, database, objects, env)):
                size, stream = objects.open(name)
                info = tarfile.TarInfo(name)
                info.size, info.mode = size, 0o444
                tar.addfile(info, stream)
                objects.close(stream)
        part.replace(out)


def unpack(archive: BinaryIO, commit: str, target: Path) -> None:
    """Write the files of a commit from its archive (seekable) into `target`, a folder that is absent or empty.

    Every byte is checked against the commit; raises `InputMismatch` when the archive is not the commit's.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            members = {member.name: member for member in tar if member.isreg()}
            _Checkout(_Tar(tar, members), commit).write_commit(commit, target, "")
    except (tarfile.TarError, ValueError, LookupError, FileExistsError) as error:
        raise _mismatch(commit, f"an archive that cannot be read ({error})") from error


@dataclass(frozen=True)
class Committed:
    """The files of a commit, read out of its archive one by one; every byte is checked against the commit."""

    objects: _Objects
    files: Mapping[str, str]
    """Path to the id of its content: equal ids are equal contents. What a link holds is its target."""

    def read(self, path: str, most: int) -> bytes | None:
        """What a file holds; none when that is more than `most` bytes."""
        size, stream = self.objects.open(self.files[path])
        self.objects.close(stream)
        return None if size > most else _read(self.objects, self.files[path], "blob")


@contextmanager
def opened(archive: BinaryIO, commit: str) -> Iterator[Committed]:
    """Look into the archive (seekable) of a commit; raises `InputMismatch` when it is not the commit's."""
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            objects = _Tar(tar, {member.name: member for member in tar if member.isreg()})
            yield Committed(objects, dict(_listed(objects, commit)))
    except (tarfile.TarError, ValueError, LookupError) as error:
        raise _mismatch(commit, f"an archive that cannot be read ({error})") from error


def _listed(objects: _Objects, commit: str) -> Iterator[tuple[str, str]]:
    """Path and id of every file of a commit."""
    folders, seen = [("", _tree_of(_read(objects, commit, "commit")))], 0
    while folders:
        path, folder = folders.pop()
        for mode, name, item in _entries(_read(objects, folder, "tree")):
            inner, seen = path + os.fsdecode(name), seen + 1
            if seen > _MAX_ENTRIES or path.count("/") > _MAX_DEPTH:
                raise _mismatch(commit, "more files than a commit has")
            if mode == _FOLDER:
                folders.append((f"{inner}/", item))
            elif mode == _COMMIT:
                folders.append((f"{inner}/", _tree_of(_read(objects, item, "commit"))))
            else:
                yield inner, item


class _Objects(Protocol):
    """Git objects by id, as streams."""

    def open(self, name: str) -> tuple[int, IO[bytes]]:
        """Size in bytes and content of an object; it is read whole before `close`."""
        ...

    def close(self, stream: IO[bytes]) -> None:
        """Done with an object."""
        ...


@dataclass(frozen=True)
class _Tar:
    tar: tarfile.TarFile
    members: Mapping[str, tarfile.TarInfo]

    def open(self, name: str) -> tuple[int, IO[bytes]]:
        stream = self.tar.extractfile(self.members[name]) if name in self.members else None
        if stream is None:
            raise _mismatch(name, "an archive without it")
        return self.members[name].size, stream

    def close(self, stream: IO[bytes]) -> None:
        stream.close()


@dataclass(frozen=True)
class _CatFile:
    asked: IO[bytes]
    answers: IO[bytes]

    def open(self, name: str) -> tuple[int, IO[bytes]]:
        self.asked.write(name.encode() + b"\n")
        self.asked.flush()
        header = self.answers.readline().split()
        if len(header) != 3:
            raise _mismatch(name, "a repository without it")
        return int(header[2]), self.answers

    def close(self, stream: IO[bytes]) -> None:
        stream.read(1)  # the line end after each object


@contextmanager
def _cat_file(database: Path, env: Mapping[str, str]) -> Iterator[_CatFile]:
    command = ["git", f"--git-dir={database}", "cat-file", "--batch"]
    with subprocess.Popen(command, env=environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - what PIPE means
        assert process.stdout is not None  # noqa: S101
        yield _CatFile(process.stdin, process.stdout)


def _closure(source: Source, commit: str, database: Path, objects: _Objects, env: Mapping[str, str]) -> set[str]:
    """Ids of everything that a commit's files consist of; what is not in `database` yet is fetched into it."""
    fetch(source, commit, database, env=env)
    found, folders = {commit}, [("", _tree_of(_read(objects, commit, "commit")))]
    listed: dict[str, tuple[str, str]] | None = None
    while folders:
        path, folder = folders.pop()
        found.add(folder)
        for mode, name, item in _entries(_read(objects, folder, "tree")):
            if mode == _FOLDER:
                folders.append((f"{path}{os.fsdecode(name)}/", item))
            elif mode == _COMMIT:
                listed = submodules(database, commit, env=env) if listed is None else listed
                inner = _submodule(source, path + os.fsdecode(name), item, listed, env)
                found |= _closure(inner, item, database, objects, env)
            else:
                found.add(item)
        if len(found) > _MAX_ENTRIES:
            raise UsageError(f"{source.url}: more than {_MAX_ENTRIES} files in commit {commit}")
    return found


def _submodule(
    source: Source, path: str, commit: str, listed: Mapping[str, tuple[str, str]], env: Mapping[str, str]
) -> Source:
    """Where a submodule comes from: the copy inside a local repository when that has the commit, else its address."""
    if path not in listed:
        raise UsageError(f"{source.url}: {path} is a submodule that .gitmodules does not list",
                         advice="remove it from the repository, or list it")  # fmt: skip
    name, address = listed[path]
    copy = Path(source.url, "modules", name)
    if source.local and ".." not in name.split("/") and copy.is_dir():
        inner = locate(str(copy), env=env)
        try:
            git(f"--git-dir={inner.url}", "cat-file", "-e", f"{commit}^{{commit}}", env=env)
        except subprocess.CalledProcessError:
            return locate(relative(source, address), env=env)
        return inner
    return locate(relative(source, address), env=env)


@dataclass
class _Checkout:
    """Writes a commit's files, counting them: a few objects can name each other into billions of files."""

    objects: _Objects
    commit: str
    written: int = field(default=0)

    def write_commit(self, commit: str, target: Path, path: str) -> None:
        """The files of a commit, in a folder."""
        content = _read(self.objects, commit, "commit")
        self._write_folder(_tree_of(content), target, path, _time_of(content))

    def _write_folder(self, name: str, target: Path, path: str, when: int) -> None:
        target.mkdir(exist_ok=path == "")
        for mode, raw, item in _entries(_read(self.objects, name, "tree")):
            self.written += 1
            inner = target / os.fsdecode(raw)
            if _unsafe(raw) or self.written > _MAX_ENTRIES or path.count("/") > _MAX_DEPTH:
                raise _mismatch(self.commit, f"files that cannot be written, such as {path}{inner.name!r}")
            if mode == _FOLDER:
                self._write_folder(item, inner, f"{path}{inner.name}/", when)
            elif mode == _COMMIT:
                self.write_commit(item, inner, f"{path}{inner.name}/")
            elif mode == _LINK:
                inner.symlink_to(os.fsdecode(_read(self.objects, item, "blob")))
                os.utime(inner, (when, when), follow_symlinks=False)
            else:
                self._write_file(item, inner, 0o755 if mode & 0o100 else 0o644)
                os.utime(inner, (when, when))
        target.chmod(0o755)
        os.utime(target, (when, when))

    def _write_file(self, name: str, target: Path, mode: int) -> None:
        with target.open("xb") as file:
            os.fchmod(file.fileno(), mode)
            for piece in _pieces(self.objects, name, "blob"):
                file.write(piece)


def _pieces(objects: _Objects, name: str, kind: str) -> Iterator[bytes]:
    """Content of an object, which must hash to its name; what was read of another one is worth nothing."""
    size, stream = objects.open(name)
    hasher = hashlib.sha1(f"{kind} {size}\0".encode(), usedforsecurity=False)
    while size and (piece := stream.read(min(size, CHUNK))):
        hasher.update(piece)
        size -= len(piece)
        yield piece
    objects.close(stream)
    if hasher.hexdigest() != name:
        raise _mismatch(name, f"an object that is not this {kind}")


def _read(objects: _Objects, name: str, kind: str) -> bytes:
    return b"".join(_pieces(objects, name, kind))


def _entries(folder: bytes) -> Iterator[tuple[int, bytes, str]]:
    """Mode, name and id of each entry of a git tree object."""
    at = 0
    while at < len(folder):
        space = folder.index(b" ", at)
        end = folder.index(b"\0", space)
        yield int(folder[at:space], 8), folder[space + 1 : end], folder[end + 1 : end + 21].hex()
        at = end + 21


def _unsafe(name: bytes) -> bool:
    return name.lower() in (b"", b".", b"..", b".git") or b"/" in name


def _tree_of(commit: bytes) -> str:
    return commit[5:45].decode()


def _time_of(commit: bytes) -> int:
    """Commit time in seconds since 1970, kept within what file systems hold."""
    header, _, _ = commit.partition(b"\n\n")
    line = next((line for line in header.split(b"\n") if line.startswith(b"committer ")), b"committer 0 +0000")
    return max(0, min(int(line.split()[-2]), _MAX_TIME))


def _mismatch(name: str, observed: str) -> InputMismatch:
    return InputMismatch("code.commit", expected=name, observed=observed, advice="fetch the code again")
