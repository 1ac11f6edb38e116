from __future__ import annotations

import csv
import io
import math
from typing import Any

import pytest

from executor.steps.finding.sheet import as_csv, plain_value


def cells(**row: Any) -> list[str]:
    text = as_csv([{"spec": "s", "attempt": "a", **row}], list(row))
    return list(csv.reader(io.StringIO(text)))[1][2:]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\x1b[0m="])
def test_a_spreadsheet_runs_nothing(start: str) -> None:
    (cell,) = cells(name=f"{start}1+2")
    assert cell[0] == "'"


def test_values_are_told_as_json_holds_them() -> None:
    assert cells(x=-1.5, y=math.nan, z=True, u=[1, 2], v=None, created=0) == [
        "-1.5", "NaN", "true", "[1, 2]", "", "1970-01-01T00:00:00+00:00",
    ]  # fmt: skip
    assert cells(x=-math.inf, y=math.inf) == [plain_value("x", -math.inf), "Infinity"] == ["-Infinity", "Infinity"]
    assert cells(name='a,"b"\u202e') == ['a,"b"']
