from __future__ import annotations

from tests.unit.cli.conftest import Run
from tests.unit.cli.test_finding import team as team
from tests.unit.steps.finding.test_indexing import record_key
from tests.unit.steps.finding.test_leaderboard import Team


def test_the_index_says_what_is_in_it(run: Run, team: Team) -> None:
    team.ran(0.5)
    ran = run("index")
    assert ran.out.startswith("1 run of memory:, ")
    assert str(team.index_file) in ran.out
    found = run("index", "--json").json
    assert (found["runs"], found["unreadable"], found["awaited"]) == (1, [], 0)
    assert found["bytes"] == team.index_file.stat().st_size


def test_the_index_is_made_anew_from_the_records(run: Run, team: Team) -> None:
    team.ran(0.5)
    run("index")
    team.reads()
    assert run("index", "--rebuild").code == 0
    assert len(team.reads()) == 1


def test_records_that_cannot_be_read_are_told(run: Run, team: Team) -> None:
    bad = team.ran(0.5)
    team.store.contents[record_key(bad)] = b"{}"
    found = run("index", "--json")
    assert (found.code, found.json["runs"]) == (5, 0)
    (one,) = found.json["unreadable"]
    assert (one["attempt"], "stored bytes are wrong" in one["problem"]) == (bad.attempt, True)
