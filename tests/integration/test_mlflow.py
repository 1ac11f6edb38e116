"""Runs to and from a real MLflow server, which the test starts on loopback, and a folder of MLflow runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.integration import neighbours
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine, locked, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SCRIPT = r"""
echo hello
for step in 1 2 3; do
    echo "{\"step\": $step, \"loss\": 0.$step, \"wall_time\": 17000000$step.5}"
done >/outputs/metrics.jsonl
echo '{"step": 4, "loss": NaN, "top+1": Infinity}' >>/outputs/metrics.jsonl
echo weights >/outputs/model.pt
echo odd >'/outputs/a b#%é=.txt'
"""
MORE = "params: {lr: 0.1, deep: {on: true}}\nlabels: {team: vision}\n"
LARGEST = 1.7976931348623157e308
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server with an empty database."""
    neighbours.needed()
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--host=127.0.0.1", f"--port={port}", f"--backend-store-uri=sqlite:///{folder}/runs.sqlite",
             f"--artifacts-destination={folder}/artifacts", "--workers=1")  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [neighbours.PYTHON.with_name("mlflow"), "server", *words], cwd=folder, stdout=log, stderr=log,
            env={"PATH": f"{neighbours.PYTHON.parent}:{os.environ['PATH']}", "HOME": str(folder), **QUIET},
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(url), f"MLflow; its log is {folder / 'log'}")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its workers; nothing of it is wanted
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.read() == b"OK")
    except OSError:  # nothing answers yet, or not in time
        return False


def seen(url: str, experiment: str) -> list[dict[str, Any]]:
    """The runs of an experiment as MLflow's own client sees them, with every point and every file."""
    code = """
import json, sys
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
def files(run, below=None):
    for one in client.list_artifacts(run, below):
        yield from files(run, one.path) if one.is_dir else [one.path]
found = []
for run in client.search_runs([client.get_experiment_by_name(sys.argv[2]).experiment_id]):
    name = run.info.run_id
    found.append({
        "id": name, "name": run.info.run_name, "status": run.info.status, "tags": run.data.tags,
        "start": run.info.start_time, "end": run.info.end_time, "params": run.data.params,
        "points": {key: [[one.step, one.timestamp, repr(one.value)] for one in client.get_metric_history(name, key)]
                   for key in run.data.metrics},
        "files": {path: Path(client.download_artifacts(name, path)).read_text() for path in files(name)},
    })
print(json.dumps(found))
"""
    done = subprocess.run([neighbours.PYTHON, "-c", code, url, experiment], capture_output=True, text=True, check=False,
                          env={**os.environ, **QUIET})  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def machine(small_image: str, make_machine: MakeMachine) -> Machine:
    return make_machine("file")


def test_a_run_appears_whole_and_once(server: str, machine: Machine) -> None:
    spec, spec_hash = locked(machine, SCRIPT, MORE)
    ran = machine.run("submit", spec, "--quiet", "--json", "--as", "Ada <ada@example.org>")
    assert ran.code == 0
    for new in (True, False):
        done = machine.run("export", spec_hash, "--as", "mlflow", "--to", server, "--experiment", "whole", "--json")
        assert (done.code, done.err) == (0, "" if new else done.err)
        assert done.json["new"] is new
    (run,) = seen(server, "whole")
    record = machine.record(ran.json)
    assert run["id"] == done.json["run_id"]
    assert (run["status"], run["name"]) == ("FINISHED", f"small-{spec_hash[:12]}")
    assert run["params"] == {"lr": "0.1", "deep.on": "true", "seed": "1"}
    assert run["tags"].items() >= {
        "executor.spec_hash": spec_hash, "executor.attempt": record.attempt, "executor.label.team": "vision",
        "mlflow.user": "Ada <ada@example.org>", "mlflow.source.git.commit": record.spec["code"],
    }.items()  # fmt: skip
    end = int(record.outcome.finished.timestamp() * 1000)
    assert (run["start"], run["end"]) == (int(record.outcome.started.timestamp() * 1000), end)
    points = dict(sorted(run["points"].items()))
    assert points.pop("loss") == [[1, 170000001500, "0.1"], [2, 170000002500, "0.2"], [3, 170000003500, "0.3"],
                                  [4, end, "nan"]]  # fmt: skip
    ((name, held),) = points.items()
    assert (name[:5], held) == ("top_1", [[4, end, repr(LARGEST)]])  # MLflow has no infinity
    files = run["files"]
    assert (files["outputs/model.pt"], files["log.txt"]) == ("weights\n", "hello\n")
    assert [text for path, text in files.items() if path.endswith("-a b__é=.txt")] == ["odd\n"]
    assert json.loads(files["record.json"])["attempt"] == record.attempt


