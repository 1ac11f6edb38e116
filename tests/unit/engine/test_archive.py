"""Commit to archive to files, byte for byte, with submodules, and with archives that lie."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from executor.engine.archive import opened, pack, unpack
from executor.errors import InputMismatch, SourceUnreachable, UsageError
from tests.unit.engine.repos import ENV, commit_all, make_repo, run_git

NO_COMMIT = "0123456789" * 4


def check_out(repo: str | Path, commit: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    pack(str(repo), commit, folder / "archive", env=ENV)
    with (folder / "archive").open("rb") as archive:
        unpack(archive, commit, folder / "code")
    return folder / "code"


def listing(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything below a folder."""
    found = {}
    for path in [root, *root.rglob("*")]:
        seen = path.lstat()
        content = os.fsencode(path.readlink()) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(root))] = (seen.st_mode, seen.st_mtime_ns, content)
    return found


def tar_of(objects: Iterable[tuple[str, bytes]]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in objects:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    file.seek(0)
    return file


def obj(kind: str, content: bytes) -> tuple[str, bytes]:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest(), content


def commit_of(*entries: tuple[str, bytes, tuple[str, bytes]]) -> tuple[str, io.BytesIO]:
    """A commit and its archive: one folder with the given (mode, name, object) entries."""
    tree = obj("tree", b"".join(b"%s %s\0" % (m.encode(), n) + bytes.fromhex(o[0]) for m, n, o in entries))
    commit = obj("commit", f"tree {tree[0]}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx".encode())
    return commit[0], tar_of({commit, tree, *(o for _, _, o in entries)})


def test_files_modes_links_and_times_are_those_of_the_commit(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one\r\n", run="#!/bin/sh\n", empty="")
    (repo / "run").chmod(0o755)
    (repo / ".gitattributes").write_text("* text eol=crlf ident\nid export-subst\nempty export-ignore\n")
    (repo / "id").write_text("$Id$ $Format:%H$\n")
    (repo / "sub").mkdir()
    (repo / "sub" / "link").symlink_to("../a")
    Path(os.fsdecode(os.fsencode(repo) + b"/b\xff")).write_bytes(b"\0\xff")
    commit = commit_all(repo)
    found = listing(check_out(repo, commit, tmp_path / "x"))
    when = 1_700_000_000 * 10**9
    assert found["id"] == (0o100644, when, b"$Id$ $Format:%H$\n")
    assert found["run"] == (0o100755, when, b"#!/bin/sh\n")
    assert found["empty"] == (0o100644, when, b"")
    assert found["sub/link"] == (0o120777, when, b"../a")
    assert found["sub"] == found["."] == (0o40755, when, b"")
    assert found["b\udcff"] == (0o100644, when, b"\0\xff")
    assert len(found) == 9


def test_the_archive_is_the_same_bytes_wherever_it_is_made(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one", b="two")
    commit = run_git(repo, "rev-parse", "HEAD")
    run_git(tmp_path, "clone", "--quiet", "--bare", "repo", "bare")
    for number, source in enumerate((repo, tmp_path / "bare", repo / ".git")):
        pack(str(source), commit, tmp_path / f"archive{number}", env=ENV)
    archives = {(tmp_path / f"archive{number}").read_bytes() for number in range(3)}
    assert len(archives) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".git-")] == []


def test_a_rebuild_gives_the_same_folder_without_the_repository(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one")
    commit = run_git(repo, "rev-parse", "HEAD")
    first = check_out(repo, commit, tmp_path / "x")
    repo.rename(tmp_path / "gone")
    (tmp_path / "again").mkdir()
    with (tmp_path / "x" / "archive").open("rb") as archive:
        unpack(archive, commit, tmp_path / "again")
    assert listing(tmp_path / "again") == listing(first)


def test_an_old_commit_of_no_branch_is_found(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one")
    commit = run_git(repo, "rev-parse", "HEAD")
    (repo / "a").write_text("two")
    run_git(repo, "commit", "--all", "--amend", "--quiet", "--message", "other")
    assert (check_out(repo, commit, tmp_path / "x") / "a").read_text() == "one"


def test_shallow_repositories_and_borrowed_objects_will_do(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one")
    commit_all(repo)
    commit = run_git(repo, "rev-parse", "HEAD")
    run_git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
    run_git(tmp_path, "clone", "--quiet", "--shared", "repo", "borrowing")
    run_git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "worktree"))
    for name in ("shallow", "borrowing", "worktree"):
        assert (check_out(tmp_path / name, commit, tmp_path / f"x-{name}") / "a").read_text() == "one"


def with_submodule(tmp_path: Path, address: str) -> tuple[Path, str]:
    inner = make_repo(tmp_path / "group" / "inner", data="inside")
    deep = make_repo(tmp_path / "group" / "deep", bottom="deep")
    run_git(inner, "submodule", "--quiet", "add", "--name", "d", "../deep", "lib/deep")
    commit_all(inner)
    repo = make_repo(tmp_path / "group" / "outer", a="one")
    run_git(repo, "submodule", "--quiet", "add", "--name", "named", address or str(inner), "vendor/inner")
    assert deep.is_dir()
    return repo, commit_all(repo)


@pytest.mark.parametrize("address", ["", "../inner"])
def test_submodules_come_at_their_recorded_commits(tmp_path: Path, address: str) -> None:
    repo, commit = with_submodule(tmp_path, address)
    (tmp_path / "group" / "inner" / "data").write_text("newer")
    commit_all(tmp_path / "group" / "inner")
    run_git(tmp_path, "clone", "--quiet", "--no-recurse-submodules", str(repo), "group/plain")
    for source in (repo, tmp_path / "group" / "plain"):
        code = check_out(source, commit, tmp_path / f"x-{source.name}")
        assert (code / "vendor/inner/data").read_text() == "inside"
        assert (code / "vendor/inner/lib/deep/bottom").read_text() == "deep"
    assert (tmp_path / "x-plain/archive").read_bytes() == (tmp_path / "x-outer/archive").read_bytes()


def test_the_copy_of_a_submodule_inside_the_repository_will_do(tmp_path: Path) -> None:
    repo, commit = with_submodule(tmp_path, "../inner")
    run_git(repo, "submodule", "--quiet", "update", "--init", "--recursive")
    (tmp_path / "group" / "inner").rename(tmp_path / "gone")
    (tmp_path / "group" / "deep").rename(tmp_path / "gone-too")
    assert (check_out(repo, commit, tmp_path / "x") / "vendor/inner/lib/deep/bottom").read_text() == "deep"


@pytest.mark.parametrize("address", ["ext::sh -c true", "git://example.org/x", "file:///etc", "http://example.org/x"])
def test_a_submodule_cannot_choose_its_protocol(tmp_path: Path, address: str) -> None:
    repo = make_repo(tmp_path / "repo", a="1")
    (repo / ".gitmodules").write_text(f'[submodule "s"]\n\tpath = s\n\turl = "{address}"\n')
    run_git(repo, "update-index", "--add", "--cacheinfo", f"160000,{NO_COMMIT},s")
    run_git(repo, "add", ".gitmodules")
    run_git(repo, "commit", "--quiet", "--message", "submodule")
    with pytest.raises(UsageError, match="not the address of a repository"):
        check_out(repo, run_git(repo, "rev-parse", "HEAD"), tmp_path / "x")


@pytest.mark.parametrize("name", ["s", "../../evil", "--upload-pack=x"])
@pytest.mark.parametrize("address", ["-u{folder}/payload", "--upload-pack={folder}/payload", "{folder}/payload", ""])
def test_what_a_submodule_names_is_no_option_and_no_command(tmp_path: Path, address: str, name: str) -> None:
    repo, canary = make_repo(tmp_path / "repo", a="1"), tmp_path / "canary"
    (tmp_path / "payload").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (tmp_path / "payload").chmod(0o755)
    url = address.format(folder=tmp_path)
    (repo / ".gitmodules").write_text(f'[submodule "{name}"]\n\tpath = s\n\turl = "{url}"\n')
    run_git(repo, "update-index", "--add", "--cacheinfo", f"160000,{NO_COMMIT},s")
    run_git(repo, "add", ".gitmodules")
    run_git(repo, "commit", "--quiet", "--message", "submodule")
    with pytest.raises((UsageError, SourceUnreachable, InputMismatch)):
        check_out(repo, run_git(repo, "rev-parse", "HEAD"), tmp_path / "x")
    assert not canary.exists()


def test_a_submodule_that_is_not_listed_is_named(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="1")
    run_git(repo, "update-index", "--add", "--cacheinfo", f"160000,{NO_COMMIT},vendor/s")
    run_git(repo, "commit", "--quiet", "--message", "submodule")
    with pytest.raises(UsageError, match=r"vendor/s is a submodule that \.gitmodules does not list"):
        check_out(repo, run_git(repo, "rev-parse", "HEAD"), tmp_path / "x")


def test_a_commit_that_is_not_there_is_a_mismatch(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="1")
    with pytest.raises(InputMismatch, match="no such commit") as caught:
        check_out(repo, NO_COMMIT, tmp_path / "x")
    assert (caught.value.field, caught.value.expected) == ("code.commit", NO_COMMIT)
    with pytest.raises(InputMismatch, match="no such commit"):
        check_out(repo, run_git(repo, "rev-parse", "HEAD^{tree}"), tmp_path / "y")


def test_a_repository_that_is_gone_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="no such folder"):
        check_out(tmp_path / "gone", NO_COMMIT, tmp_path / "x")


def test_hooks_filters_and_pack_commands_of_a_repository_are_not_run(tmp_path: Path) -> None:
    repo, canary = make_repo(tmp_path / "repo", a="one"), tmp_path / "canary"
    (repo / ".gitattributes").write_text("a filter=evil\n")
    commit = commit_all(repo)
    for key in ("filter.evil.smudge", "filter.evil.clean", "core.fsmonitor", "uploadpack.packObjectsHook",
                "core.sshCommand", "core.alternateRefsCommand"):  # fmt: skip
        run_git(repo, "config", key, f"touch {canary}; cat")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (repo / ".git/hooks").mkdir(exist_ok=True)
        (repo / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (repo / ".git/hooks" / hook).chmod(0o755)
    assert (check_out(repo, commit, tmp_path / "x") / "a").read_text() == "one"
    assert not canary.exists()


BLOB = obj("blob", b"hello")


@pytest.mark.parametrize("name", [b"..", b".", b"", b".git", b".GIT", b"a/b", b"/etc/x", b"../x"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: bytes) -> None:
    commit, archive = commit_of(("100644", name, BLOB))
    with pytest.raises(InputMismatch, match="cannot be written"):
        unpack(archive, commit, tmp_path / "code")
    assert [path.name for path in tmp_path.rglob("*")] == ["code"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    link, folder = obj("blob", b".."), obj("tree", b"100644 x\0" + bytes.fromhex(BLOB[0]))
    commit, archive = commit_of(("120000", b"a", link), ("40000", b"a", folder), ("100644", b"b", BLOB))
    with pytest.raises(InputMismatch, match="File exists"):
        unpack(archive, commit, tmp_path / "code")
    assert not (tmp_path / "x").exists()
    commit, archive = commit_of(("120000", b"a", link), ("100644", b"a", BLOB))
    with pytest.raises(InputMismatch, match="File exists"):
        unpack(archive, commit, tmp_path / "other")


def test_an_archive_that_lies_is_a_mismatch(tmp_path: Path) -> None:
    commit, archive = commit_of(("100644", b"a", BLOB))
    data = archive.getvalue()
    for number, bad in enumerate(
        (data.replace(b"hello", b"jello"), data[:700], b"no tar at all", tar_of([]).getvalue())
    ):
        with pytest.raises(InputMismatch, match=r"^code.commit"):
            unpack(io.BytesIO(bad), commit, tmp_path / str(number))
    other, _ = commit_of(("100644", b"b", BLOB))
    with pytest.raises(InputMismatch, match="without it"):
        unpack(io.BytesIO(data), other, tmp_path / "other")


def test_objects_that_name_each_other_into_billions_of_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.engine.archive._MAX_ENTRIES", 500)
    bomb, objects = obj("tree", b"".join(b"100644 %d\0" % n + bytes.fromhex(BLOB[0]) for n in range(10))), [BLOB]
    for _ in range(9):
        objects.append(bomb)
        bomb = obj("tree", b"".join(b"40000 %d\0" % n + bytes.fromhex(bomb[0]) for n in range(10)))
    commit = obj("commit", f"tree {bomb[0]}\ncommitter A <a> 1 +0000\n\n".encode())
    with pytest.raises(InputMismatch, match="cannot be written"):
        unpack(tar_of([*objects, bomb, commit]), commit[0], tmp_path / "code")


# looked into without being unpacked ----------------------------------------------------------------------------------


def packed(repo: Path, tmp_path: Path) -> tuple[Path, str]:
    commit, archive = run_git(repo, "rev-parse", "HEAD"), tmp_path / "archive"
    pack(str(repo), commit, archive, env=ENV)
    return archive, commit


def test_files_are_read_out_of_an_archive_one_by_one(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", a="one\n", b="one\n")
    (repo / "folder").mkdir()
    (repo / "folder" / "link").symlink_to("../a")
    commit_all(repo)
    archive, commit = packed(repo, tmp_path)
    with archive.open("rb") as file, opened(file, commit) as found:
        assert sorted(found.files) == ["a", "b", "folder/link"]
        assert found.files["a"] == found.files["b"]
        assert (found.read("a", 4), found.read("a", 3), found.read("folder/link", 9)) == (b"one\n", None, b"../a")


def test_files_of_a_submodule_are_among_them(tmp_path: Path) -> None:
    inner = make_repo(tmp_path / "inner", deep="x")
    repo = make_repo(tmp_path / "repo", a="one")
    run_git(repo, "submodule", "add", "--quiet", str(inner), "sub")
    commit_all(repo)
    archive, commit = packed(repo, tmp_path)
    with archive.open("rb") as file, opened(file, commit) as found:
        assert found.read("sub/deep", 9) == b"x"


def test_a_changed_file_and_a_foreign_commit_are_found_out(tmp_path: Path) -> None:
    archive, commit = packed(make_repo(tmp_path / "repo", a="one one one"), tmp_path)
    archive.write_bytes(archive.read_bytes().replace(b"one one one", b"two two two"))
    with archive.open("rb") as file, opened(file, commit) as found, pytest.raises(InputMismatch):
        found.read("a", 99)
    with archive.open("rb") as file, pytest.raises(InputMismatch), opened(file, NO_COMMIT):
        pass
    with pytest.raises(InputMismatch), opened(io.BytesIO(b"no tar"), commit):
        pass


def test_a_tree_that_names_itself_in_many_ways_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.engine.archive._MAX_ENTRIES", 1000)
    objects = [obj("blob", b"x")]
    entries = b"".join(b"100644 %d\0" % at + bytes.fromhex(objects[0][0]) for at in range(10))
    objects.append(obj("tree", entries))
    for _ in range(6):
        inner = bytes.fromhex(objects[-1][0])
        objects.append(obj("tree", b"".join(b"40000 %d\0" % at + inner for at in range(10))))
    objects.append(obj("commit", f"tree {objects[-1][0]}\n\n".encode()))
    content = dict(objects)
    with pytest.raises(InputMismatch, match="more files"), opened(tar_of(content.items()), objects[-1][0]):
        pass
