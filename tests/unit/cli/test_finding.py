from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest

from executor.cli import wiring
from executor.evidence.record import Hints
from executor.steps.home import Home
from tests.fakes import NOON
from tests.unit.cli.conftest import Run
from tests.unit.evidence.samples import file
from tests.unit.steps.finding.test_indexing import record_key
from tests.unit.steps.finding.test_leaderboard import Team


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    made = Team(tmp_path)
    monkeypatch.setattr(wiring, "store", lambda url: made.store)
    monkeypatch.setattr(wiring, "home", lambda: Home(tmp_path))
    monkeypatch.setattr(wiring, "now", lambda: NOON)
    return made


def test_an_empty_store_is_told(run: Run, team: Team) -> None:
    assert (run("find").out, run("find").err) == ("", "no runs in memory: yet\n")
    assert run("find", "--json").json == {"total": 0, "runs": []}
    assert run("find", "seed == 1").err == "no run is found in memory:\n"


def test_runs_are_found_and_told_with_what_was_asked_for(run: Run, team: Team) -> None:
    good = team.ran(0.95, seed=2)
    team.ran(0.5)
    ran = run("find", "accuracy >= 0.9 and params.lr == 0.1")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["SPEC", "NAME", "WHEN", "(UTC)", "STATUS", "TIME", "metrics.accuracy", "params.lr"]
    assert lines[1].split() == [good.spec_hash.hex[:12], "x", "2026-01-01", "12:00", "succeeded", "0.0", "s", "0.95",
                                "0.1"]  # fmt: skip
    assert (len(lines), ran.err, ran.code) == (2, "", 0)


def test_json_has_the_columns_that_were_chosen_and_numbers_that_are_none_as_texts(run: Run, team: Team) -> None:
    made = team.ran(math.nan)
    found = run("find", "--json", "--columns", "accuracy,created,seed,rerun").json
    assert found == {"total": 1, "runs": [{
        "spec_hash": made.spec_hash.hex, "attempt": made.attempt, "metrics.accuracy": "NaN",
        "created": "2026-01-01T12:00:00+00:00", "seed": 1, "rerun": False,
    }]}  # fmt: skip
    assert "submitter" in run("find", "--json", "--columns", "all").json["runs"][0]


def test_the_order_and_the_limit_are_the_users(run: Run, team: Team) -> None:
    for seed, accuracy in enumerate((0.3, 0.9, 0.6)):
        team.ran(accuracy, seed=seed)
    words = ("find", "--columns", "accuracy", "--limit", "2", "--sort")
    assert [one["metrics.accuracy"] for one in run(*words, "-accuracy", "--json").json["runs"]] == [0.9, 0.6]
    ran = run(*words, "accuracy")
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["metrics.accuracy", "0.3", "0.6"]
    assert ran.err == "2 of 3 runs; --limit shows more\n"


def test_csv_is_read_by_others_and_runs_nothing_in_a_spreadsheet(run: Run, team: Team) -> None:
    made = team.ran(0.5, hints=Hints(name="a,b", image="i", labels={"note": "=1+2\x1b[2J"}))
    ran = run("find", "--csv", "--columns", "name,labels.note,accuracy,rerun,verdict")
    assert list(csv.reader(io.StringIO(ran.out))) == [
        ["spec", "attempt", "name", "labels.note", "metrics.accuracy", "rerun", "verdict"],
        [made.spec_hash.hex, made.attempt, "a,b", "'=1+2", "0.5", "false", ""],
    ]  # fmt: skip


def test_what_cannot_be_read_is_told_before_the_store_is_asked(run: Run, team: Team) -> None:
    team.store.down = True
    ran = run("find", "accuracy = 0.9")
    assert ran.code == 2
    assert ran.err == "executor: expected `==`\n  accuracy = 0.9\n           ^\n"
    found = run("find", "accuracy = 0.9", "--json").json
    assert (found["error"], found["at"], found["problem"]) == ("QueryError", 9, "expected `==`")
    assert run("find", "accuracy == 0.9").code == 6


def test_an_unknown_name_is_told_with_what_there_is(run: Run, team: Team) -> None:
    team.ran(0.5)
    ran = run("find", "acuracy > 0")
    assert ran.code == 2
    assert "no run has acuracy" in ran.err
    assert "→ there is metrics.accuracy" in ran.err


def test_names_are_listed(run: Run, team: Team) -> None:
    team.ran(0.5)
    rows = [line.split() for line in run("find", "--names").out.splitlines()]
    assert ["metrics.accuracy", "number"] in rows
    assert {"name": "params.lr", "kind": "number", "about": ""} in run("find", "--names", "--json").json


def test_a_record_that_cannot_be_read_is_told_beside_the_others(run: Run, team: Team) -> None:
    team.ran(0.5)
    bad = team.ran(0.6, seed=2)
    team.store.contents[record_key(bad)] = b"{}"
    ran = run("find", "--json")
    assert (ran.code, ran.json["total"]) == (5, 1)
    assert "stored bytes are wrong" in ran.err
    for words in (("best", "accuracy"), ("claim", "accuracy=0.5")):
        assert run(*words).code == 5


