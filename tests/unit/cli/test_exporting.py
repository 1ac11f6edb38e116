from __future__ import annotations

from pathlib import Path

import pytest

from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
HASH = SPEC.hash.hex


def envelope(world: World, attempt: str) -> bytes:
    return world.store.contents[layout.provenance(SPEC.hash, attempt)]


def test_the_signed_statement_is_written_as_it_is_stored(run: Run, wired: World, tmp_path: Path) -> None:
    record = wired.submit(SPEC).record
    target = tmp_path / "a.intoto.jsonl"
    ran = run("export", HASH[:8], "--as", "in-toto", "--output", target)
    assert (ran.code, ran.out, ran.err) == (0, f"{target}\n", "")
    assert target.read_bytes() == envelope(wired, record.attempt)
    assert target.read_bytes().count(b"\n") == 1


def test_a_file_is_named_after_the_attempt(
    run: Run, wired: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wired.submit(SPEC)
    wired.program = Program(code=1)
    failed = wired.submit(SPEC, force=True).record
    document = run("export", HASH, "--as", "in-toto", "--attempt", failed.attempt, "--json").json
    name = f"{HASH[:12]}-{failed.attempt}.intoto.jsonl"
    assert document == {"spec_hash": HASH, "attempt": failed.attempt, "format": "in-toto", "file": name}
    assert (tmp_path / name).read_bytes() == envelope(wired, failed.attempt)


def test_nothing_is_overwritten(run: Run, wired: World, tmp_path: Path) -> None:
    wired.submit(SPEC)
    target = tmp_path / "a"
    target.write_text("mine")
    ran = run("export", HASH, "--as", "in-toto", "--output", target, "--json")
    assert (ran.code, ran.json["error"], target.read_text()) == (2, "UsageError", "mine")


def test_what_is_not_signed_cannot_be_exported(run: Run, wired: World, tmp_path: Path) -> None:
    record, target = wired.submit(SPEC).record, tmp_path / "a"
    wired.store.contents[layout.provenance(SPEC.hash, record.attempt)] = b"{}\n{}"
    broken = run("export", HASH, "--as", "in-toto", "--output", target, "--json")
    assert (broken.code, broken.json["error"]) == (5, "CorruptObject")
    del wired.store.contents[layout.provenance(SPEC.hash, record.attempt)]
    unsigned = run("export", HASH, "--as", "in-toto", "--output", target, "--json")
    assert (unsigned.code, unsigned.json["error"]) == (2, "NotFound")
    assert not target.exists()


def test_another_format_and_a_folder_that_is_not_there_are_said_so(run: Run, wired: World, tmp_path: Path) -> None:
    wired.submit(SPEC)
    assert run("export", HASH, "--as", "poem", "--json").code == 2
    assert run("export", HASH, "--json").code == 2
    assert run("export", HASH, "--as", "in-toto", "--output", tmp_path / "no" / "a", "--json").code == 2
