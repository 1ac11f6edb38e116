"""`python -m benchmarks.index`: the index at a million runs of a hundred names, beside other databases.

    python -m benchmarks.index [--runs 1000000] [--only ours,wide,narrow,duckdb] [--folder DIR]

Seconds are medians of seven calls with the files in the page cache; every call opens the index anew. Results go to
`benchmarks/results/index.json`; with `--only ours`, what is known of the others stays there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.databases import Duck, Narrow, Wide
from benchmarks.runs import START, batches, records
from executor.evidence.row import ROW_VERSION
from executor.steps.finding.indexing import Library
from executor.steps.finding.leaderboard import board
from executor.steps.finding.search import find
from executor.steps.home import Home
from executor.store import Store, open_store, snapshots
from executor.store.changes import START as FIRST
from executor.store.changes import announce
from executor.store.index import Index
from executor.store.server import Server
from executor.store.transfer import in_threads
from executor.store.view import Batch, View

RESULTS = Path(__file__).parent / "results" / "index.json"
TOGETHER, NEW, NAMES = 50_000, 1_000, 6_000
"""Runs that are added at a time; new runs that are taken in; names of runs that have many."""
NOW = START + timedelta(days=400)
UNTIL = f"{NOW:%Y%m%d%H}"
SHOWN = ("name", "status", "created", "metrics.accuracy", "metrics.loss")


def seconds(job: Callable[..., object], *words: object) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    job(*words)
    return time.perf_counter() - started


def median(job: Callable[[], object], calls: int = 7) -> float:
    """Median of several calls, after one that does not count."""
    return statistics.median([seconds(job) for _ in range(calls + 1)][1:])


def ours(index: Index) -> dict[str, Callable[[], object]]:
    """The questions by name, to our index."""

    def ask(question: Callable[[View], object]) -> Callable[[], object]:
        def asked() -> object:
            with index.view() as view:
                return question(view)

        return asked

    adam = "accuracy >= 0.9 and params.optimizer == 'adam'"
    good = "status == 'succeeded'"
    return {
        "find, newest 50, and count": ask(lambda view: find(view, adam, NOW, show=SHOWN)),
        "ls, newest 50": ask(lambda view: find(view, "", NOW, show=SHOWN)),
        "sort by a metric": ask(lambda view: find(view, "", NOW, sort="accuracy", show=SHOWN)),
        "sort by another metric": ask(lambda view: find(view, "", NOW, sort="number7", show=SHOWN)),
        "sort successes by a metric": ask(lambda view: find(view, good, NOW, sort="loss", ascending=True, show=SHOWN)),
        "best of each experiment": ask(lambda view: board(view, "accuracy", NOW, per="experiment")),
        "best, each spec once": ask(lambda view: board(view, "accuracy", NOW)),
        "find by a regular expression": ask(lambda view: find(view, "name ~ '^run-19'", NOW, show=SHOWN)),
        "find by four conditions": ask(lambda view: find(
            view, f"{good} and lr < 0.01 and rate3 > 0.2 and not number3 < 0.2", NOW, show=SHOWN)),
        "find a spec": ask(lambda view: find(view, "spec ~ '^abcd'", NOW, show=SHOWN)),
    }  # fmt: skip


def measured(runs: int, folder: Path, only: set[str]) -> dict[str, Any]:
    """Every database with the same runs."""
    makers: dict[str, Callable[[Path], Any]] = {"wide": Wide, "narrow": Narrow, "duckdb": Duck}
    found: dict[str, Any] = {}
    for name, make in makers.items():
        if name in only and (name != "duckdb" or importlib.util.find_spec("duckdb")):
            database = make(folder / name)
            load = sum(seconds(database.add, batch) for batch in batches(runs, TOGETHER)) + seconds(database.finish)
            found[name] = {"load_s": load}
            found[name] |= {question: median(job, 3) for question, job in database.questions().items()}
            found[name]["bytes"] = sum(one.stat().st_size for one in folder.glob(f"{name}*"))
            print(name, json.dumps(found[name]), flush=True)
    return found


def large(runs: int, folder: Path) -> tuple[Index, dict[str, float]]:
    """Our index with so many runs, and what it answers how fast."""
    index = Index(folder / "ours.sqlite", ROW_VERSION)
    load = sum(seconds(index.add, batch) for batch in batches(runs, TOGETHER))
    answers = {question: median(job) for question, job in ours(index).items()}
    return index, {"load_s": load, **answers, "bytes": index.path.stat().st_size}


def taken_in(index: Index, store: Store, number: int) -> dict[str, float]:
    """Seconds until so many runs that are new in the store are in the index, beside those that fetching them takes."""
    fresh = list(records((number + 1) * NEW))[number * NEW :]

    def put(run: Any) -> None:
        announce(store, run.spec_hash, run.attempt, NOW + timedelta(hours=number))
        store.put_record(run.spec_hash, run.attempt, run.to_json())

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(put, fresh))
    library = Library(store, index, print)
    index.put_note("cursor", f"{START:%Y%m%d/%H}")  # what was made up before is not in the store
    index.put_note("last", "")
    took = seconds(library.refresh)
    fetched = seconds(in_threads, lambda run: store.get_record(run.spec_hash, run.attempt), fresh, 16)
    return {"s": took, "fetching_alone_s": fetched, "times": took / fetched}


def many_names(names: int, runs: int, seed: int) -> Iterator[Batch]:
    """Runs of two hundred kinds, each with thirty names that no other kind has."""
    dice = random.Random(seed)
    every = next(batches(runs, runs, seed)).columns
    kept = {key: every[key] for key in (("spec", "text"), ("attempt", "text"), ("created", "int"))}
    kinds = [dice.randrange(names // 30) for _ in range(runs)]
    for kind in range(names // 30):
        values = pa.array([0.5 if one == kind else None for one in kinds], pa.float64())
        kept |= {(f"metrics.kind{kind}/{number}", "float"): values for number in range(30)}
    yield Batch(kept, [[] for _ in range(runs)])


def with_many_names(folder: Path, only: set[str]) -> dict[str, float]:
    """What runs with thousands of names cost: 20,000 to begin with, then 1,000 more."""
    makers: dict[str, Callable[[Path], Any]] = {"ours": lambda path: Index(path, ROW_VERSION), "duckdb": Duck}
    found = {}
    for name, make in makers.items():
        if name in only and (name != "duckdb" or importlib.util.find_spec("duckdb")):
            database = make(folder / f"names-{name}")
            first, more = next(many_names(NAMES, 20_000, 1)), next(many_names(NAMES, NEW, 2))
            found[f"{name}_first_20000_s"] = seconds(database.add, first)
            found[f"{name}_1000_more_s"] = seconds(database.add, more)
    return found


def runner(home: Path, url: str, variables: Mapping[str, str]) -> Callable[..., Callable[[], object]]:
    """Makes jobs of command lines, for a home and a store."""
    environment = {**os.environ, **variables, "EXECUTOR_HOME": str(home), "EXECUTOR_STORE": url}
    return lambda *words: lambda: subprocess.run(words, check=True, capture_output=True, env=environment)


def commands(folder: Path, index: Index) -> dict[str, float]:
    """Whole processes, on a store in a folder and an index of that many runs."""
    store = open_store(f"file:{folder / 'store'}", {})
    home = folder / "home"
    library = Library.of(store, Home(home), print)
    library.index.path.parent.mkdir(parents=True)
    shutil.copy(index.path, library.index.path)
    run, executor = runner(home, store.url, {}), (sys.executable, "-m", "executor")
    adam = "accuracy >= 0.9 and params.optimizer == 'adam'"
    words = {"ls": ("ls",), "find": ("find", adam), "sorted": ("ls", "--sort=-accuracy"),
             "best": ("best", "accuracy", "--where", "name ~ '^family'")}  # fmt: skip
    jobs = {
        "python_s": run(sys.executable, "-c", ""),
        "import_pyarrow_s": run(sys.executable, "-c", "import pyarrow.compute"),
        "help_s": run(*executor, "--help"),
        **{f"{name}_s": run(*executor, *asked) for name, asked in words.items()},
    }
    rounds = [{name: seconds(job) for name, job in jobs.items()} for _ in range(8)][1:]  # in turn
    return {name: statistics.median([one[name] for one in rounds]) for name in jobs}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--only", default="ours,wide,narrow,duckdb")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    only = set(given.only.split(","))
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        index, answers = large(given.runs, folder)
        print("ours", json.dumps(answers), flush=True)
        found: dict[str, Any] = {"runs": given.runs, "ours": answers}
        place = f"file:{folder / 'store'}"
        (folder / "store").mkdir()
        found["taking_in_1000_from_a_folder"] = taken_in(index, open_store(place, {}), 0)
        found["commands"] = commands(folder, index)
        server = Server(folder / "server")
        info = server.start()
        try:
            bucket = open_store(info.url, info.env)
            found["taking_in_1000_from_s3"] = taken_in(Index(index.path, ROW_VERSION), bucket, 1)
            listed = runner(folder / "home-s3", info.url, info.env)(sys.executable, "-m", "executor", "ls")
            found["commands"]["ls_of_1000_on_s3_s"] = median(listed)
            with index.view() as view:
                batch = view.batch(range(view.count))
            found["snapshot_write_s"] = seconds(snapshots.write, bucket, batch, FIRST, UNTIL, ROW_VERSION)
            del batch
            fresh = Library(bucket, Index(folder / "fresh.sqlite", ROW_VERSION), print)
            found["new_machine_from_snapshot_s"] = seconds(fresh.refresh)
        finally:
            server.stop()
        print(json.dumps(found), flush=True)
        if len(only) > 1:
            found["names"] = with_many_names(folder, only)
            found["others"] = measured(given.runs, folder, only)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**before, **_rounded(found)}, indent=1) + "\n")
    print(RESULTS.read_text())


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
