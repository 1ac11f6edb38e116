from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import executor
from executor import errors
from executor.api.client import Client
from executor.engine.interface import LogSink
from executor.spec.file import write_spec
from executor.steps.home import Home
from executor.store import layout
from tests.unit.sites import IMAGE, Program, World, a_spec

LINES = b'{"loss": 0.5, "bad": NaN}\n{"loss": 0.25, "bad": NaN}\n'
PLAIN: dict[str, Any] = {
    "version": 1, "name": "digits", "image": f"registry.example.org/ml/torch@{IMAGE}", "command": ["true"],
    "seed": 1, "params": {"lr": 1e-3, "deep": {"n": 2}}, "cpu": {"threads": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def metrics(world: World) -> None:
    world.program = Program(outputs={"model.pt": b"weights", "metrics.jsonl": LINES}, prints=b"one\x1b[2J\nhalf")


def test_to_import_the_package_costs_nothing() -> None:
    code = "import sys, executor; print([name for name in sys.modules if name.startswith('executor.')]); dir(executor)"
    code += "; executor.Client, executor.Run, executor.Points, executor.Table, executor.open"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(executor, "nothing".lower())


def test_a_client_is_of_the_store_and_the_home_that_are_named(tmp_path: Path) -> None:
    lab = executor.open(f"file:{tmp_path / 'store'}", home=tmp_path / "home")
    assert (lab.store.url, lab.home) == (f"file:{tmp_path / 'store'}", Home(tmp_path / "home"))
    assert (len(lab.find()), lab.find().total) == (0, 0)
    with pytest.raises(errors.UsageError, match="not the URL of a store"):
        executor.open("nonsense")


def test_a_spec_is_a_file_or_what_would_stand_in_it(lab: Client, tmp_path: Path, told: list[str]) -> None:
    first = lab.submit(PLAIN)
    assert (first.status, first.cached, first.params) == ("succeeded", False, {"lr": 1e-3, "deep": {"n": 2}})
    assert told[-3:] == ["  │ one", "  │ half", "· keeping the result"]
    write_spec(a_spec(), tmp_path / "spec.yaml", "x")
    again = lab.submit(str(tmp_path / "spec.yaml"))
    assert (again.spec_hash, again.record.hints.submitter) == (a_spec().hash.hex, "ada")
    assert lab.submit(PLAIN).cached
    assert lab.submit(PLAIN, force=True, submitter="bob").record.hints.submitter == "bob"


def test_a_draft_is_pinned_first(lab: Client) -> None:
    draft = PLAIN | {"image": "registry.example.org/ml/torch"}
    with pytest.raises(errors.SpecError, match="image"):
        lab.submit(draft)
    assert lab.submit(draft, lock=True).spec_hash == lab.submit(PLAIN).spec_hash


@pytest.mark.parametrize(
    ("spec", "kind", "said"),
    [
        (PLAIN | {"seed": -1}, errors.SpecError, "seed"),
        (PLAIN | {"colour": 1}, errors.SpecError, "colour"),
        (PLAIN | {"params": {"x": {1, 2}}}, errors.UsageError, "plain values"),
        ("/nonexistent/spec.yaml", errors.SpecError, "cannot be read"),
    ],
)
def test_what_is_no_spec_is_an_error_of_ours(lab: Client, spec: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        lab.submit(spec)


def test_a_program_that_fails_is_a_run(lab: Client, world: World) -> None:
    world.program = Program(code=3)
    run = lab.submit(PLAIN)
    assert (run.status, run.record.outcome.exit_code) == ("failed", 3)


def test_a_rerun_has_a_verdict_and_can_be_varied(lab: Client, world: World) -> None:
    run = lab.submit(PLAIN)
    again = lab.rerun(run)
    assert (again.verdict, again.divergence, run.verdict) == ("identical", None, None)
    varied = lab.rerun(run.spec_hash[:9], vary={"threads": 1})
    assert varied.record.varied == {"threads": "1"}
    with pytest.raises(errors.UsageError, match="cannot be varied"):
        lab.rerun(run, vary={"nothing": 1})


def test_ctrl_c_is_an_error_of_ours(lab: Client, world: World) -> None:
    def interrupted(work: Path, log: LogSink) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    world.engine.program = interrupted
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(errors.Interrupted):
        lab.submit(PLAIN)
    assert signal.getsignal(signal.SIGINT) is before


def test_runs_are_found_in_the_order_that_is_asked_for(lab: Client) -> None:
    made = [lab.submit(PLAIN | {"seed": seed}) for seed in (1, 2, 3)]
    found = lab.find("seed >= 2", sort="seed")
    assert [row["spec"] for row in found] == [run.spec_hash for run in made[1:]]
    assert found.columns == (
        "spec",
        "attempt",
        "name",
        "submitter",
        "created",
        "status",
        "verdict",
        "runtime_s",
        "seed",
    )
    assert found.column("created") == [run.record.created for run in made[1:]]
    newest = lab.find(limit=1, columns=("loss", "lr"))
    assert (newest.total, newest[0]["metrics.loss"], newest[0]["params.lr"]) == (3, 0.25, 1e-3)
    assert lab.find("seed == 1", sort="-seed").total == 1
    assert "params.deep.n" in lab.find(columns=("all",)).columns
    assert {"seed", "metrics.loss", "params.lr"} <= set(lab.names())
    with pytest.raises(errors.QueryError, match="no run has"):
        lab.find("nothing == 1")


def test_a_record_that_is_wrong_is_told(lab: Client, world: World, told: list[str]) -> None:
    run = lab.submit(PLAIN)
    key = f"{layout.attempt(run.record.spec_hash, run.attempt)}/record.json"
    world.store.contents[key] = world.store.contents[key].replace(b"digits", b"digitz")
    assert lab.find().total == 0
    assert any("stored bytes are wrong" in line for line in told)


def test_the_best_runs_and_who_stands_behind_a_number(lab: Client, tmp_path: Path) -> None:
    run = lab.submit(PLAIN)
    lab.rerun(run)
    (line,) = lab.best("loss", lowest=True, per="config")
    assert (line["metrics.loss"], line["spec"], line["seeds"]) == (0.25, run.spec_hash, 1)
    assert line["reproduced"] == {"identical": 1}
    assert lab.importance("loss").problem == "no parameter varies"
    assert lab.claim("loss=0.25")[0]["attempt"] == run.attempt
    assert not lab.claim("loss=0.9")
    (tmp_path / "model").write_bytes(b"weights")
    assert lab.history(tmp_path / "model")[0].attempt == run.attempt
    (tmp_path / "model").write_bytes(b"others")
    assert lab.history(tmp_path / "model") == []


def test_runs_side_by_side(lab: Client) -> None:
    one, two = lab.submit(PLAIN), lab.submit(PLAIN | {"seed": 2, "params": {"lr": 0.1}})
    rows = {row["field"]: row for row in lab.compare([one, two.spec_hash])}
    heads = [f"{run.spec_hash[:12]}/{run.attempt}" for run in (one, two)]
    assert [rows["params.lr"][head] for head in heads] == [1e-3, 0.1]
    assert heads[1] not in rows["params.deep.n"]
    assert "metrics.loss" not in rows
    assert "metrics.loss" in lab.compare([one, two], everything=True).column("field")
    with pytest.raises(errors.UsageError):
        lab.compare([one])


def test_a_run_that_is_not_there_is_an_error_of_ours(lab: Client) -> None:
    run = lab.submit(PLAIN)
    assert lab.run(run.spec_hash[:6]).attempt == run.attempt
    for words in (("dddddd",), (run.spec_hash, "nothing")):
        with pytest.raises(errors.NotFound):
            lab.run(*words)
    assert math.isnan(run.metrics["bad"])
