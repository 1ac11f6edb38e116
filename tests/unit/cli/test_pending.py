from __future__ import annotations

from pathlib import Path

import pytest

from executor.engine.interface import LogSink
from executor.spec.file import write_spec
from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    write_spec(SPEC, path, "A spec.")
    return path


@pytest.fixture
def attempt(run: Run, wired: World, spec: Path) -> str:
    """An attempt that waits, because its store went away while it ran."""

    def program(work: Path, log: LogSink) -> int:
        wired.store.down = True
        return Program()(work, log)

    wired.engine.program = program
    ran = run("submit", spec, "--json")
    wired.store.down, wired.engine.program = False, Program()
    del wired.store.contents[layout.lease(SPEC.hash)]  # as if its process had ended
    assert (ran.code, ran.json["error"], ran.json["spec_hash"]) == (6, "Unpublished", SPEC.hash.hex)
    assert "executor publish --pending" in ran.json["advice"]
    assert wired.left == [ran.json["attempt"]]
    return str(ran.json["attempt"])


def test_what_waits_is_published_and_told(run: Run, wired: World, attempt: str) -> None:
    ran = run("publish", "--pending")
    assert ran.code == 0
    assert ran.out.split() == ["published", "digits", SPEC.hash.hex[:12], attempt, "stored",
                               wired.store.attempt_url(SPEC.hash, attempt)]  # fmt: skip
    again = run("publish", "--pending")
    assert (again.code, again.out, again.err) == (0, "", "no result waits on this machine\n")


def test_machines_are_told_the_same(run: Run, wired: World, attempt: str) -> None:
    wired.store.down = True
    ran = run("publish", "--pending", "--json")
    (one,) = ran.json
    assert (ran.code, one["attempt"], one["state"], one["spec_hash"]) == (6, attempt, "waiting", SPEC.hash.hex)
    wired.store.down = False
    ran = run("publish", attempt, "--json")
    assert (ran.code, [one["state"] for one in ran.json]) == (0, ["published"])
    ran = run("publish", "--pending", "--json")
    assert (ran.code, ran.json) == (0, [])


def test_a_store_that_is_still_away_is_said(run: Run, wired: World, attempt: str) -> None:
    wired.store.down = True
    ran = run("publish", "--pending")
    assert ran.code == 6
    assert ran.out.startswith("waiting")
    assert "nothing answers" in ran.err


def test_what_nobody_wants_is_thrown_away_by_name_alone(run: Run, wired: World, attempt: str) -> None:
    assert run("publish", "--pending", "--discard").code == 2
    ran = run("publish", "--discard", attempt)
    assert (ran.code, ran.out.split()[0], wired.left) == (0, "discarded", [])


def test_one_has_to_say_which(run: Run, wired: World, attempt: str) -> None:
    assert run("publish").code == 2
    assert run("publish", attempt, "--pending").code == 2
    assert run("publish", "another").code == 2
    assert wired.left == [attempt]


def test_every_submit_tells_what_waits_and_asks_no_store(run: Run, wired: World, attempt: str, spec: Path) -> None:
    told = "! 1 result of earlier runs waits on this machine; `executor publish --pending` brings it to the store\n"
    assert told in run("submit", spec).err
    assert wired.left == [attempt]
    run("publish", "--pending")
    assert "of earlier runs" not in run("submit", spec).err
