from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from executor.cli import wiring
from executor.spec.canonical import Digest
from executor.steps.home import Home
from executor.store import layout
from tests.fakes import NOON
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec
from tests.unit.steps.finding.test_indexing import record_key
from tests.unit.steps.finding.test_leaderboard import Team

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


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    made = Team(tmp_path)
    monkeypatch.setattr(wiring, "store", lambda url: made.store)
    monkeypatch.setattr(wiring, "home", lambda: Home(tmp_path))
    monkeypatch.setattr(wiring, "now", lambda: NOON)
    monkeypatch.chdir(tmp_path)
    return made


def test_a_crate_is_a_folder_or_an_archive(run: Run, wired: World, tmp_path: Path) -> None:
    record = wired.submit(SPEC).record
    for name in ("crate", "crate.zip"):
        document = run("export", HASH, "--as", "ro-crate", "--to", tmp_path / name, "--json").json
        assert document == {"spec_hash": HASH, "attempt": record.attempt, "format": "ro-crate",
                            "file": str(tmp_path / name)}  # fmt: skip
    assert (tmp_path / "crate" / "outputs" / "model.pt").read_bytes() == b"weights"
    assert zipfile.is_zipfile(tmp_path / "crate.zip")
    assert run("export", HASH, "--as", "ro-crate", "--to", tmp_path / "crate", "--json").code == 2


def test_a_crate_that_fails_leaves_nothing(run: Run, wired: World, tmp_path: Path) -> None:
    wired.submit(SPEC)
    wired.store.contents[layout.blob(Digest.of(b"weights"))] = b"other!!"
    before = sorted(tmp_path.iterdir())
    for name in ("crate", "crate.zip"):
        assert (
            run("export", HASH, "--as", "ro-crate", "--to", tmp_path / name, "--json").json["error"] == "CorruptObject"
        )
    assert sorted(tmp_path.iterdir()) == before


def test_several_runs_lie_in_one_folder(run: Run, wired: World, tmp_path: Path) -> None:
    other = a_spec(seed=2)
    made = [wired.submit(one).record for one in (SPEC, other)]
    found = run("export", HASH, other.hash.hex, HASH[:9], "--as", "in-toto", "--to", tmp_path / "all", "--json").json
    names = [f"{one.spec_hash.hex[:12]}-{one.attempt}.intoto.jsonl" for one in made]
    assert [one["file"] for one in found] == [str(tmp_path / "all" / name) for name in names]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(names)


def test_the_table_of_all_runs(run: Run, team: Team, tmp_path: Path) -> None:
    for number in range(3):
        team.ran(number / 10, seed=number)
    document = run("export", "--find", "accuracy > 0", "--as", "csv", "--json").json
    assert document == {"format": "csv", "file": "runs.csv", "runs": 2}
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert sorted(row["metrics.accuracy"] for row in rows) == ["0.1", "0.2"]
    ran = run("export", "--find", "", "--as", "parquet", "--to", "all.parquet")
    assert (ran.code, ran.out, ran.err) == (
        0, "all.parquet\n", "0 points of metric series in all.series.parquet\n",
    )  # fmt: skip
    assert pq.read_table("all.parquet").num_rows == 3
    document = run("export", "--find", "", "--as", "parquet", "--no-series", "--json").json
    assert document == {"format": "parquet", "file": "runs.parquet", "runs": 3}
    assert not Path("runs.series.parquet").exists()
    taken = run("export", "--find", "", "--as", "parquet", "--to", "runs.parquet", "--json")
    assert (taken.code, Path("runs.series.parquet").exists()) == (2, False)


def test_runs_that_are_named_have_a_row_each_and_their_points(run: Run, wired: World, tmp_path: Path) -> None:
    wired.program = Program(outputs={"metrics.jsonl": b'{"loss": 1}\n{"loss": 2}\n'})
    wired.submit(SPEC)
    document = run("export", HASH, "--as", "parquet", "--to", tmp_path / "a.parquet", "--json").json
    assert (document["runs"], document["points"]) == (1, 2)
    assert pq.read_table(tmp_path / "a.series.parquet")["value"].to_pylist() == [1.0, 2.0]
    assert pq.read_table(tmp_path / "a.parquet")["spec"].to_pylist() == [HASH]


def test_either_hashes_or_an_expression(run: Run, wired: World) -> None:
    wired.store.down = True
    for words in ([], [HASH, "--find", ""], ["--find", "", "--attempt", "x"], [HASH, HASH, "--attempt", "x"]):
        assert run("export", *words, "--as", "csv", "--json").json["error"] == "UsageError"
    assert run("export", "--find", "a = 1", "--as", "csv", "--json").json["error"] == "QueryError"


def test_a_table_that_lacks_a_record_is_written_and_told(run: Run, team: Team, tmp_path: Path) -> None:
    team.ran(0.1)
    team.store.contents[record_key(team.ran(0.2, seed=2))] = b"{}"
    found = run("export", "--find", "", "--as", "csv")
    assert (found.code, found.out) == (5, "runs.csv\n")
    assert "stored bytes are wrong" in found.err
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 2
