from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.errors import QueryError, UsageError
from executor.evidence.importance import UNEXPLAINED, Importance
from executor.spec.canonical import spec_hash
from executor.steps.finding.importance import importance
from tests.fakes import NOON
from tests.unit.steps.finding.test_leaderboard import Team

LETTERS = ("adam", "sgd", "lion")


class Lab(Team):
    """A team that tries things."""

    def tried(self, params: dict[str, Any], accuracy: float | None, **changes: Any) -> None:
        spec = {"seed": 1, "params": params, "gpu": None}
        self.ran(accuracy, **{"spec": spec, "spec_hash": spec_hash(spec), **changes})

    def explain(self, where: str = "", metric: str = "accuracy") -> Importance:
        return importance(self.library, metric, NOON, where)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def sweep(lab: Lab, runs: int = 40) -> None:
    """The accuracy follows the learning rate alone."""
    for run in range(runs):
        lab.tried({"lr": run * 0.01, "optimizer": LETTERS[run % 3], "depth": 4}, run / runs)


def test_a_store_is_explained(lab: Lab) -> None:
    pytest.importorskip("sklearn")
    sweep(lab)
    found = lab.explain()
    assert (found.metric, found.runs, found.problem, found.constant) == ("metrics.accuracy", 40, "", ("params.depth",))
    assert [(one.name, one.kind, one.values) for one in found.parameters] == [
        ("params.lr", "number", 40), ("params.optimizer", "category", 3),
    ]  # fmt: skip
    assert found.parameters[0].total.mean > 0.7 > 0.1 > found.parameters[1].total.mean
    assert found.r2 is not None
    assert found.r2 > 0.9
    assert [pair.names for pair in found.pairs] == [("params.lr", "params.optimizer")]
    assert lab.explain() == found


def test_what_does_not_count_is_counted(lab: Lab) -> None:
    sweep(lab, 5)
    lab.tried({"lr": 9}, 0.1, status="failed")
    lab.tried({"lr": 10}, None)
    lab.tried({"lr": 11}, math.nan)
    lab.tried({"lr": 12}, math.inf)
    lab.tried({"lr": 13}, 0.1, varied={"threads": "2"})
    sweep(lab, 2)  # the first two once more
    found = lab.explain()
    assert found.runs == 5
    assert found.left_out == {
        "did not succeed": 1, "without the metric": 1, "NaN": 1, "infinite": 1, "another attempt of a spec": 2,
    }  # fmt: skip
    assert found.problem == "too few runs: 5 of the 20 that 2 varying parameters take"
    assert (found.parameters, found.r2) == ((), None)


def test_an_expression_says_which_runs_are_meant(lab: Lab) -> None:
    sweep(lab)
    assert lab.explain("lr < 0.1").runs == 10
    assert lab.explain("lr > 100").problem == "no successful run has it as a finite number"
    with pytest.raises(QueryError, match="no run has learning"):
        lab.explain("learning == 1")
    with pytest.raises(QueryError, match="no run has acc"):
        lab.explain(metric="acc")
    with pytest.raises(UsageError, match=r"params\.optimizer is no number"):
        lab.explain(metric="params.optimizer")


def test_a_missing_parameter_is_a_value_and_tied_ones_are_named(lab: Lab) -> None:
    pytest.importorskip("sklearn")
    for run in range(40):
        lab.tried({"lr": run, "rate": f"r{run}"} | ({"dropout": 0.5} if run % 2 else {}), run + 30 * (run % 2))
    found = lab.explain()
    assert found.tied == (("params.lr", "params.rate"),)
    dropout = next(one for one in found.parameters if one.name == "params.dropout")
    assert (dropout.values, dropout.missing, found.constant) == (2, 20, ())
    assert dropout.total.mean > 0.3


def test_means_by_value_come_in_the_order_of_values_and_tell_who_lacks_the_parameter(lab: Lab) -> None:
    for at, dropout in enumerate((None, 10, 9, 100, None, 10, 9, 100)):
        lab.tried({"seed": at, **({} if dropout is None else {"dropout": dropout})}, 0.1 * (dropout or 1) + at)
    (choice,) = lab.explain().choices
    assert choice.name == "params.dropout"
    assert [(one.value, one.over.n, round(one.over.mean, 6)) for one in choice.levels] == [
        ("missing", 2, 2.1), ("9", 2, 4.9), ("10", 2, 4), ("100", 2, 15),
    ]  # fmt: skip
    assert choice.spread == pytest.approx(12.9)


def test_what_the_parameters_do_not_explain_has_no_numbers(lab: Lab) -> None:
    pytest.importorskip("sklearn")
    for run in range(40):
        lab.tried({"lr": run}, float(run % 2))
    found = lab.explain()
    assert found.problem == UNEXPLAINED
    assert found.r2 is not None
    assert found.r2 <= 0
    assert found.parameters == ()


def test_without_scikit_learn_the_line_that_installs_it_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(lab)
    monkeypatch.delitem(sys.modules, "executor.steps.finding.forest", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(UsageError, match="needs scikit-learn") as raised:
        lab.explain()
    assert raised.value.advice == 'pip install "repro-executor[importance]"'
