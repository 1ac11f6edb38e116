from __future__ import annotations

from pathlib import Path

import pytest

from executor.errors import NotFound, SourceUnreachable, UsageError
from executor.store import SCHEMES
from executor.store.sources import fetch_prefix
from tests.fakes import MemoryStore


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setitem(SCHEMES, "s3", lambda url, env, journal: store)
    return store


def test_objects_become_files(bucket: MemoryStore, tmp_path: Path) -> None:
    bucket.contents = {"a.csv": b"1,2\n", "sub/b.csv": b"", "sub/": b"", "sub/ä/c": b"x" * 10}
    moved: list[int] = []
    fetch_prefix("s3://data/x", tmp_path / "t", {}, moved.append)
    files = {str(p.relative_to(tmp_path / "t")): p.read_bytes() for p in (tmp_path / "t").rglob("*") if p.is_file()}
    assert files == {"a.csv": b"1,2\n", "sub/b.csv": b"", "sub/ä/c": b"x" * 10}
    assert sum(moved) == 14


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", "./x", "a/.", "x" * 256, "a\0b"])
def test_a_key_that_would_escape_is_refused_before_anything_is_written(
    bucket: MemoryStore, tmp_path: Path, key: str
) -> None:
    bucket.contents = {"good": b"1", key: b"evil"}
    with pytest.raises(UsageError, match="not the name of a file"):
        fetch_prefix("s3://data/x", tmp_path / "t", {})
    assert not (tmp_path / "t").exists()


def test_a_file_that_is_also_a_folder_is_refused(bucket: MemoryStore, tmp_path: Path) -> None:
    bucket.contents = {"a": b"1", "a/b": b"2"}
    with pytest.raises(UsageError, match="cannot both"):
        fetch_prefix("s3://data/x", tmp_path / "t", {})


def test_nothing_there_is_not_found(bucket: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        fetch_prefix("s3://data/x", tmp_path / "t", {})


def test_out_of_reach_is_a_source_out_of_reach(bucket: MemoryStore, tmp_path: Path) -> None:
    bucket.down = True
    with pytest.raises(SourceUnreachable, match="nothing answers"):
        fetch_prefix("s3://data/x", tmp_path / "t", {})
