from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor.cli import importing
from executor.errors import UsageError
from executor.steps.exports.tracking import Point, Tracking
from executor.store import layout
from tests.fakes import NOON
from tests.unit.cli.conftest import Run
from tests.unit.sites import World, a_spec
from tests.unit.steps.exports.trackings import MemoryTracking

SPEC = a_spec()
HASH = SPEC.hash.hex


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> MemoryTracking:
    made = MemoryTracking()
    for number in range(2):
        run = made.begin(made.experiment("old"), f"run-{number}", NOON, {"mlflow.user": "bob"})
        made.put_points(run, [Point("acc", number / 2, 0, 1)])
        made.end(run, "FINISHED", NOON)
    monkeypatch.setattr(importing, "mlflow_at", lambda place: made)
    return made


def test_runs_come_in_once_and_are_found(run: Run, wired: World, tracking: MemoryTracking) -> None:
    first = run("import", "mlflow", "http://mlflow")
    assert (first.code, first.out) == (0, "2 runs of http://mlflow kept as history\n")
    again = run("import", "mlflow", "http://mlflow")
    assert (again.out, again.err) == (
        "0 runs of http://mlflow kept as history\n", "2 runs left out: here already\n",
    )  # fmt: skip
    document = run("import", "mlflow", "http://mlflow", "--json").json
    assert document == {
        "source": "mlflow",
        "place": "http://mlflow",
        "new": [],
        "unlisted": {},
        "known": 2,
        "running": 0,
        "ours": 0,
    }
    found = run("import", "find", "acc > 0.1", "--json").json
    assert found["total"] == 1
    assert {name: found["imported"][0][name] for name in ("source", "name", "group", "ended", "metrics.acc")} == {
        "source": "mlflow", "name": "run-1", "group": "old", "ended": "FINISHED", "metrics.acc": 0.5,
    }  # fmt: skip
    lines = run("import", "find", "--sort=-acc", "--columns", "name,acc").out.splitlines()
    assert [line.split()[1:] for line in lines] == [["NAME", "metrics.acc"], ["run-1", "0.5"], ["run-0", "0"]]
    assert lines[1].startswith("mlflow:")
    assert "tags.mlflow.user" in run("import", "find", "--columns", "all").out


def test_they_are_never_among_our_runs(run: Run, wired: World, tracking: MemoryTracking) -> None:
    wired.submit(SPEC)
    name = run("import", "mlflow", "http://mlflow", "--json").json["new"][0]
    for words in (["find", ""], ["ls"]):
        listed = run(*words, "--json").out
        assert (HASH in listed, name in listed) == (True, False)
    for verb in (
        ("show", name),
        ("verify", name),
        ("export", name, "--as", "csv"),
        ("rerun", name),
        ("pull", name, "x"),
    ):
        assert run(*verb, "--json").json["error"] == "NotFound"
    assert run("best", "acc", "--json").code == 2  # no run of ours has it
    assert run("claim", "acc=0.5", "--json").code == 2
    assert HASH not in run("import", "find", "--json").out


def test_one_that_was_changed_is_told_and_left_out(run: Run, wired: World, tracking: MemoryTracking) -> None:
    run("import", "mlflow", "http://mlflow")
    key = next(key for key in wired.store.contents if key.startswith(layout.IMPORTED) and key.endswith("run.json"))
    wired.store.contents[key] = wired.store.contents[key].replace(b"bob", b"eve")
    ran = run("import", "find", "--json")
    assert (ran.code, ran.json["total"]) == (5, 1)
    assert f"{key}: stored bytes are wrong" in ran.err
    assert run("import", "find", "acc = 1", "--json").json["error"] == "QueryError"


def test_nothing_that_is_imported_is_told(run: Run, wired: World) -> None:
    assert run("import", "find").err == "no imported run is found in memory:\n"


def test_a_run_goes_to_mlflow_once(run: Run, wired: World, tracking: MemoryTracking) -> None:
    record = wired.submit(SPEC).record
    document = run("export", HASH, "--as", "mlflow", "--to", "http://mlflow", "--experiment", "e", "--json").json
    assert document == {
        "spec_hash": HASH, "attempt": record.attempt, "format": "mlflow", "new": True, "run_id": "run2",
        "url": "http://mlflow/#/experiments/1/runs/run2",
    }  # fmt: skip
    ran = run("export", HASH, "--as", "mlflow", "--experiment", "e")
    assert (ran.out, ran.err) == (f"{document['url']}\n", f"{HASH[:12]}/{record.attempt} is there already\n")
    several = run("export", "--find", "", "--as", "mlflow", "--experiment", "e", "--json").json
    assert [one["new"] for one in several] == [False]
    assert run("import", "mlflow", "--json").json["ours"] == 1


# Where MLflow is ---------------------------------------------------------------------------------------------------


def test_a_server_is_named_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    for name in importing._SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(Tracking, "open", opened.append)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match="which MLflow server"):
        importing.mlflow_at(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    importing.mlflow_at(None)
    importing.mlflow_at("http://here")
    assert opened == ["http://there", "http://here"]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"


def test_a_folder_is_one_of_mlflow_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr(Tracking, "open", opened.append)
    monkeypatch.setattr(importing, "_SETTINGS", {})
    with pytest.raises(UsageError, match="no runs of MLflow are there"):
        importing.mlflow_at(str(tmp_path))
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "meta.yaml").touch()
    importing.mlflow_at(str(tmp_path))
    assert opened == [tmp_path.as_uri()]
    assert list(tmp_path.iterdir()) == [tmp_path / "0"]
