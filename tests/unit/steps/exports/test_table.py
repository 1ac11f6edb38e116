from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest

from executor.errors import QueryError
from executor.evidence.record import Hints
from executor.steps.exports import table
from tests.fakes import NOON
from tests.unit.steps.finding.test_leaderboard import Team


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_all_runs_that_are_found_the_newest_first(team: Team) -> None:
    for number in range(3):
        team.ran(number / 10, seed=number, created=NOON + timedelta(seconds=number))
    batch = team.library.ask(lambda view: table.found(view, "accuracy >= 0.1", NOON))
    assert [one["metrics.accuracy"] for one in table.rows(batch)] == [0.2, 0.1]
    assert not any(name.startswith(".") for name in table.names(batch))
    with pytest.raises(QueryError):
        team.library.ask(lambda view: table.found(view, "nothing == 1", NOON))


def test_rows_of_records_are_the_same_as_those_of_the_index(team: Team) -> None:
    made = [team.ran(0.5), team.ran(math.nan, seed=2**63, hints=Hints(name="y", image="i", labels={"a": "b"}))]
    batch = table.of(made)
    indexed = team.library.ask(lambda view: table.found(view, "", NOON))
    ours, theirs = ({one["attempt"]: sorted(map(repr, one.items())) for one in table.rows(some)}
                    for some in (batch, indexed))  # fmt: skip
    assert ours == theirs
    assert table.names(batch)[:3] == ["spec", "attempt", "name"]
    assert table.names(batch)[-3:] == ["labels.a", "metrics.accuracy", "params.lr"]


def test_many_rows_are_whole(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_TOGETHER", 2)
    made = [team.ran(number / 10, seed=number) for number in range(5)]
    assert [one["seed"] for one in table.rows(table.of(made))] == [0, 1, 2, 3, 4]


def test_a_table_of_nothing_has_no_rows() -> None:
    assert (table.names(table.of([])), list(table.rows(table.of([])))) == ([], [])
