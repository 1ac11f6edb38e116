from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from executor.evidence.versus import Versus, versus
from executor.steps.finding.comparison import as_csv, as_json
from executor.steps.finding.versus import CodeChange
from tests.unit.evidence.samples import record


def held(*params: dict[str, Any]) -> Versus:
    return versus([record(spec={"seed": 1, "params": one}, attempt=f"a{at}") for at, one in enumerate(params)])


def test_json_names_the_missing_and_has_no_number_that_is_none() -> None:
    found = as_json(held({"lr": 1, "x": math.inf}, {"lr": 3}), 0, [CodeChange("a", "b")], everything=False)
    json.dumps(found, allow_nan=False)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["lr"] == {"group": "params", "name": "lr", "differs": True, "values": [1, 3], "missing": [],
                          "deltas": [None, {"absolute": 2.0, "relative": 2.0}]}  # fmt: skip
    assert (rows["x"]["values"], rows["x"]["missing"]) == (["Infinity", None], [1])
    assert [one["attempt"] for one in found["runs"]] == ["a0", "a1"]
    assert (found["baseline"], found["hidden"] > 5, found["code"][0]["after"]) == (0, True, "b")


def test_json_can_have_everything() -> None:
    found = as_json(held({"lr": 1}, {"lr": 3}), 1, [], everything=True)
    assert found["hidden"] == 0
    assert {row["differs"] for row in found["rows"]} == {True, False}


def test_csv_has_a_line_for_each_field_and_runs_nothing_in_a_spreadsheet() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(held({"lr": 1, "x": "=1"}, {"lr": 3}), 1, everything=False))))
    assert rows[0] == ["group", "field", "x aaaaaaaaaaaa/a0", "x aaaaaaaaaaaa/a1",
                       "x aaaaaaaaaaaa/a0 minus x aaaaaaaaaaaa/a1"]  # fmt: skip
    assert rows[1:] == [["params", "lr", "1", "3", "-2.0"], ["params", "x", "'=1", "", ""]]
