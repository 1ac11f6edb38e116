from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from executor.errors import QueryError, UsageError
from executor.evidence.record import Comparison, Hints, Record
from executor.spec.canonical import Digest, spec_hash
from executor.steps.finding.leaderboard import Board, Per, best
from tests.fakes import NOON
from tests.unit.evidence.samples import record
from tests.unit.steps.finding.test_indexing import Desk, put


class Team(Desk):
    """Runs of a team."""

    numbers = 0

    def ran(self, accuracy: float | None, *, seed: int = 1, lr: float = 0.1, gpu: str = "", **changes: Any) -> Record:
        """One more run."""
        self.numbers += 1
        identity = {"seed": seed, "params": {"lr": lr}, "gpu": {"type": gpu, "count": 1} if gpu else None}
        values = {
            "spec": identity, "spec_hash": spec_hash(identity), "attempt": f"a{self.numbers}",
            "experiment_key": spec_hash({key: value for key, value in identity.items() if key != "gpu"}),
            "metrics": {} if accuracy is None else {"accuracy": accuracy},
        }  # fmt: skip
        made = record(**values | changes)
        put(self.store, made)
        return made

    def again(self, verdict: str, accuracy: float | None, **how: Any) -> Record:
        held = Comparison(reference="a1", verdict=verdict, reason="")
        return self.ran(accuracy, comparison=held, rerun=True, **how)

    def best(self, metric: str = "accuracy", **how: Any) -> Board:
        return self.library.ask(lambda view: best(view, self.store, metric, NOON, **how))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def values(board: Board) -> list[float]:
    return [place.value for place in board.places]


def test_the_best_runs_come_first_and_each_spec_once(team: Team) -> None:
    for accuracy, seed in ((0.7, 1), (0.9, 2), (0.8, 3)):
        team.ran(accuracy, seed=seed)
    team.again("identical", 0.9, seed=2)
    board = team.best()
    assert (board.metric, board.runs, values(board)) == ("metrics.accuracy", 4, [0.9, 0.8, 0.7])
    assert values(team.best(lowest=True)) == [0.7, 0.8, 0.9]
    assert values(team.best(limit=2)) == [0.9, 0.8]
    assert board.places[0].run["seed"] == 2


def test_only_successes_count_in_which_nothing_was_varied(team: Team) -> None:
    team.ran(0.5)
    team.ran(0.9, seed=2, status="failed")
    team.ran(0.9, seed=3, varied={"threads": "4"})
    team.ran(None, seed=4)
    team.ran(math.nan, seed=5)
    assert values(team.best()) == [0.5]
    assert values(team.best(lowest=True)) == [0.5]


def test_infinity_is_a_number(team: Team) -> None:
    team.ran(0.5)
    team.ran(math.inf, seed=2)
    assert values(team.best()) == [math.inf, 0.5]


def test_the_parameters_in_which_the_best_differ_are_told(team: Team) -> None:
    for accuracy, lr in ((0.7, 0.1), (0.9, 0.5)):
        team.ran(accuracy, lr=lr)
    board = team.best()
    assert board.varying == ("params.lr",)
    assert [place.run["params.lr"] for place in board.places] == [0.5, 0.1]
    assert team.best(limit=1).varying == ()


def test_reruns_say_how_far_a_place_is_to_be_trusted(team: Team) -> None:
    team.ran(0.9)
    for verdict in ("identical", "identical", "different"):
        team.again(verdict, 0.9 if verdict == "identical" else 0.2)
    (place,) = team.best().places
    assert place.verdicts == {"identical": 2, "different": 1}
    assert place.runs == 4


def test_a_configuration_is_one_line_with_its_mean_over_seeds(team: Team) -> None:
    for seed, accuracy in ((1, 0.8), (2, 0.9), (3, 1.0)):
        team.ran(accuracy, seed=seed)
    team.again("identical", 0.9, seed=2)
    team.ran(0.95, lr=0.5)
    first, second = team.best(per="config").places
    assert (first.value, first.seeds, first.runs, first.over_seeds.n) == (1.0, 3, 4, 3)
    assert first.over_seeds.mean == pytest.approx(0.9)
    assert first.over_seeds.half_width == pytest.approx(0.2484, abs=1e-3)
    assert (second.value, second.seeds, second.over_seeds.half_width) == (0.95, 1, None)


@pytest.mark.parametrize(("per", "expected"), [("spec", 4), ("experiment", 3), ("config", 2), ("name", 2)])
def test_lines_stand_for_what_is_wanted(team: Team, per: Per, expected: int) -> None:
    team.ran(0.1, gpu="H100")
    team.ran(0.2, gpu="A100")
    team.ran(0.3, gpu="A100", seed=2)
    team.ran(0.4, lr=0.9, hints=Hints(name="other", image="i"))
    assert len(team.best(per=per).places) == expected


def test_many_runs_of_one_group_do_not_hide_the_others(team: Team) -> None:
    for number in range(60):
        team.ran(0.5 + number / 256, seed=number)
    team.ran(0.1, lr=0.5)
    assert values(team.best(per="config", limit=2)) == [0.5 + 59 / 256, 0.1]


def test_an_expression_chooses_who_takes_part(team: Team) -> None:
    team.ran(0.9, lr=0.5)
    team.ran(0.8)
    assert values(team.best(where="lr < 0.3")) == [0.8]


def test_any_number_can_be_compared(team: Team) -> None:
    team.ran(0.9, lr=0.5)
    team.ran(0.8)
    assert values(team.best("params.lr", lowest=True)) == [0.1, 0.5]


@pytest.mark.parametrize(("metric", "error"), [("acuracy", QueryError), ("name", UsageError)])
def test_what_is_no_number_of_any_run_is_refused(team: Team, metric: str, error: type[Exception]) -> None:
    team.ran(0.9)
    with pytest.raises(error):
        team.best(metric)


def test_a_record_that_does_not_say_what_the_index_says_makes_the_index_anew(team: Team) -> None:
    run = team.ran(0.9)
    assert values(team.best()) == [0.9]
    lower = run.model_copy(update={"metrics": {"accuracy": 0.3}})
    team.store.contents[f"v1/runs/{run.spec_hash.hex}/attempts/{run.attempt}/record.json"] = lower.to_json()
    assert values(team.best()) == [0.3]
    assert "is made anew" in team.told[0]


def test_an_equal_value_goes_to_who_had_it_first(team: Team) -> None:
    later = team.ran(0.9, created=NOON.replace(hour=20))
    first = team.ran(0.9, seed=2)
    assert [place.run["spec"] for place in team.best().places] == [first.spec_hash.hex, later.spec_hash.hex]
    assert Digest(first.spec_hash.hex) == first.spec_hash
