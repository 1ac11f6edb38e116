"""`python -m benchmarks.neighbours`: the same 100,000 runs in our index and in MLflow, asked the same questions.

    python3 -m venv .venv-neighbours
    .venv-neighbours/bin/pip install --require-hashes -r tests/neighbours.lock
    python -m benchmarks.neighbours [--runs 100000] [--python .venv-neighbours/bin/python] [--folder DIR]

MLflow keeps its runs in SQLite, filled directly, and is asked in its own process through its Python client, without a
server between; it always tells whole runs. Ours tells what is asked for: five names, and in `ours_whole` all hundred.
Both answer with the same 50 runs, in turn, five times; seconds are medians, and go to
`benchmarks/results/neighbours.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.index import NOW, SHOWN, TOGETHER, seconds
from benchmarks.runs import batches
from executor.evidence.row import FIELDS, ROW_VERSION
from executor.steps.finding.search import askable, find
from executor.store.index import Index
from executor.store.view import Batch, View

RESULTS = Path(__file__).parent / "results" / "neighbours.json"
ROUNDS, LIMIT = 5, 50
QUESTIONS = {  # by name: ours, how it is sorted; theirs, how it is ordered
    "newest 50": ("", "", "", "attributes.start_time DESC"),
    "find by a metric and a parameter": (
        "accuracy >= 0.9 and params.optimizer == 'adam'", "",
        "metrics.accuracy >= 0.9 and params.optimizer = 'adam'", "attributes.start_time DESC",
    ),
    "find by four conditions": (
        "status == 'succeeded' and number1 < 0.5 and number2 > 0.5 and params.kind1 == 'bb'", "",
        "attributes.status = 'FINISHED' and metrics.number1 < 0.5 and metrics.number2 > 0.5 and params.kind1 = 'bb'",
        "attributes.start_time DESC",
    ),
    "best 50 by a metric": ("", "accuracy", "", "metrics.accuracy DESC"),
}  # fmt: skip
_PREPARE = """
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(f"sqlite:///{sys.argv[1]}", sys.argv[2])
"""
_ASK = """
import json, sys, time
import mlflow
client = mlflow.MlflowClient(f"sqlite:///{sys.argv[1]}")
for line in sys.stdin:
    text, order = json.loads(line)
    started = time.perf_counter()
    found = client.search_runs(["0"], text, max_results=50, order_by=[order])
    told = [run.data.metrics["accuracy"] for run in found]
    print(json.dumps([time.perf_counter() - started, told]), flush=True)
"""
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflow:
    """MLflow's own store and client, in a process of its own."""

    def __init__(self, python: Path, folder: Path, runs: int) -> None:
        database = folder / "mlflow.db"
        self._run = [str(python), "-c"]
        subprocess.run([*self._run, _PREPARE, database, folder / "artifacts"], check=True, capture_output=True)
        self.load_s = seconds(_fill, database, runs)
        self.bytes = database.stat().st_size
        self._process = subprocess.Popen([*self._run, _ASK, str(database)], text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def ask(self, text: str, order: str) -> tuple[float, list[float]]:
        """Seconds until an answer was there, and the accuracy of the runs in it."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([text, order]), file=self._process.stdin)
        took, told = json.loads(self._process.stdout.readline())
        return took, told

    def end(self) -> None:
        """End its process."""
        self._process.communicate()


def _fill(path: Path, runs: int) -> None:
    """Write runs into the tables of MLflow."""
    database = sqlite3.connect(path)
    done = 0
    for batch in batches(runs, TOGETHER):
        ids = [f"{done + at:032x}" for at in range(len(batch.digests))]
        column = {name: array.to_pylist() for (name, _), array in batch.columns.items()}
        with database:
            database.executemany("INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, "
                                 "artifact_uri, experiment_id, source_type, user_id) "
                                 "VALUES (?, ?, ?, ?, ?, 'active', '', 0, 'LOCAL', ?)", _runs(ids, column))  # fmt: skip
            database.executemany("INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)", chain.from_iterable(
                zip(ids, [name.removeprefix("params.")] * len(ids), map(str, values), strict=True)
                for name, values in column.items() if name.startswith("params.")
            ))  # fmt: skip
            database.executemany("INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) "
                                 "VALUES (?, ?, ?, 0, 0, ?)", _metrics(ids, column))  # fmt: skip
        done += len(ids)
    database.execute("ANALYZE")
    database.close()


def _runs(ids: list[str], column: dict[str, list[Any]]) -> Iterator[tuple[Any, ...]]:
    fields = zip(ids, column["name"], column["status"], column["created"], column["submitter"], strict=True)
    for run, name, status, created, who in fields:
        yield run, name, _STATUS[status], created // 1000, created // 1000, who


def _metrics(ids: list[str], column: dict[str, list[Any]]) -> Iterator[tuple[Any, ...]]:
    for name, values in column.items():
        if name.startswith("metrics."):
            key = name.removeprefix("metrics.")
            for run, value in zip(ids, values, strict=True):
                yield run, key, 0.0 if math.isnan(value) else value, math.isnan(value)


def ours(index: Index, text: str, sort: str, *, whole: bool = False) -> tuple[float, list[float]]:
    """The same of our index."""

    def told(view: View) -> list[float]:
        show = (*FIELDS, *askable(view)) if whole else SHOWN
        return [row["metrics.accuracy"] for row in find(view, text, NOW, sort=sort, show=show, limit=LIMIT).rows]

    started = time.perf_counter()
    with index.view() as view:
        answer = told(view)
    return time.perf_counter() - started, answer


def compared(index: Index, mlflow: MLflow) -> dict[str, dict[str, float]]:
    """Every question to both, in turn; both must tell of the same runs."""
    found = {}
    for name, (text, sort, theirs, order) in QUESTIONS.items():
        rounds = [(ours(index, text, sort), ours(index, text, sort, whole=True), mlflow.ask(theirs, order))
                  for _ in range(ROUNDS + 1)][1:]  # fmt: skip
        if any(mine[1] != other[1] or whole[1] != other[1] for mine, whole, other in rounds):
            raise AssertionError(f"{name}: the answers differ")
        mine, whole, other = (statistics.median([one[side][0] for one in rounds]) for side in range(3))
        found[name] = {"ours_s": round(mine, 4), "ours_whole_s": round(whole, 4), "mlflow_s": round(other, 4),
                       "times": round(other / mine, 1), "times_whole": round(other / whole, 1)}  # fmt: skip
        print(name, json.dumps(found[name]), flush=True)
    return found


def _filled(index: Index, runs: int) -> float:
    made: list[Batch] = list(batches(runs, TOGETHER))
    return sum(seconds(index.add, batch) for batch in made)


def main() -> None:
    """Fill both, ask both, and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--python", type=Path, default=Path(".venv-neighbours/bin/python"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        index = Index(folder / "ours.sqlite", ROW_VERSION)
        load = _filled(index, given.runs)
        mlflow = MLflow(given.python, folder, given.runs)
        try:
            found = {"runs": given.runs, "ours_load_s": round(load, 1), "mlflow_load_s": round(mlflow.load_s, 1),
                     "ours_bytes": index.path.stat().st_size, "mlflow_bytes": mlflow.bytes,
                     "questions": compared(index, mlflow)}  # fmt: skip
        finally:
            mlflow.end()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
