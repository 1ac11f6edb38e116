from __future__ import annotations

import json
import math
from typing import Any

from executor.dashboard import pictures
from executor.evidence.thinning import Point
from executor.evidence.versus import Versus, versus
from executor.steps.finding.curves import Curve
from tests.unit.evidence.samples import record


def held(*params: dict[str, Any], metrics: dict[str, float] | None = None) -> Versus:
    records = [record(spec={"seed": 1, "params": one}, metrics=metrics or {}) for one in params]
    return versus(records)


def test_the_table_has_words_for_what_is_missing_and_how_far() -> None:
    found = pictures.table(held({"lr": 2, "d": "a" * 40}, {"lr": 1}), 0, everything=False)
    ((group, (lr, digest)),) = found.groups
    assert (group, lr.name, digest.name) == ("Parameters", "lr", "d")
    assert [(cell.text, cell.delta, cell.up) for cell in lr.cells] == [("2", "", False), ("1", "-1, -50.0%", False)]
    assert [(cell.text, cell.whole, cell.missing) for cell in digest.cells] == [
        ("a" * 12, "a" * 40, False), ("missing", "", True),
    ]  # fmt: skip
    assert (found.more, found.hidden > 5) == (0, True)


def test_a_table_has_an_end_and_says_what_is_left_out() -> None:
    many = held({f"p{at}": 0 for at in range(20_000)}, {f"p{at}": 1 for at in range(20_000)})
    found = pictures.table(many, 0, everything=False)
    told = sum(len(lines) for _, lines in found.groups)
    assert (told + found.more, told * 2 <= pictures.MOST_CELLS) == (20_000, True)


def test_runs_of_one_spec_have_names_of_their_own() -> None:
    names = pictures.names(held({"lr": 1}, {"lr": 2}))
    assert [one["id"] for one in names] == ["aaaaaaa/1", "aaaaaaa/2"]
    assert [one["about"] for one in names] == ["lr 1", "lr 2"]


def test_parallel_coordinates_leave_no_run_out() -> None:
    found = pictures.parallel(held({"lr": 1, "d": "x"}, {"lr": 2}, {}, metrics={"loss": math.nan}), "loss")
    assert [axis["name"] for axis in found["axes"]] == ["lr", "d", "loss"]
    assert [len(axis["at"]) for axis in found["axes"]] == [3, 3, 3]
    assert found["colour"] == [None] * 3
    json.dumps(found, allow_nan=False)


def test_more_parameters_than_a_picture_has_room_for_are_counted() -> None:
    found = pictures.parallel(held({f"p{at}": 0 for at in range(20)}, {f"p{at}": 1 for at in range(20)}), "loss")
    assert (len(found["axes"]), found["more"]) == (pictures.MOST_AXES, 8)


def test_a_value_that_is_no_number_is_a_gap() -> None:
    points = tuple(Point(at, at / 3, value) for at, value in enumerate((1.0, math.nan, math.inf)))
    found = pictures.curves([Curve(0, points, 9)], ["lost", "lost"])
    assert found == {"curves": [{"run": 0, "x": [0, 0.333, 0.667], "y": [1.0, None, None], "total": 9}],
                     "problems": ["lost"]}  # fmt: skip


def test_metrics_that_most_runs_have_come_first() -> None:
    records = [record(metrics={"a": 1.0}), record(metrics={"a": 1.0, "b": 1.0}), record(metrics={"b": 1.0, "a": 2.0})]
    assert pictures.metrics(records) == ["a", "b"]
