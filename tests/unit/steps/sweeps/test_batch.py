from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from executor.errors import EnvironmentMismatch, SpecError, StoreUnreachable
from executor.evidence.record import Record
from executor.evidence.summary import Summary
from executor.facts import Outcome
from executor.run import Options, submit
from executor.spec.model import Spec
from executor.spec.points import Points
from executor.spec.sweep import parse_sweep
from executor.steps.sweeps.batch import Batch, sweep
from tests.fakes import NOON
from tests.unit.evidence import samples
from tests.unit.sites import Program, World, a_spec
from tests.unit.steps.sweeps.test_sampling import needs_optuna

BASE = a_spec(params={"lr": 0.1, "batch": 32}, seed=7)
GRID = "grid: {params.lr: [1, 2, 3]}\n"
BEST = "objective: {metric: acc, direction: maximize}\n"
SEARCH = BEST + "sampler: {seed: 1, trials: 12, space: {params.lr: {from: 1, to: 9}}}\n"
Judge = Callable[[Spec], dict[str, float]]


@dataclass(frozen=True)
class Told:
    """An answer made by hand."""

    record: Record
    cached: bool = False
    url: str = "memory:run"


def answer(metrics: dict[str, float], status: Any = "succeeded", reason: str = "") -> Told:
    ended = Outcome(exit_code=0 if status == "succeeded" else 3, reason=reason, started=NOON, finished=NOON)
    return Told(samples.record(metrics=metrics, status=status, outcome=ended))


class Doing:
    """Submits by calling a function; remembers what it was asked, and what was told."""

    def __init__(self, act: Callable[[Spec], Told]) -> None:
        self.act, self.asked, self.lines = act, list[Any](), list[str]()

    def __call__(self, spec: Spec) -> Told:
        self.asked.append(spec.params["lr"])
        return self.act(spec)


def swept(doing: Doing, text: str = GRID, **options: Any) -> Summary:
    points = Points(parse_sweep(f"version: 1\nspec: a\n{text}".encode(), "s.yaml"), BASE)
    return sweep(Batch(points, doing, doing.lines.append, **options))


def rate(spec: Spec) -> Told:
    return answer({"acc": float(spec.params["lr"]) + spec.seed})


def counts(summary: Summary) -> tuple[int, int, int, int]:
    return summary.done, summary.cached, summary.failed, summary.left


def test_every_point_is_run_in_order() -> None:
    doing = Doing(rate)
    summary = swept(doing, GRID + "seeds: 2\n" + BEST)
    assert doing.asked == [1, 1, 2, 2, 3, 3]
    assert (summary.total, counts(summary)) == (6, (6, 0, 0, 0))
    assert summary.best is not None
    assert (summary.best.values, summary.best.metrics["acc"].mean) == ({"params.lr": 3}, 10.5)
    assert [(run.seed, run.metrics) for run in summary.runs[:2]] == [(7, {"acc": 8.0}), (8, {"acc": 9.0})]


def test_each_line_says_how_far_the_whole_is_and_what_is_best() -> None:
    doing = Doing(rate)
    swept(doing, GRID + BEST)
    assert doing.lines == [
        "1 of 3: lr=1 seed=7 · 0 done, 0 cached, 0 failed",
        "2 of 3: lr=2 seed=7 · 1 done, 0 cached, 0 failed · best acc 8 at lr=1 seed=7",
        "3 of 3: lr=3 seed=7 · 2 done, 0 cached, 0 failed · best acc 9 at lr=2 seed=7",
    ]


def test_after_a_failed_point_the_next_one_runs() -> None:
    doing = Doing(lambda spec: answer({}, "failed", "out of memory") if spec.params["lr"] == 1 else rate(spec))
    summary = swept(doing)
    assert (doing.asked, counts(summary)) == ([1, 2, 3], (2, 0, 1, 0))
    assert [(run.status, run.reason, run.exit_code, run.code) for run in summary.runs[:1]] == [
        ("failed", "out of memory", 3, 1)
    ]


def test_a_refused_point_is_told_with_its_reason() -> None:
    def act(spec: Spec) -> Told:
        raise EnvironmentMismatch("gpu.type: expected an H100")

    summary = swept(Doing(act))
    assert counts(summary) == (0, 0, 3, 0)
    assert {(run.status, run.reason, run.code, run.attempt) for run in summary.runs} == {
        ("refused", "gpu.type: expected an H100", 3, None)
    }


