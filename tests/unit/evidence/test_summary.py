from __future__ import annotations

import math
from typing import Any

from executor.evidence.point import label, written
from executor.evidence.summary import Direction, Row, Run, best, ranked, rows


def run(lr: float, seed: int, status: Any = "succeeded", **metrics: float) -> Run:
    return Run(values={"params.lr": lr}, seed=seed, spec_hash=f"{lr}-{seed}", status=status, metrics=metrics)


def rates(found: list[Row]) -> list[Any]:
    return [row.values["params.lr"] for row in found]


def best_of(runs: list[Run], direction: Direction = "maximize") -> Any:
    found = best(rows(runs), "acc", direction)
    return found and found.values["params.lr"]


def test_a_row_is_a_point_with_all_its_seeds() -> None:
    first, second = rows([run(0.1, 1, acc=1.0), run(0.2, 1, acc=5.0), run(0.1, 2, acc=3.0)])
    assert (first.values, first.spec_hashes, first.failed) == ({"params.lr": 0.1}, ("0.1-1", "0.1-2"), 0)
    assert (first.metrics["acc"].mean, first.metrics["acc"].n, second.metrics["acc"].n) == (2.0, 2, 1)


def test_a_run_that_comes_twice_counts_once() -> None:
    (row,) = rows([run(0.1, 1, acc=1.0), run(0.1, 2, acc=3.0), run(0.1, 1, acc=1.0)])
    assert (row.spec_hashes, row.metrics["acc"].n, row.metrics["acc"].mean) == (("0.1-1", "0.1-2"), 2, 2.0)


def test_whole_numbers_and_floats_are_two_points() -> None:
    assert len(rows([run(1, 1), run(1.0, 1)])) == 2


def test_runs_without_a_result_are_counted_and_not_averaged() -> None:
    (row,) = rows([run(0.1, 1, acc=1.0), run(0.1, 2, "failed", acc=9.0), run(0.1, 3, "refused")])
    assert (row.failed, row.metrics["acc"].mean, row.metrics["acc"].n) == (2, 1.0, 1)


def test_a_metric_that_some_runs_lack_says_how_many_have_it() -> None:
    (row,) = rows([run(0.1, 1, acc=1.0), run(0.1, 2, acc=2.0, loss=3.0)])
    assert {name: found.n for name, found in row.metrics.items()} == {"acc": 2, "loss": 1}


def test_the_best_is_judged_by_its_mean() -> None:
    runs = [run(0.1, 1, acc=9.0), run(0.1, 2, acc=1.0), run(0.2, 1, acc=6.0), run(0.2, 2, acc=6.0)]
    assert (best_of(runs), best_of(runs, "minimize")) == (0.2, 0.1)


def test_the_first_of_equals_is_the_best() -> None:
    assert best_of([run(0.1, 1, acc=1.0), run(0.2, 1, acc=1.0)]) == 0.1


def test_nan_is_never_the_best_and_infinity_can_be() -> None:
    assert best_of([run(0.1, 1, acc=math.nan), run(0.2, 1, acc=0.5)]) == 0.2
    assert best_of([run(0.1, 1, acc=math.inf), run(0.2, 1, acc=0.5)]) == 0.1
    assert best_of([run(0.1, 1, acc=math.nan)]) is None


def test_no_row_is_best_at_what_none_has() -> None:
    assert best_of([run(0.1, 1, loss=1.0)]) is None
    assert best_of([]) is None


def test_a_point_that_lost_a_seed_goes_behind_the_whole_ones() -> None:
    runs = [run(0.1, 1, acc=9.0), run(0.1, 2, "failed"), run(0.2, 1, acc=5.0), run(0.2, 2, acc=5.0)]
    assert best_of(runs) == 0.2
    assert best_of(runs[:2]) == 0.1
    assert rates(ranked(rows([*runs, run(0.3, 1)]), "acc", "maximize")) == [0.2, 0.1, 0.3]


def test_a_point_is_told_on_one_line() -> None:
    assert label({"params.lr": 1e-3, "params.opt.name": "adam", "params.hidden": [1, 2.0], "seed": 3}) == (
        "lr=0.001 opt.name=adam hidden=[1,2.0] seed=3"
    )
    assert written(None) + written(1) + written(1.0) == "null11.0"
