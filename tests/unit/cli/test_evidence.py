from __future__ import annotations

import pytest

from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
HASH = SPEC.hash.hex
OTHERS = Program(outputs={"model.pt": b"others", "metrics.jsonl": b'{"loss": 2}\n'})


@pytest.fixture
def damaged(wired: World) -> World:
    """A world with a run whose record is no record."""
    spec = a_spec(seed=99)
    record = wired.submit(spec).record
    wired.store.contents[f"{layout.attempt(spec.hash, record.attempt)}/record.json"] = b"{}"
    return wired


# predictions -------------------------------------------------------------------------------------------------------


def test_a_store_without_reruns_has_no_predictions(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    ran = run("predictions")
    assert (ran.code, ran.out, ran.err) == (0, "", "no rerun in memory: was predicted yet\n")
    assert run("predictions", "--json").json["predictions"] == []


def test_predictions_are_scored_against_what_came(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.rerun(SPEC)
    wired.program = OTHERS
    wired.rerun(SPEC)
    last = wired.rerun(SPEC).record
    found = run("predictions", "--json").json
    assert (found["total"], found["false_identical"]) == (3, 0)
    assert found["counts"] == {"different": {"different": 1}, "unknown": {"different": 1, "identical": 1}}
    row = next(one for one in found["predictions"] if one["attempt"] == last.attempt)
    assert (row["spec_hash"], row["rule"], row["predicted"], row["verdict"]) == (
        HASH, "history", "different", "different",
    )  # fmt: skip


def test_the_score_is_a_table_and_a_sentence(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.program = OTHERS
    wired.rerun(SPEC)
    wired.rerun(SPEC)
    lines = run("predictions").out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["PREDICTED", "TIMES", "PRECISION", "CAME", "OUT"], ["different", "1", "100%", "1", "different"],
    ]  # fmt: skip
    assert lines[2].split() == ["unknown", "1", "1", "different"]
    assert lines[3] == "50% unknown; false `identical`: 0"


def test_a_damaged_run_is_told_and_does_not_count(run: Run, damaged: World) -> None:
    damaged.submit(SPEC)
    damaged.rerun(SPEC)
    ran = run("predictions", "--json")
    assert (ran.code, ran.json["total"]) == (0, 1)
    assert "1 run could not be read and did not count" in ran.err


# matrix ------------------------------------------------------------------------------------------------------------


def test_the_matrix_has_every_attempt_of_an_experiment(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.rerun(SPEC)
    wired.program = OTHERS
    wired.rerun(SPEC)
    found = run("matrix", HASH[:8], "--json").json
    assert sum(cell["attempts"] for cell in found["cells"]) == 3
    assert len({cell["result"] for cell in found["cells"]}) == 2
    lines = run("matrix", HASH).out.splitlines()
    assert lines[0].startswith("experiment ")
    assert lines[1].split() == ["GPU", "CPU", "ISA", "THREADS", "DRIVER", "VARIED", "RESULT", "ATTEMPTS"]
    assert sorted(line.split()[-1] for line in lines[2:4]) == ["1", "2"]
    assert [line.split()[-1] for line in lines[2:4] if " = " in line] == ["2"], "the reference's result is marked"
    assert lines[-1] == found["sentence"]


def test_another_experiment_is_no_part_of_it(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.submit(a_spec(command=("false",)))
    found = run("matrix", HASH, "--json").json
    assert sum(cell["attempts"] for cell in found["cells"]) == 1


def test_without_a_success_there_is_no_matrix(run: Run, wired: World) -> None:
    wired.program = Program(code=1)
    wired.submit(SPEC)
    lost = run("matrix", HASH, "--json")
    assert (lost.code, lost.json["message"]) == (2, f"{HASH}: no attempt has succeeded")


def test_what_only_runs_yet_has_no_matrix(run: Run, wired: World) -> None:
    wired.store.put_log(SPEC.hash, "live", 0, b"hello\n")
    assert run("matrix", HASH, "--json").json["message"] == f"{HASH}: no attempt has ended"


# diff --------------------------------------------------------------------------------------------------------------


def test_equal_runs_of_two_specs_are_identical(run: Run, wired: World) -> None:
    one, other = wired.submit(SPEC).record, wired.submit(a_spec(seed=2)).record
    ran = run("diff", HASH, other.spec_hash.hex, "--json")
    assert (ran.code, ran.json["comparison"]["verdict"]) == (0, "identical")
    assert ran.json["spec"] == {"seed": [1, 2]}
    assert ran.json["a"] == {"spec_hash": HASH, "attempt": one.attempt, "name": "digits"}


def test_unequal_runs_are_code_4_and_say_why(run: Run, wired: World) -> None:
    one = wired.submit(SPEC).record
    wired.program = OTHERS
    other = wired.submit(a_spec(seed=2)).record
    ran = run("diff", HASH, other.spec_hash.hex)
    assert ran.code == 4
    lines = ran.out.splitlines()
    assert lines[:2] == [
        f"A  digits  {HASH[:12]}/{one.attempt}", f"B  digits  {other.spec_hash.hex[:12]}/{other.attempt}",
    ]  # fmt: skip
    assert "  spec        seed: 1 → 2" in lines
    assert "  metrics     loss: None → 2.0" in lines
    assert any("the specs differ: seed was 1 and is 2" in line for line in lines)


def test_attempts_of_one_spec_are_named_by_hash_and_attempt(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.program = OTHERS
    again = wired.rerun(SPEC).record
    ran = run("diff", HASH, f"{HASH[:8]}/{again.attempt}", "--json")
    assert (ran.code, ran.json["b"]["attempt"]) == (4, again.attempt)
    assert ran.json["divergence"]["file"] == "model.pt"
    assert ran.json["divergence"] == ran.json["comparison"]["divergence"]
    assert run("diff", HASH, HASH).code == 0, "a hash alone means its reference"


def test_a_run_that_never_succeeded_must_be_named_whole(run: Run, wired: World) -> None:
    wired.program = Program(code=1)
    failed = wired.submit(SPEC).record
    lost = run("diff", HASH, HASH, "--json")
    assert (lost.code, lost.json["message"]) == (2, f"{HASH}: no attempt has succeeded")
    assert lost.json["advice"] == f"name one that failed, as in {HASH}/{failed.attempt}"
    ran = run("diff", f"{HASH}/{failed.attempt}", f"{HASH}/{failed.attempt}", "--json")
    assert (ran.code, ran.json["comparison"]["verdict"]) == (4, "incomparable")


def test_an_attempt_that_is_not_there_is_not_found(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    lost = run("diff", HASH, f"{HASH}/nothing", "--json")
    assert (lost.code, lost.json["error"]) == (2, "NotFound")
