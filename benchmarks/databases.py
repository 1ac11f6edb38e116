"""Other ways to keep a million runs in a local database, asked the same questions as `executor.store.index`.

SQLite with a table as wide as there are names, SQLite with a row for each value, and DuckDB where it is there.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from executor.store.view import Batch

WANTED = ("metrics.accuracy", "params.optimizer", "metrics.loss", "status")
"""Names that the questions are about."""
Question = Callable[[], Any]


def rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    """The values of each run, in the order of the columns."""
    return zip(*(array.to_pylist() for array in batch.columns.values()), strict=True)


class Wide:
    """SQLite: a column for each name, an index on each name that is asked about."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.names: list[str] = []

    def add(self, batch: Batch) -> None:
        """Add runs."""
        if not self.names:
            self.names = [name for name, _ in batch.columns]
            self.database.execute(f"CREATE TABLE run (id INTEGER PRIMARY KEY, {', '.join(map(_quoted, self.names))})")
        marks = ", ".join("?" * len(self.names))
        with self.database:
            self.database.executemany(f"INSERT INTO run VALUES (NULL, {marks})", rows(batch))

    def finish(self) -> None:
        """Make the indexes."""
        for name in (*WANTED, "created"):
            self.database.execute(f"CREATE INDEX {_quoted('by ' + name)} ON run ({_quoted(name)})")
        self.database.execute("ANALYZE")

    def ask(self, sql: str) -> list[Any]:
        """All rows of an answer."""
        return self.database.execute(sql).fetchall()

    def questions(self) -> dict[str, Question]:
        """The questions by name."""
        show = ", ".join(map(_quoted, ("spec", "name", "created", *WANTED)))
        found = '"metrics.accuracy" >= 0.9 AND "params.optimizer" = \'adam\''
        return {name: partial(self.ask, sql) for name, sql in {
            "find, newest 50, and count": f"SELECT {show}, (SELECT count(*) FROM run WHERE {found}) FROM run "
                                          f"WHERE {found} ORDER BY created DESC LIMIT 50",
            "ls, newest 50": f"SELECT {show} FROM run ORDER BY created DESC LIMIT 50",
            "sort by a metric": f"SELECT {show} FROM run ORDER BY \"metrics.accuracy\" DESC LIMIT 50",
            "sort by another metric": f"SELECT {show} FROM run ORDER BY \"metrics.number7\" DESC LIMIT 50",
            "sort successes by a metric": f"SELECT {show} FROM run WHERE status = 'succeeded' "
                                          "ORDER BY \"metrics.loss\" LIMIT 50",
            "best of each experiment": "SELECT experiment, max(\"metrics.accuracy\"), attempt FROM run "
                                       "GROUP BY experiment ORDER BY 2 DESC LIMIT 10",
        }.items()}  # fmt: skip


class Narrow:
    """SQLite: a row for each value, clustered by name, so that a name lies together."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("CREATE TABLE value (name, run, value, PRIMARY KEY (name, run)) WITHOUT ROWID")
        self.ids: dict[str, int] = {}
        self.count = 0

    def add(self, batch: Batch) -> None:
        """Add runs, name by name."""
        with self.database:
            for (name, _), array in batch.columns.items():
                number = self.ids.setdefault(name, len(self.ids))
                values = ((number, self.count + at, b"" if value != value else value)
                          for at, value in enumerate(array.to_pylist()) if value is not None)  # fmt: skip
                self.database.executemany("INSERT INTO value VALUES (?, ?, ?)", values)
        self.count += len(batch.digests)

    def finish(self) -> None:
        """Nothing is left to do."""

    def ask(self, sql: str) -> list[Any]:
        """All rows of an answer."""
        return self.database.execute(sql).fetchall()

    def questions(self) -> dict[str, Question]:
        """The questions by name."""
        accuracy, optimizer, loss, status = (self.ids[name] for name in WANTED)
        created, other, experiment = (self.ids[name] for name in ("created", "metrics.number7", "experiment"))

        def has(name: int, text: str) -> str:
            return f"EXISTS (SELECT 1 FROM value w WHERE w.name = {name} AND w.run = v.run AND w.value = '{text}')"

        good = f"FROM value v WHERE name = {accuracy} AND value >= 0.9 AND value < '' AND {has(optimizer, 'adam')}"
        return {name: partial(self.ask, sql) for name, sql in {
            "find, newest 50, and count": f"SELECT run, (SELECT count(*) {good}) {good} ORDER BY run DESC LIMIT 50",
            "ls, newest 50": f"SELECT run FROM value WHERE name = {created} ORDER BY value DESC LIMIT 50",
            "sort by a metric": f"SELECT run FROM value WHERE name = {accuracy} ORDER BY value DESC LIMIT 50",
            "sort by another metric": f"SELECT run FROM value WHERE name = {other} ORDER BY value DESC LIMIT 50",
            "sort successes by a metric": f"SELECT run FROM value v WHERE name = {loss} AND {has(status, 'succeeded')} "
                                          "ORDER BY value LIMIT 50",
            "best of each experiment": f"SELECT e.value, max(v.value), v.run FROM value v JOIN value e "
                                       f"ON e.name = {experiment} AND e.run = v.run WHERE v.name = {accuracy} "
                                       "GROUP BY e.value ORDER BY 2 DESC LIMIT 10",
        }.items()}  # fmt: skip


class Duck:
    """DuckDB: a column for each name."""

    def __init__(self, path: Path) -> None:
        duckdb = importlib.import_module("duckdb")  # no dependency: install it beside the others to have it measured
        self.database = duckdb.connect(str(path))
        self.names: set[str] = set()

    def add(self, batch: Batch) -> None:
        """Add runs; names that are new become columns."""
        table = pa.table({name: array for (name, _), array in batch.columns.items()})
        self.database.register("fresh", table)
        if not self.names:
            self.database.execute("CREATE TABLE run AS SELECT * FROM fresh LIMIT 0")
        elif new := [name for name in table.column_names if name not in self.names]:
            self.database.execute("BEGIN")
            for name in new:
                kind = {"int64": "BIGINT", "double": "DOUBLE"}.get(str(table[name].type), "VARCHAR")
                self.database.execute(f"ALTER TABLE run ADD COLUMN {_quoted(name)} {kind}")
            self.database.execute("COMMIT")
        self.names.update(table.column_names)
        self.database.execute("INSERT INTO run BY NAME SELECT * FROM fresh")
        self.database.unregister("fresh")

    def finish(self) -> None:
        """Write everything to its file."""
        self.database.execute("CHECKPOINT")

    def questions(self) -> dict[str, Question]:
        """The questions by name, as of SQLite."""
        wide = Wide.__new__(Wide)
        wide.database = self.database
        found = wide.questions()
        sql = ("SELECT experiment, max(\"metrics.accuracy\"), arg_max(attempt, \"metrics.accuracy\") FROM run "
               "GROUP BY experiment ORDER BY 2 DESC LIMIT 10")  # fmt: skip
        return found | {"best of each experiment": partial(wide.ask, sql)}


def _quoted(name: str) -> str:
    return f'"{name}"'
