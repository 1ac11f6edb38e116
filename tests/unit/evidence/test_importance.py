from __future__ import annotations

from typing import Any

import pytest

from executor.evidence.held import ABSENT
from executor.evidence.importance import problem, tied


def varying(many: int) -> dict[str, list[Any]]:
    return {f"params.p{at}": [0, 1] for at in range(many)}


@pytest.mark.parametrize(
    ("runs", "parameters", "said"),
    [
        (0, 1, "no successful run has it as a finite number"),
        (50, 0, "no parameter varies"),
        (19, 1, "too few runs: 19 of the 20 that 1 varying parameter takes"),
        (39, 4, "too few runs: 39 of the 40 that 4 varying parameters take"),
        (500, 31, "31 parameters vary, more than the 30 that are told apart"),
        (20, 1, ""),
        (40, 4, ""),
    ],
)
def test_numbers_that_would_mean_nothing_are_not_told(runs: int, parameters: int, said: str) -> None:
    assert problem([float(run) for run in range(runs)], varying(parameters)) == said


def test_a_metric_that_is_the_same_everywhere_depends_on_nothing() -> None:
    assert problem([0.5] * 30, varying(1)) == "every run has the same value, 0.5: there is nothing to explain"


def test_parameters_that_only_vary_together_are_named() -> None:
    found = tied({"a": [1, 2, 1], "b": ["x", "y", "x"], "c": [1, 2, 3], "d": [ABSENT, 0, ABSENT], "e": [1, 1, 2]})
    assert list(found) == [("a", "b", "d")]
