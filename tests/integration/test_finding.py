"""The index on real stores: a folder, and SeaweedFS over HTTP; several processes at one index, some of them killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.runs import START, records
from executor.evidence.grammar import parse
from executor.evidence.record import Record
from executor.evidence.row import row
from executor.steps.finding.indexing import Library
from executor.steps.home import Home
from executor.store import Store
from executor.store.changes import announce
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine
from tests.unit.evidence.meaning import matches

pytestmark = pytest.mark.s3

RUNS = list(records(240, seed=7))
ROWS = [row(run) for run in RUNS]
UPDATE = """
import sys
from pathlib import Path
from executor.steps.finding import indexing
from executor.steps.home import Home
from executor.store import open_store

indexing._TOGETHER = 20  # many small batches: the processes meet often
library = indexing.Library.of(open_store(sys.argv[1], {}), Home(Path(sys.argv[2])), print)
library.refresh()
print(library.ask(lambda view: view.count))
"""


def publish(store: Store, runs: Sequence[Record]) -> None:
    """As a publisher does: announced first, the record last."""

    def put(numbered: tuple[int, Record]) -> None:
        number, run = numbered
        announce(store, run.spec_hash, run.attempt, START + timedelta(hours=number))
        store.put_record(run.spec_hash, run.attempt, run.to_json())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, enumerate(runs)))


@pytest.fixture(params=["file", "s3"])
def machine(request: pytest.FixtureRequest, make_machine: MakeMachine) -> Machine:
    """A machine whose store has none of the runs yet."""
    return make_machine(request.param)


def expected(text: str, rows: Iterable[int] = range(len(ROWS))) -> set[str]:
    return {ROWS[at].attempt for at in rows if matches(parse(text), ROWS[at].values)}


QUESTIONS = (
    "metrics.accuracy >= 0.9 and params.optimizer == 'adam'",
    "status != 'succeeded' or metrics.loss == nan",
    "not params.amp == true and name ~ '^family-1' and seed in (1, 2, 3)",
)


def test_the_command_finds_what_the_records_say(machine: Machine) -> None:
    publish(machine.store, RUNS[:180])
    for text in QUESTIONS:
        found = machine.run("find", text, "--limit", 1000, "--json").json
        assert {one["attempt"] for one in found["runs"]} == expected(text, range(180))
        assert found["total"] == len(found["runs"])
    publish(machine.store, RUNS)
    for text in QUESTIONS:
        found = machine.run("find", text, "--limit", 1000, "--json").json
        assert {one["attempt"] for one in found["runs"]} == expected(text)


def test_the_best_a_claim_and_a_history_come_from_the_records(machine: Machine, tmp_path: Path) -> None:
    publish(machine.store, RUNS)
    good = [run for run in RUNS if run.status == "succeeded"]
    top = sorted({run.metrics["accuracy"] for run in good}, reverse=True)
    board = machine.run("best", "accuracy", "--limit", 3, "--json").json
    assert board["best"][0]["value"] == top[0]
    assert {one["value"] for one in board["best"]} <= set(top[:3])
    claim = f"accuracy={top[-1]:.6f}"
    assert top[-1] in [one["metrics.accuracy"] for one in machine.run("claim", claim, "--json").json["runs"]]
    assert machine.run("claim", "accuracy=7.25").code == 2
    number = next(number for number, run in enumerate(RUNS) if run.outputs and not run.rerun)
    weights = tmp_path / "weights.pt"
    weights.write_bytes(f"weights {number}".encode())  # what the run of that number left
    made = machine.run("history", weights, "--json").json["runs"]
    digest = RUNS[number].outputs[0].digest
    assert {one["attempt"] for one in made} == {run.attempt for run in RUNS if digest in run.blobs()}
    assert {one["path"] for one in made} == {"model.pt"}


def test_a_deleted_or_damaged_index_is_made_anew(machine: Machine) -> None:
    publish(machine.store, RUNS[:50])
    assert machine.run("find", "--json").json["total"] == 50
    (file,) = (machine.home / "index").glob("*.sqlite")
    file.write_bytes(b"damaged" * 1000)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    ran = machine.run("find", "--json")
    assert (ran.json["total"], "is made anew" in ran.err) == (50, True)
    file.unlink()
    assert machine.run("find", "--json").json["total"] == 50


def _update(machine: Machine) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", UPDATE, machine.url, str(machine.home)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_update_one_index_at_a_time_lose_and_double_nothing(make_machine: MakeMachine) -> None:
    machine = make_machine("file")
    publish(machine.store, RUNS)
    processes = [_update(machine) for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        assert out.splitlines()[-1] == "240"
    found = machine.run("find", "--limit", 1000, "--json").json
    assert sorted(one["attempt"] for one in found["runs"]) == sorted(run.attempt for run in RUNS)


def test_readers_see_whole_runs_while_others_write(make_machine: MakeMachine) -> None:
    machine = make_machine("file")
    publish(machine.store, RUNS)
    library = Library.of(machine.store, Home(machine.home), print)
    by_attempt = {one.attempt: one for one in ROWS}
    process, seen = _update(machine), set()
    while process.poll() is None:
        with library.index.view() as view:
            seen.add(view.count)
            for values in view.values(range(view.count), ["attempt", "params.lr", "metrics.accuracy"]):
                known = by_attempt[values["attempt"]].values
                assert values["params.lr"] == known["params.lr"]
                assert values.get("metrics.accuracy") == known.get("metrics.accuracy")
    assert process.communicate()[0].splitlines()[-1] == "240"
    assert max(seen) <= 240


def test_an_update_that_is_killed_at_any_time_is_gone_on_with(make_machine: MakeMachine) -> None:
    machine = make_machine("file")
    publish(machine.store, RUNS)
    library = Library.of(machine.store, Home(machine.home), print)
    for wanted in (1, 60, 140):
        process = _update(machine)
        while process.poll() is None:
            with library.index.view() as view:
                if view.count >= wanted:
                    break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with library.index.view() as view:
            assert view.count % 20 == 0  # whole batches
    assert machine.run("find", "--json").json["total"] == 240
