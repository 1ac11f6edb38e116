from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import CorruptObject, QueryError, UsageError
from executor.spec.canonical import Digest
from executor.steps.finding.behind import Claim, Made, Standing, behind, made
from tests.fakes import NOON
from tests.unit.evidence.samples import file
from tests.unit.steps.finding.test_leaderboard import Team


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def claimed(team: Team, text: str, limit: int = 20) -> Standing:
    return team.library.ask(lambda view: behind(view, team.store, text, NOON, limit))


@pytest.mark.parametrize(
    ("text", "name", "low", "high"),
    [
        ("accuracy=0.91", "accuracy", 0.905, 0.915),
        ("accuracy = 0.910", "accuracy", 0.9095, 0.9105),
        ("accuracy == .9", "accuracy", 0.85, 0.95),
        ("accuracy: 91%", "accuracy", 0.905, 0.915),
        ("accuracy=91.25 %", "accuracy", 0.91245, 0.91255),
        ("loss=-2", "loss", -2.5, -1.5),
        ("loss=1.5e-4", "loss", 1.45e-4, 1.55e-4),
        ("steps=2e3", "steps", 1500, 2500),
        ("metrics.`loss (train)`=1", "metrics.loss (train)", 0.5, 1.5),
    ],
)
def test_a_number_stands_for_whatever_rounds_to_it(text: str, name: str, low: float, high: float) -> None:
    claim = Claim.parse(text)
    assert (claim.name, claim.low, claim.high) == (name, low, high)


@pytest.mark.parametrize("text", ["", "accuracy", "=0.9", "accuracy=", "accuracy=high", "accuracy=0.9x", "a=nan",
                                  "a=1e999999999", "a=0.9 b=3", f"a={'9' * 70}"])  # fmt: skip
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Claim.parse(text)
    assert caught.value.advice == "write it as in accuracy=0.91"


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_a_value_stands_behind_every_way_to_round_it(value: float, digits: int) -> None:
    claim = Claim.parse(f"x={value:.{digits}f}")
    slack = abs(value) * 1e-15
    assert claim.low - slack <= value <= claim.high + slack
    assert claim.half * 2 == Decimal(1).scaleb(-digits)


def test_the_runs_behind_a_number_are_found_successes_first(team: Team) -> None:
    failed = team.ran(0.912, seed=1, status="failed")
    second = team.ran(0.9149, seed=2, created=NOON.replace(hour=20))
    first = team.ran(0.906, seed=3)
    for accuracy in (0.9, 0.92, math.nan, None):
        team.ran(accuracy, seed=9)
    found = claimed(team, "accuracy=0.91")
    assert [row["attempt"] for row in found.rows] == [first.attempt, second.attempt, failed.attempt]
    assert [row["metrics.accuracy"] for row in found.rows] == [0.906, 0.9149, 0.912]
    assert (found.claim.name, found.total, found.near) == ("metrics.accuracy", 3, ())
    limited = claimed(team, "accuracy=0.91", limit=2)
    assert ([row["attempt"] for row in limited.rows], limited.total) == ([first.attempt, second.attempt], 3)


def test_a_number_that_nobody_got_has_neighbours(team: Team) -> None:
    for accuracy in (0.5, 0.89, 0.93, 0.99):
        team.ran(accuracy, seed=int(accuracy * 100))
    assert claimed(team, "accuracy=0.91").near == (0.89, 0.93)
    assert claimed(team, "accuracy=0.999").near == (0.99,)
    assert claimed(team, "accuracy=0.91").rows == ()


def test_a_name_that_nobody_has_is_told(team: Team) -> None:
    team.ran(0.5)
    with pytest.raises(QueryError, match="no run has acuracy"):
        claimed(team, "acuracy=0.5")


def test_a_record_that_was_changed_behind_the_index_stands_behind_nothing(team: Team) -> None:
    run = team.ran(0.91)
    assert claimed(team, "accuracy=0.91").total == 1
    changed = run.model_copy(update={"metrics": {"accuracy": 0.5}})
    key = f"v1/runs/{run.spec_hash.hex}/attempts/{run.attempt}/record.json"
    team.store.contents[key] = changed.to_json()
    assert claimed(team, "accuracy=0.91").total == 0
    team.store.contents[key] = b"{}"
    with pytest.raises(CorruptObject):
        claimed(team, "accuracy=0.50")


def history(team: Team, data: bytes) -> list[Made]:
    return team.library.ask(lambda view: made(view, team.store, Digest.of(data)))


def test_the_runs_that_made_a_file_are_found_the_oldest_first(team: Team) -> None:
    later = team.ran(0.9, created=NOON.replace(hour=20), outputs=(file("b.pt", "same"), file("x", "other", "file")))
    first = team.ran(0.9, seed=2, outputs=(file("a.pt", "same"),))
    team.ran(0.9, seed=3, outputs=(file("a.pt", "not the same"),))
    found = history(team, b"same")
    assert [(one.record.attempt, one.file.path) for one in found] == [
        (first.attempt, "a.pt"), (later.attempt, "b.pt"),
    ]  # fmt: skip
    assert [one.file.path for one in history(team, b"other")] == ["x"]
    assert history(team, b"unknown") == []


def test_a_file_that_one_run_left_twice_is_told_twice(team: Team) -> None:
    team.ran(0.9, outputs=(file("last.pt", "same"), file("best.pt", "same")))
    assert sorted(one.file.path for one in history(team, b"same")) == ["best.pt", "last.pt"]


def test_a_digest_that_only_begins_alike_is_not_the_file(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from executor.store import index, view

    for module in (index, view):
        monkeypatch.setattr(module, "DIGEST", 0)
    team.ran(0.9, outputs=(file("a.pt", "one"),))
    assert history(team, b"other") == []
    assert len(history(team, b"one")) == 1
