"""Sweeps of real runs: a grid with seeds, taken up again; a sampler that asks for the same points again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import MakeMachine
from tests.integration.site import SPEC, Machine, project

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SCRIPT = """
echo '{"step": 1, "score": 0.5, "odd": NaN}' >/outputs/metrics.jsonl
echo '{"step": 2, "score": '$EXECUTOR_PARAM_RATE.$EXECUTOR_SEED', "odd": Infinity}' >>/outputs/metrics.jsonl
[ "$EXECUTOR_PARAM_RATE" != 13 ]
"""
GRID = """
version: 1
spec: spec.yaml
grid: {params.rate: [3, 13, 7]}
seeds: 2
objective: {metric: score, direction: maximize}
"""
SAMPLED = """
version: 1
spec: spec.yaml
objective: {metric: score, direction: maximize}
sampler:
  kind: random
  seed: 7
  trials: 3
  space: {params.rate: {from: 20, to: 90, step: 1}}
"""


@pytest.fixture
def machine(make_machine: MakeMachine, small_image: str) -> Machine:
    return make_machine("file")


def sweep_of(machine: Machine, text: str) -> Path:
    draft = project(machine.folder / "project", f"{SPEC}params: {{rate: 1}}\n", run_sh=SCRIPT)
    sweep = draft.with_name("sweep.yaml")
    sweep.write_text(text)  # no change of the code that would have to be committed
    return sweep


def test_a_grid_runs_once_and_its_failures_again(machine: Machine) -> None:
    sweep = sweep_of(machine, GRID)
    first = machine.run("submit", "--sweep", sweep, "--lock", "--json", "--quiet")
    assert (first.code, first.json["total"], first.json["done"], first.json["failed"]) == (1, 6, 4, 2), first
    best = first.json["best"]
    assert (best["values"], best["metrics"]["score"]["n"]) == ({"params.rate": 7}, 2)
    again = machine.run("submit", "--sweep", sweep, "--lock", "--json", "--quiet")
    assert (again.json["cached"], again.json["done"], again.json["failed"]) == (4, 0, 2)
    assert again.json["rows"] == first.json["rows"]
    told = machine.run("submit", "--sweep", sweep, "--lock", "--quiet").out
    assert "sweep" in told
    assert "best score 7." in told


def test_every_number_of_every_run_is_there_to_be_found(machine: Machine) -> None:
    machine.run("submit", "--sweep", sweep_of(machine, GRID), "--lock", "--quiet")
    found = machine.run("find", "status == 'succeeded' and highest.score >= 3", "--sort", "-metrics.score",
                        "--columns", "params.rate,seed,lowest.score,highest.score,metrics.odd", "--json")  # fmt: skip
    assert found.code == 0, found
    runs = found.json["runs"]
    assert [run["params.rate"] for run in runs] == [7, 7, 3, 3]
    assert {run["lowest.score"] for run in runs} == {0.5}
    assert {run["metrics.odd"] for run in runs} == {"Infinity"}
    board = machine.run("best", "score", "--per", "config", "--json").json["best"]
    assert [(place["value"], place["seeds"]) for place in board] == [(7.2, 2), (3.2, 2)]
    record = machine.record({"spec_hash": runs[0]["spec_hash"], "attempt": runs[0]["attempt"]})
    assert record.series is not None
    assert record.series.digest in record.blobs()
    assert machine.run("verify", runs[0]["spec_hash"]).code == 0
    assert machine.run("store", "check", "--json").json["unreferenced"]["count"] == 0


def test_a_sampler_asks_for_the_same_runs_again(machine: Machine) -> None:
    sweep = sweep_of(machine, SAMPLED)
    first = machine.run("submit", "--sweep", sweep, "--lock", "--json", "--quiet")
    assert (first.code, first.json["total"], first.json["done"]) == (0, 3, 3), first
    again = machine.run("submit", "--sweep", sweep, "--lock", "--json", "--quiet")
    assert (again.code, again.json["cached"]) == (0, 3)
    assert again.json["best"] == first.json["best"]
    assert again.json["rows"] == first.json["rows"]


def test_specs_or_a_sweep_but_not_both_and_not_neither(machine: Machine) -> None:
    sweep = sweep_of(machine, GRID)
    for words in ([], ["--sweep", sweep, sweep.with_name("spec.yaml")]):
        refused = machine.run("submit", *words, "--json")
        assert (refused.code, refused.json["error"]) == (2, "UsageError"), refused
