from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from executor.errors import CorruptObject
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.steps.exports.crate import write
from executor.store import layout
from tests.unit.sites import Program, World, a_spec

LEFT = {"model.pt": b"weights", "sub/a.txt": b"text", "metrics.jsonl": b'{"loss": 0.5}\n'}


@pytest.fixture
def ran(world: World) -> Record:
    world.program = Program(outputs=LEFT)
    return world.submit(a_spec()).record


def test_a_folder_holds_all_that_is_kept_of_the_run(world: World, ran: Record, tmp_path: Path) -> None:
    files = write(ran, world.store, tmp_path / "crate", lambda *_: None)
    there = {str(path.relative_to(tmp_path / "crate")) for path in (tmp_path / "crate").rglob("*") if path.is_file()}
    assert there == {"ro-crate-metadata.json", *(file.path for file in files)}
    assert there >= {"record.json", "spec.json", "log.txt", "series.parquet", "provenance.intoto.jsonl"}
    for path, data in LEFT.items():
        assert (tmp_path / "crate" / "outputs" / path).read_bytes() == data
    for file in files:
        assert Digest.of((tmp_path / "crate" / file.path).read_bytes()) == file.digest
    said = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())
    assert [one["@id"] for one in said["@graph"][1]["hasPart"]] == [file.path for file in files]


def test_an_archive_holds_the_same_and_is_equal_each_time(world: World, ran: Record, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(ran, world.store, tmp_path / name / "crate.zip", lambda *_: None)
    first, second = ((tmp_path / name / "crate.zip").read_bytes() for name in ("one", "two"))
    assert first == second
    with zipfile.ZipFile(tmp_path / "one" / "crate.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("outputs/sub/a.txt") == b"text"
        assert "ro-crate-metadata.json" in archive.namelist()


def test_an_unsigned_run_has_no_statement(world: World, ran: Record, tmp_path: Path) -> None:
    del world.store.contents[layout.provenance(ran.spec_hash, ran.attempt)]
    files = write(ran, world.store, tmp_path / "crate", lambda *_: None)
    assert "provenance.intoto.jsonl" not in {file.path for file in files}


def test_a_damaged_statement_is_said_before_anything_is_written(world: World, ran: Record, tmp_path: Path) -> None:
    world.store.contents[layout.provenance(ran.spec_hash, ran.attempt)] = b"{}"
    with pytest.raises(CorruptObject, match="a signed statement"):
        write(ran, world.store, tmp_path / "crate", lambda *_: None)
    assert not (tmp_path / "crate").exists()


def test_wrong_bytes_are_no_crate(world: World, ran: Record, tmp_path: Path) -> None:
    world.store.contents[layout.blob(Digest.of(b"weights"))] = b"other!!"
    with pytest.raises(CorruptObject):
        write(ran, world.store, tmp_path / "crate", lambda *_: None)
