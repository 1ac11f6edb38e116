from __future__ import annotations

import os
from typing import Any
from unittest.mock import Mock

import pytest

from executor.inside.lineage import VARIABLE, Lineage


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")


def test_children_are_counted_in_order() -> None:
    lineage = Lineage("0")
    assert [lineage.beget(), lineage.beget()] == ["0.1", "0.2"]


def test_a_forked_child_is_what_its_parent_counted_last_and_counts_anew() -> None:
    lineage = Lineage("0.3")
    lineage.beget()
    lineage.become_child()
    assert (lineage.name, os.environ[VARIABLE]) == ("0.3.1", "0.3.1")
    assert lineage.beget() == "0.3.1.1"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ([b"A=1", b"EXECUTOR_PROCESS=0"], [b"A=1", b"EXECUTOR_PROCESS=0.1"]),
        ({"A": "1", VARIABLE: "0"}, {"A": "1", VARIABLE: "0.1"}),
    ],
)
def test_an_explicit_environment_is_copied_and_named(environment: Any, expected: Any) -> None:
    before, start = environment.copy(), Mock(return_value=7)
    assert Lineage("0").naming_children(start, 1)("program", environment, "more") == 7
    start.assert_called_once_with("program", expected, "more")
    assert environment == before


@pytest.mark.parametrize("arguments", [("program", None), ("program",)])
def test_an_inherited_environment_names_the_child_while_it_starts(arguments: tuple[Any, ...]) -> None:
    start = Mock(side_effect=lambda *_: int(os.environ[VARIABLE] == "0.1"))
    assert Lineage("0").naming_children(start, 1)(*arguments) == 1
    assert os.environ[VARIABLE] == "0"
