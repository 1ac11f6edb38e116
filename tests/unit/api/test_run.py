from __future__ import annotations

import math
from pathlib import Path

import pytest

from executor import errors
from executor.api.client import Client
from executor.api.run import Run
from executor.evidence.divergence import Divergence
from executor.spec.canonical import Digest, sealed
from executor.store import layout
from tests.unit.api.test_client import PLAIN
from tests.unit.sites import Program, World

LINES = b'{"step": 5, "loss": 0.5, "wall_time": 1.5}\n{"step": 7, "loss": 0.25}\n{"step": 7, "acc": 1}\n'


@pytest.fixture
def run(lab: Client, world: World) -> Run:
    world.program = Program(outputs={"model.pt": b"weights", "metrics.jsonl": LINES}, prints=b"hello\n")
    return lab.submit(PLAIN | {"name": "a-b"})


def test_what_is_known_of_a_run(run: Run) -> None:
    assert (run.name, run.status, run.metrics) == ("a-b", "succeeded", {"loss": 0.25, "acc": 1.0})
    assert run.spec["seed"] == 1
    assert run.url == f"memory:/{layout.attempt(run.record.spec_hash, run.attempt)}"
    assert run.log() == "hello\n"
    assert repr(run) == f"<Run a-b {run.spec_hash[:12]}/{run.attempt}: succeeded>"
    assert [one.attempt for one in run.attempts()] == [run.attempt]


def test_every_value_of_a_metric(run: Run) -> None:
    loss = run.series("loss")
    assert (loss.name, len(loss), list(loss.steps), list(loss.values)) == ("loss", 2, [5, 7], [0.5, 0.25])
    assert loss.times[0] == 1.5
    assert math.isnan(loss.times[1])
    assert memoryview(loss.values).format == "d"
    assert {name: len(points) for name, points in run.all_series().items()} == {"loss": 2, "acc": 1}
    with pytest.raises(errors.NotFound, match="no metric speed"):
        run.series("speed")


def test_a_run_without_numbers_has_no_series(lab: Client, world: World) -> None:
    world.program = Program()
    assert lab.submit(PLAIN).all_series() == {}


def test_outputs_are_verified(run: Run, world: World, tmp_path: Path) -> None:
    assert run.read("model.pt") == b"weights"
    assert sorted(run.pull(tmp_path / "out")) == [tmp_path / "out" / "metrics.jsonl", tmp_path / "out" / "model.pt"]
    assert run.verify().every == []
    assert run.verify(require_signed=True).every == []
    with pytest.raises(errors.NotFound, match="no output x"):
        run.read("x")
    world.store.contents[layout.blob(Digest.of(b"weights"))] = b"other!!"
    with pytest.raises(errors.CorruptObject):
        run.read("model.pt")
    with pytest.raises(errors.CorruptObject):
        run.pull(tmp_path / "more")
    assert [one.role for one in run.verify().every] == ["output model.pt"]


def test_where_it_parted_is_what_the_diagnosis_found(run: Run, lab: Client, world: World) -> None:
    world.program = Program(outputs={"model.pt": b"others!", "metrics.jsonl": LINES})
    again = lab.rerun(run)
    assert (again.verdict, again.divergence and again.divergence.kind) == ("different", "output")
    assert again.divergence
    found = again.divergence.model_dump(mode="json") | {"kind": "gradient"}
    world.store.put_diagnosis(run.record.spec_hash, again.attempt, sealed(found))
    assert isinstance(again.divergence, Divergence)
    assert again.divergence.kind == "gradient"


def test_a_notebook_shows_it_and_nothing_of_it_is_markup(lab: Client, world: World) -> None:
    world.program = Program(outputs={"<b>.txt": b"x"})
    text = lab.submit(PLAIN | {"params": {"note": "<script>alert(1)</script>\x1b[2J"}}, submitter="<i>")._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not [piece for piece in ("<script", "<i>", "<b>", "\x1b") if piece in text]