def test_the_first_failure_ends_it_when_that_is_wanted() -> None:
    doing = Doing(lambda spec: answer({}, "failed"))
    assert counts(swept(doing, stop_on_failure=True)) == (0, 0, 1, 2)
    assert doing.asked == [1]


def test_a_store_out_of_reach_ends_it() -> None:
    def act(spec: Spec) -> Told:
        raise StoreUnreachable("nobody answers")

    doing = Doing(act)
    assert counts(swept(doing)) == (0, 0, 1, 2)
    assert doing.asked == [1]


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_wish_to_stop_ends_it_and_what_was_done_is_told(interrupted: bool) -> None:
    def act(spec: Spec) -> Told:
        if spec.params["lr"] == 2:
            if interrupted:
                raise KeyboardInterrupt
            return answer({}, "interrupted")
        return rate(spec)

    summary = swept(Doing(act), GRID + BEST)
    assert counts(summary) == (1, 0, 1, 1)
    assert [(run.status, run.code) for run in summary.runs] == [("succeeded", 0), ("interrupted", 130)]
    assert summary.best is not None


def test_a_wish_that_was_put_off_ends_it_after_the_run() -> None:
    doing = Doing(rate)
    assert counts(swept(doing, stopped=lambda: len(doing.asked) == 2)) == (2, 0, 0, 1)


def test_no_run_is_best_at_a_metric_that_none_has() -> None:
    assert swept(Doing(lambda spec: answer({"loss": 1.0})), GRID + BEST).best is None


def test_nan_survives_into_the_document() -> None:
    found = swept(Doing(lambda spec: answer({"acc": float("nan")})), GRID + BEST)
    document = json.loads(found.model_dump_json())
    assert document["runs"][0]["metrics"] == {"acc": "NaN"}
    assert document["rows"][0]["metrics"]["acc"]["mean"] == "NaN"
    assert document["best"] is None


@needs_optuna
def test_a_search_is_told_what_came_of_each_trial() -> None:
    doing = Doing(rate)
    summary = swept(doing, SEARCH)
    assert summary.total == len(summary.runs) == 12
    assert len(doing.asked) == len(set(doing.asked)) == len(summary.rows)
    assert summary.cached == 12 - len(doing.asked)  # a point that is chosen again has its answer
    assert summary.best is not None
    assert summary.best.values["params.lr"] == max(doing.asked)
    assert summary.sampler is not None
    assert summary.sampler.startswith("optuna ")


@needs_optuna
def test_a_search_begun_again_asks_for_the_same_points() -> None:
    one, other, whole = Doing(rate), Doing(rate), Doing(rate)
    swept(one, SEARCH, stopped=lambda: len(one.asked) == 4)
    swept(other, SEARCH)
    swept(whole, SEARCH)
    assert len(one.asked) == 4
    assert other.asked[:4] == one.asked
    assert other.asked == whole.asked


@needs_optuna
def test_a_search_for_a_metric_that_no_run_has_ends_at_once() -> None:
    doing = Doing(lambda spec: answer({"loss": 1.0}))
    with pytest.raises(SpecError, match=r"s\.yaml:3:13: objective\.metric: run .* has no such metric: there is `loss`"):
        swept(doing, SEARCH)
    assert len(doing.asked) == 1


@needs_optuna
def test_a_trial_that_lost_a_seed_counts_as_failed() -> None:
    doing = Doing(lambda spec: rate(spec) if spec.seed == 7 else answer({}, "failed"))
    summary = swept(doing, SEARCH + "seeds: 2\n")
    assert {row.failed for row in summary.rows} == {1}
    assert summary.total == 24


def test_the_store_answers_what_has_succeeded_before(world: World) -> None:
    world.program = Program(outputs={"metrics.jsonl": b'{"acc": 0.5}\n'})

    def run() -> Summary:
        points = Points(parse_sweep(f"version: 1\nspec: a\n{GRID}{BEST}".encode(), "s.yaml"), BASE)
        return sweep(Batch(points, lambda spec: submit(spec, world.site, Options()), lambda line: None))

    first, second = run(), run()
    assert (counts(first), counts(second)) == ((3, 0, 0, 0), (0, 3, 0, 0))
    assert [run.attempt for run in first.runs] == [run.attempt for run in second.runs]
    assert len({run.spec_hash for run in first.runs}) == 3
