from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.errors import CorruptObject, NotFound, QueryError
from executor.spec.canonical import Digest
from executor.steps.exports.imported import Imported, Imports, identity, keep, known, read, row
from executor.steps.finding.search import find
from executor.steps.home import Home
from executor.steps.keeping.documents import problem
from executor.store import layout
from tests.fakes import NOON, MemoryStore


def a_run(number: int = 0, **changes: Any) -> Imported:
    values: dict[str, Any] = {
        "source": "mlflow", "place": "http://mlflow", "experiment": "old", "run_id": f"r{number}", "name": "run",
        "status": "FINISHED", "user": "bob", "started": NOON, "finished": NOON + timedelta(seconds=2),
        "params": {"lr": "0.1"}, "metrics": {"acc": number / 10, "bad": math.nan}, "tags": {"team": "x"},
        "imported": NOON, "imported_by": "ada", "executor": "0",
    }  # fmt: skip
    return Imported(**values | changes)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_run_is_kept_once_and_read_as_it_was(store: MemoryStore, tmp_path: Path) -> None:
    run = a_run()
    keep(store, run, None)
    keep(store, a_run(name="changed since"), None)
    found = read(store, "mlflow", run.id)
    assert (found.name, found.params, math.isnan(found.metrics["bad"])) == ("run", {"lr": "0.1"}, True)
    assert (known(store, "mlflow"), known(store, "other")) == ({run.id}, set())
    with pytest.raises(NotFound):
        read(store, "mlflow", identity("mlflow", "http://mlflow", "r9"))


def test_nothing_of_it_lies_where_runs_of_ours_do(store: MemoryStore, tmp_path: Path) -> None:
    table = tmp_path / "t"
    table.write_bytes(b"points")
    digest = Digest.of(b"points")
    keep(store, a_run(series=digest), table)
    assert all(key.startswith("v1/imported/mlflow/") for key in store.contents)
    assert len(store.contents) == 2
    assert list(store.spec_hashes()) == []
    assert not any(layout.is_evidence(key) for key in store.contents)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"0.1", b"0.2"),
        lambda data: data[data.index(b'",') + 2 :],
        lambda data: b"{}",
        lambda data: a_run(1).to_json(),
    ],
)
def test_what_was_changed_is_found(store: MemoryStore, change: Any, tmp_path: Path) -> None:
    run = a_run()
    key = layout.imported("mlflow", run.id)
    store.contents[key] = change(run.to_json())
    with pytest.raises(CorruptObject):
        read(store, "mlflow", run.id)
    told: list[str] = []
    assert Imports.of(store, Home(tmp_path), told.append).ask(lambda view: view.count) == 0
    assert len(told) == 1
    assert "stored bytes are wrong" in told[0]


def test_a_check_of_the_store_looks_at_it(store: MemoryStore, tmp_path: Path) -> None:
    table = tmp_path / "t"
    table.write_bytes(b"points")
    keep(store, a_run(series=Digest.of(b"points")), table)
    for key, data in store.contents.items():
        assert problem(key, data) == ""
        assert problem(key, data.replace(b"o", b"0")) != ""


def test_runs_are_found_by_what_was_said_of_them(store: MemoryStore, tmp_path: Path) -> None:
    for number in range(3):
        keep(store, a_run(number), None)
    imports = Imports.of(store, Home(tmp_path), print)
    found = imports.ask(lambda view: find(view, "acc > 0.05 and source == 'mlflow'", NOON, sort="acc", show=("group",)))
    assert [one["metrics.acc"] for one in found.rows] == [0.2, 0.1]
    assert found.rows[0]["group"] == "old"
    keep(store, a_run(7), None)
    assert imports.ask(lambda view: view.count) == 4
    with pytest.raises(QueryError):
        imports.ask(lambda view: find(view, "nothing == 1", NOON))


def test_an_index_of_another_store_is_made_anew(store: MemoryStore, tmp_path: Path) -> None:
    keep(store, a_run(), None)
    imports = Imports.of(store, Home(tmp_path), print)
    assert imports.ask(lambda view: view.count) == 1
    store.contents.clear()
    assert imports.ask(lambda view: view.count) == 0
    imports.index.path.write_bytes(b"no index at all" * 100)
    assert imports.ask(lambda view: view.count) == 0


def test_a_row_has_what_is_known() -> None:
    values = row(a_run(started=None, user="", params={"a.b": "1"})).values
    assert {"started", "submitter", "runtime_s"} & values.keys() == set()
    assert (values["params.a.b"], values["ended"], values["tags.team"]) == ("1", "FINISHED", "x")
