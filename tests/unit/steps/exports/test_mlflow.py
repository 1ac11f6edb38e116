from __future__ import annotations

from pathlib import Path

import pytest

from executor.errors import CorruptObject
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.steps.exports import mlflow
from executor.steps.exports.mlflow import artifact, export, named, params, tags
from executor.store import layout
from tests.fakes import NOON
from tests.unit.evidence.samples import record
from tests.unit.sites import Program, World, a_spec
from tests.unit.steps.exports.trackings import MemoryTracking

LINES = (
    b'{"step": 3, "loss": 0.5, "wall_time": 7.5}\n{"step": 4, "loss": NaN, "wall_time": -1}\n{"step": 5, "a+b": 1}\n'
)
END = int(NOON.timestamp() * 1000)


@pytest.fixture
def tracking() -> MemoryTracking:
    return MemoryTracking()


@pytest.fixture
def ran(world: World) -> Record:
    world.program = Program(outputs={"model.pt": b"weights", "sub/a#b.txt": b"x", "metrics.jsonl": LINES})
    return world.submit(a_spec(params={"lr": 0.1, "deep": {"on": True}}, labels={"team": "vision"})).record


def test_a_run_is_whole_there(world: World, ran: Record, tracking: MemoryTracking, tmp_path: Path) -> None:
    done = export(ran, world.store, tracking, None, tmp_path)
    kept = tracking.kept[done.run_id]
    assert (done.new, done.url) == (True, "http://mlflow/#/experiments/0/runs/run0")
    assert (tracking.named, kept.name) == ({"digits": "0"}, f"digits-{ran.spec_hash.hex[:12]}")
    assert (kept.status, kept.start, kept.end) == ("FINISHED", END, END)
    assert kept.params == {"lr": "0.1", "deep.on": "true", "seed": "1"}
    assert [(one.name, one.step, one.time, repr(one.value)) for one in kept.points] == [
        ("loss", 3, 7500, "0.5"), ("loss", 4, END, "nan"), (named("a+b"), 5, END, "1.0"),
    ]  # fmt: skip
    assert {path.partition("/")[0] for path in kept.files} == {"outputs", "spec.json", "record.json", "log.txt"}
    assert kept.files["outputs/model.pt"] == b"weights"
    assert kept.files[f"outputs/{artifact('sub/a#b.txt')}"] == b"x"
    assert kept.files["record.json"] == world.store.get_record(ran.spec_hash, ran.attempt)
    assert list(tmp_path.glob("tmp*")) == []


def test_again_it_is_there_already(world: World, ran: Record, tracking: MemoryTracking, tmp_path: Path) -> None:
    first = export(ran, world.store, tracking, "mine", tmp_path)
    second = export(ran, world.store, tracking, "mine", tmp_path)
    assert (second.new, second.run_id, len(tracking.kept)) == (False, first.run_id, 1)
    assert export(ran, world.store, tracking, "other", tmp_path).new
    again = world.rerun(a_spec(params={"lr": 0.1, "deep": {"on": True}})).record
    assert export(again, world.store, tracking, "mine", tmp_path).new


def test_what_was_left_half_done_is_begun_anew(
    world: World, ran: Record, tracking: MemoryTracking, tmp_path: Path
) -> None:
    half = tracking.begin(tracking.experiment("digits"), "x", NOON, tags(ran))
    done = export(ran, world.store, tracking, None, tmp_path)
    assert (done.new, tracking.kept[half].deleted) == (True, True)


def test_wrong_outputs_are_not_sent(world: World, ran: Record, tracking: MemoryTracking, tmp_path: Path) -> None:
    world.store.contents[layout.blob(Digest.of(b"weights"))] = b"other!!"
    with pytest.raises(CorruptObject):
        export(ran, world.store, tracking, None, tmp_path)
    assert tracking.kept == {}


def test_many_points_go_in_pieces(
    world: World, tracking: MemoryTracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "PAGE", 2)
    world.program = Program(outputs={"metrics.jsonl": b"".join(b'{"x": %d}\n' % n for n in range(5))})
    done = export(world.submit(a_spec()).record, world.store, tracking, None, tmp_path)
    assert [one.value for one in tracking.kept[done.run_id].points] == [0, 1, 2, 3, 4]


def test_what_is_said_of_a_run() -> None:
    made = record(status="failed", spec={"seed": 1, "code": "c" * 40, "data": {"d": "sha256:x"}}, varied={"cpus": "2"})
    said = tags(made)
    assert said["executor.spec_hash"] == made.spec_hash.hex
    assert said["executor.attempt"] == made.attempt
    assert (said["executor.varied"], said["executor.data.d"], said["executor.exit_code"]) == ("cpus=2", "sha256:x", "0")
    assert said["mlflow.source.git.commit"] == "c" * 40
    assert "executor.verdict" not in said
    assert "mlflow.user" not in said
    assert params(record(spec={"params": {"long": "x" * 9_000, "list": [1]}, "seed": 2})) == {
        "long": "x" * 6_000, "list": "[1]", "seed": "2",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["loss", "val/top-1 acc: é_.x", "a.b", "a/b"])
def test_a_good_name_stays(name: str) -> None:
    assert named(name) == name


@pytest.mark.parametrize("name", ["a+b", "a//b", "/a", "../a", ".", "a/", "x" * 251, "a\nb", "=1"])
def test_a_name_that_mlflow_refuses_is_cleaned_and_stays_its_own(name: str) -> None:
    clean = named(name)
    assert named(clean) == clean
    assert len({named(name), named(f"{name}!"), named(f"{name}?")}) == 3


def test_paths_of_files() -> None:
    assert artifact("a/b c.pt") == "a/b c.pt"
    assert artifact("a#/b%é.pt").startswith("a_/")
    assert artifact("a#/b%é.pt").endswith("-b_é.pt")
    assert artifact("a#") != artifact("a%")