def test_the_leaderboard_says_who_and_how_far_it_is_to_be_trusted(run: Run, team: Team) -> None:
    first = team.ran(0.9)
    team.again("identical", 0.9)
    team.ran(0.8, seed=2)
    lines = run("best", "accuracy").out.splitlines()
    assert lines[0].split() == ["ACCURACY", "SPEC", "NAME", "WHO", "WHEN", "(UTC)", "SEEDS", "MEAN", "REPRODUCED"]
    assert lines[1].split() == ["0.9", first.spec_hash.hex[:12], "x", "here", "2026-01-01", "12:00", "1", "1",
                                "identical"]  # fmt: skip
    assert lines[2].endswith("not tried")
    found = run("best", "accuracy", "--per", "config", "--json").json
    (place,) = found["best"]
    assert (found["metric"], found["per"], found["runs"]) == ("metrics.accuracy", "config", 3)
    assert (place["value"], place["spec_hash"], place["seeds"], place["verdicts"]) == (
        0.9, first.spec_hash.hex, 2, {"identical": 1},
    )  # fmt: skip
    assert place["over_seeds"]["mean"] == pytest.approx(0.85)
    assert run("best", "accuracy", "--per", "config").out.splitlines()[1].split()[7:9] == ["0.85", "±"]


def test_the_leaderboard_says_in_which_parameters_its_lines_differ(run: Run, team: Team) -> None:
    team.ran(0.9, lr=0.5)
    team.ran(0.8)
    best = run("best", "accuracy")
    assert [line.split()[-1] for line in best.out.splitlines()] == ["PARAMETERS", "lr=0.5", "lr=0.1"]
    assert "--limit" not in best.err
    assert "the best 1 of 2 runs; --limit shows more" in run("best", "accuracy", "--limit", "1").err


def test_the_lowest_can_be_the_best_and_some_can_be_left_out(run: Run, team: Team) -> None:
    team.ran(0.9)
    team.ran(0.8, lr=0.5)
    lowest = run("best", "accuracy", "--lowest", "--per-experiment", "--json").json
    assert ([one["value"] for one in lowest["best"]], lowest["per"]) == ([0.8, 0.9], "experiment")
    assert [one["value"] for one in run("best", "accuracy", "--where", "lr > 0.3", "--json").json["best"]] == [0.8]
    assert run("best", "accuracy", "--where", "lr = 0.3").code == 2
    assert run("best", "accuracy", "--where", "lr > 3").err == "no successful run in memory: has accuracy\n"


def test_a_claim_is_held_against_the_records(run: Run, team: Team) -> None:
    made = team.ran(0.9149)
    ran = run("claim", "accuracy=0.91")
    assert ran.out.splitlines()[1].split()[:3] == [made.spec_hash.hex[:12], "0.9149", "x"]
    assert ran.err == "1 run with metrics.accuracy from 0.905 to 0.915\n"
    found = run("claim", "accuracy=0.91", "--json").json
    assert (found["total"], found["runs"][0]["metrics.accuracy"]) == (1, 0.9149)


def test_a_claim_that_nothing_stands_behind_fails_and_names_the_nearest(run: Run, team: Team) -> None:
    team.ran(0.88)
    ran = run("claim", "accuracy=0.91")
    assert (ran.code, ran.out) == (2, "")
    assert "no run in memory: stands behind accuracy=0.91; the nearest are 0.88" in ran.err
    assert "per cent are written so: accuracy=91%" in run("claim", "accuracy=91").err
    assert run("claim", "accuracy").code == 2


def test_the_history_of_a_file_is_told(run: Run, team: Team, tmp_path: Path) -> None:
    made = team.ran(0.9, outputs=(file("model.pt", "the weights"),))
    path = tmp_path / "found.pt"
    path.write_bytes(b"the weights")
    lines = run("history", path).out.splitlines()
    assert lines[0].split() == ["SPEC", "NAME", "WHO", "ATTEMPT", "STATUS", "PATH", "ROLE"]
    assert lines[1].split() == [made.spec_hash.hex[:12], "x", made.attempt, "succeeded", "model.pt", "weights"]
    (found,) = run("history", path, "--json").json["runs"]
    assert (found["spec_hash"], found["path"]) == (made.spec_hash.hex, "model.pt")
    path.write_bytes(b"other weights")
    ran: Any = run("history", path)
    assert (ran.code, "no run in memory: left these bytes" in ran.err) == (2, True)
    assert run("history", tmp_path / "nowhere").code == 2


@pytest.mark.parametrize("words", [("find",), ("best", "accuracy"), ("claim", "accuracy=0.5")])
def test_what_others_wrote_is_no_terminal_escape(run: Run, team: Team, words: tuple[str, ...]) -> None:
    team.ran(0.5, hints=Hints(name="x\x1b[31mred\x07", image="i"))
    ran = run(*words)
    assert "xred" in ran.out
    assert "\x1b" not in ran.out
