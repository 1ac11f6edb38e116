from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from executor.errors import NotFound, StoreUnreachable, UsageError
from executor.spec.canonical import Digest
from executor.store.local import LocalStore, open_local

SOME = Digest.of(b"some")


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_local("file:/a/b", {}).url == "file:/a/b"
    assert open_local("file:///a/b", {}).url == "file:/a/b"
    assert open_local("file://localhost/a", {}).url == "file:/a"
    assert open_local("file:runs", {}).url == f"file:{tmp_path}/runs"


@pytest.mark.parametrize("url", ["file:", "file://host/share"])
def test_urls_that_name_no_folder(url: str) -> None:
    with pytest.raises(UsageError):
        open_local(url, {})


def test_a_new_folder_is_an_empty_store(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert list(store.spec_hashes()) == []
    assert store.reference(SOME) is None
    assert not (tmp_path / "store").exists()


def test_a_folder_whose_disk_is_not_there_is_out_of_reach(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "disk" / "store")
    for ask in (store.reference, store.get_spec, store.has_blob, store.attempts):
        with pytest.raises(StoreUnreachable, match="no such folder"):
            ask(SOME)
    with pytest.raises(StoreUnreachable, match="no such folder"):
        list(store.spec_hashes())
    with pytest.raises(StoreUnreachable, match="no such folder"):
        store.put_bytes(b"x")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    store = LocalStore(tmp_path / "store")
    for ask in (store.reference, store.get_spec, store.has_blob, store.attempts):
        with pytest.raises(StoreUnreachable, match="this is a file, not a folder"):
            ask(SOME)
    with pytest.raises(StoreUnreachable, match="this is a file") as caught:
        store.put_bytes(b"x")
    assert "credentials" not in caught.value.advice


def test_a_folder_that_nobody_can_make_is_out_of_reach() -> None:
    store = LocalStore(Path("/proc/no-such-store"))
    with pytest.raises(StoreUnreachable) as caught:
        store.put_bytes(b"x")
    assert caught.value.advice
    check = store.check(datetime(2026, 1, 1, tzinfo=UTC))
    assert (check.writable, bool(check.problem), bool(check.advice)) == (False, True, True)


@pytest.mark.parametrize("key", ["../x", "a/../x", "/etc/passwd", "a//b", "a/./b", "a\0b"])
def test_a_key_never_leaves_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        LocalStore(tmp_path).open_object(key)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnreachable, match="No space left") as caught:
        LocalStore(tmp_path).put_bytes(b"x")
    assert caught.value.advice == "free some space, or use another store"
    assert list((tmp_path / ".part").iterdir()) == []


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes(b"x")
    (tmp_path / ".part" / "left-over").write_bytes(b"half")
    assert [one.size for one in store.objects()] == [1]


def test_absent_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        LocalStore(tmp_path).get_spec(SOME)


def test_what_killed_writers_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert store.abort_stale(datetime.now(UTC)) == 0
    digest = store.put_bytes(b"some")
    scratch = tmp_path / "store" / ".part"
    for name, age in ((".part-old", 100), (".part-new", 0), ("swap.lock", 100)):
        (scratch / name).write_bytes(b"half of it")
        moment = datetime.now(UTC).timestamp() - age
        os.utime(scratch / name, (moment, moment))
    assert store.abort_stale(datetime.now(UTC) - timedelta(seconds=50)) == 1
    assert {path.name for path in scratch.iterdir()} == {".part-new", "swap.lock"}
    assert store.has_blob(digest)


def test_a_writer_that_ends_while_the_leftovers_are_looked_at_is_none(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put_bytes(b"some")
    (tmp_path / "store" / ".part" / ".part-ended").symlink_to("gone")  # listed, and not there when it is looked at
    assert store.abort_stale(datetime.now(UTC)) == 0
