from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.errors import NotFound, Unreachable
from executor.evidence.series import read as stretches
from executor.spec.canonical import Digest
from executor.steps.exports.imported import read
from executor.steps.exports.mlflow_runs import Wish, bring, may_list
from executor.steps.exports.tracking import Point
from executor.store import layout
from tests.fakes import NOON, MemoryStore
from tests.unit.steps.exports.trackings import MemoryTracking


@pytest.fixture
def tracking() -> MemoryTracking:
    made = MemoryTracking()
    for number, (name, status) in enumerate((("old", "FINISHED"), ("old", "RUNNING"), ("new", "FAILED"))):
        run = made.begin(made.experiment(name), f"run-{number}", NOON, {"mlflow.user": "bob"})
        made.put_params(run, {"lr": "0.1"})
        made.put_points(run, [Point("acc", step / 10, 1000 * step, step) for step in range(3)])
        made.kept[run].files["model.pt"] = b"weights"
        if status != "RUNNING":
            made.end(run, status, NOON)
    return made


def brought(tracking: MemoryTracking, store: MemoryStore, scratch: Path, experiment: str | None = None) -> list[int]:
    done = bring(tracking, store, Wish("ada", NOON, "0", scratch), experiment)
    return [len(done.new), done.known, done.running, done.ours]


def test_runs_that_have_ended_come_once(tracking: MemoryTracking, tmp_path: Path) -> None:
    store = MemoryStore()
    assert brought(tracking, store, tmp_path) == [2, 0, 1, 0]
    before = dict(store.contents)
    assert brought(tracking, store, tmp_path) == [0, 2, 1, 0]
    assert store.contents == before
    tracking.end("run1", "KILLED", NOON)
    assert brought(tracking, store, tmp_path) == [1, 2, 0, 0]


def test_one_experiment_alone(tracking: MemoryTracking, tmp_path: Path) -> None:
    assert brought(tracking, MemoryStore(), tmp_path, "new") == [1, 0, 0, 0]
    with pytest.raises(NotFound, match="no experiment nothing"):
        brought(tracking, MemoryStore(), tmp_path, "nothing")


def test_what_was_exported_from_here_does_not_come_back(tracking: MemoryTracking, tmp_path: Path) -> None:
    tracking.kept["run0"].tags["executor.spec_hash"] = "a" * 64
    assert brought(tracking, MemoryStore(), tmp_path) == [1, 0, 1, 1]


def test_all_that_is_said_of_a_run_is_kept(tracking: MemoryTracking, tmp_path: Path) -> None:
    store = MemoryStore()
    (name,) = bring(tracking, store, Wish("ada", NOON, "0.1", tmp_path), "old").new
    run = read(store, "mlflow", Digest(name))
    assert (run.place, run.experiment, run.run_id, run.status) == ("http://mlflow", "old", "run0", "FINISHED")
    assert (run.user, run.started, run.finished) == ("bob", NOON, NOON)
    assert (run.imported, run.imported_by, run.executor) == (NOON, "ada", "0.1")
    assert (run.params, run.metrics, run.artifacts) == ({"lr": "0.1"}, {"acc": 0.2}, {"model.pt": 7})
    assert run.artifacts_at == "mlflow-artifacts:/run0"
    assert run.series
    (tmp_path / "points").write_bytes(store.contents[layout.imported_series("mlflow", run.id, run.series)])
    with (tmp_path / "points").open("rb") as source:
        ((series, part),) = stretches(source, "x")
    assert (series, list(part.steps), list(part.values), list(part.times or ())) == (
        "acc", [0, 1, 2], [0.0, 0.1, 0.2], [0.0, 1.0, 2.0],
    )  # fmt: skip


def test_a_moment_that_is_none_is_left_out(tracking: MemoryTracking, tmp_path: Path) -> None:
    tracking.kept["run0"].start, tracking.kept["run0"].end = 10**30, None
    store = MemoryStore()
    (name,) = bring(tracking, store, Wish("ada", NOON, "0", tmp_path), "old").new
    assert read(store, "mlflow", Digest(name)).started is None


@pytest.mark.parametrize(
    ("uri", "place", "may"),
    [
        ("mlflow-artifacts:/1/a/artifacts", "http://tracking:5000", True),
        ("s3://bucket/1", "https://tracking", True),
        ("file:///etc", "https://tracking", False),
        ("/etc", "https://tracking", False),
        ("http://169.254.169.254/latest", "https://tracking", False),
        ("file:///old/mlruns/1/a/artifacts", "file:///old/mlruns", True),
        ("/old/mlruns/1/a/artifacts", "file:///old/mlruns", True),
        ("file:///etc", "file:///old/mlruns", False),
        ("file:///old/mlruns/../../etc", "file:///old/mlruns", False),
        ("file://elsewhere/old/mlruns/1", "file:///old/mlruns", False),
        ("http://169.254.169.254/latest", "file:///old/mlruns", False),
        ("s3://bucket/1", "file:///old/mlruns", False),
    ],
)  # fmt: skip
def test_the_address_of_artifacts_leads_to_nothing_of_this_machine(uri: str, place: str, may: bool) -> None:
    assert may_list(uri, place) == may


def test_files_that_cannot_be_listed_are_told_and_kept_as_that(tracking: MemoryTracking, tmp_path: Path) -> None:
    def away(run: str, below: str | None = None) -> Iterator[tuple[str, int]]:
        yield "a.txt", 1
        raise Unreachable("bucket: no credentials")

    tracking.files = away  # type: ignore[method-assign]
    store = MemoryStore()
    done = bring(tracking, store, Wish("ada", NOON, "0", tmp_path))
    assert set(done.unlisted) == set(done.new)
    run = read(store, "mlflow", Digest(done.new[0]))
    assert (run.artifacts, run.artifacts_problem) == ({"a.txt": 1}, "bucket: no credentials")