def test_every_attempt_that_is_found_goes_there_and_none_comes_back(server: str, machine: Machine) -> None:
    spec, _ = locked(machine, "echo x >/outputs/a.pt\nexit 3\n")
    assert machine.run("submit", spec, "--quiet").code == 1
    assert machine.run("submit", spec, "--quiet", "--force").code == 1
    done = machine.run("export", "--find", "", "--as", "mlflow", "--to", server, "--json")
    assert [one["new"] for one in done.json] == [True, True]
    assert [run["status"] for run in seen(server, "small")] == ["FAILED", "FAILED"]
    brought = machine.run("import", "mlflow", server, "--experiment", "small", "--json").json
    assert (brought["new"], brought["ours"]) == ([], 2)


THEIRS = """
import sys
from mlflow import MlflowClient
from mlflow.entities import Metric
client = MlflowClient(sys.argv[1])
experiment = client.create_experiment("theirs")
for number in range(3):
    run = client.create_run(experiment, run_name=f"run-{number}", tags={"team": "x", "mlflow.user": "bob"}).info.run_id
    client.log_param(run, "lr", number / 10)
    client.log_batch(run, [Metric("acc", step / 10 + number, 1000 * step, step) for step in range(5)])
    client.log_batch(run, [Metric("bad", float("nan"), 7, 1)])
    client.log_text(run, "report", "deep/report.txt")
    if number < 2:
        client.set_terminated(run, "FAILED" if number else "FINISHED")
"""


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_runs_come_in_as_history(kind: str, machine: Machine, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    neighbours.needed()
    place = request.getfixturevalue("server") if kind == "server" else str(tmp_path / "mlruns")
    uri = place if kind == "server" else (tmp_path / "mlruns").as_uri()
    subprocess.run([neighbours.PYTHON, "-c", THEIRS, uri], check=True, capture_output=True, cwd=tmp_path,
                   env={**os.environ, **QUIET, "MLFLOW_ALLOW_FILE_STORE": "true"})  # fmt: skip
    words = ("import", "mlflow", place, "--experiment", "theirs", "--as", "ada", "--json")
    first, again = machine.run(*words), machine.run(*words)
    assert (first.code, len(first.json["new"]), first.json["running"]) == (0, 2, 1), first
    assert (again.json["new"], again.json["known"]) == ([], 2)
    found = machine.run("import", "find", "acc >= 1 and params.lr == '0.1'", "--columns", "all", "--json").json
    (run,) = found["imported"]
    assert (run["name"], run["group"], run["ended"], run["submitter"], run["imported_by"]) == (
        "run-1", "theirs", "FAILED", "bob", "ada",
    )  # fmt: skip
    assert (run["metrics.acc"], run["metrics.bad"], run["tags.team"]) == (1.4, "NaN", "x")
    assert machine.run("find", "--json").json == {"total": 0, "runs": []}
    assert machine.run("claim", "acc=1.4").code == 2
    checked = machine.run("store", "check", "--json")
    assert checked.code == 0, checked
    copy = Machine(tmp_path, f"file:{tmp_path}/copy")
    assert machine.run("store", "copy", "--to", copy.url).code == 0
    assert copy.run("import", "find", "--json").json["total"] == 2


def test_a_server_that_is_away_is_said_so(machine: Machine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ran = machine.run("import", "mlflow", f"http://127.0.0.1:{free.getsockname()[1]}",
                          env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})  # fmt: skip
    assert ran.code == 6
    assert ran.err.endswith("→ check the address, and that an MLflow server answers there\n")
    assert "Traceback" not in ran.err
