from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from executor.evidence.record import Record
from executor.spec.canonical import spec_hash
from executor.steps.exports import parquet, table
from tests.fakes import NOON
from tests.unit.evidence.samples import record
from tests.unit.sites import Program, World, a_spec


def with_params(number: int, **params: Any) -> Record:
    identity = {"seed": number, "params": params}
    return record(spec=identity, spec_hash=spec_hash(identity), attempt=f"a{number}", metrics={"loss": number / 2})


def test_columns_have_the_type_of_what_they_hold(tmp_path: Path) -> None:
    made = [with_params(1, lr=0.1, n=1, on=True, mixed=1, hidden=[1, 2]),
            with_params(2, lr=1, n=2, on=False, mixed="one")]  # fmt: skip
    parquet.write(table.of(made), tmp_path / "a.parquet")
    found = pq.read_table(tmp_path / "a.parquet")
    types = {name: found.schema.field(name).type for name in found.column_names}
    assert types["created"] == pa.timestamp("us", tz="UTC")
    assert found["created"].to_pylist() == [NOON, NOON]
    held = {name: (types[f"params.{name}"], found[f"params.{name}"].to_pylist()) for name in made[0].spec["params"]}
    assert held == {
        "lr": (pa.float64(), [0.1, 1.0]), "n": (pa.int64(), [1, 2]), "on": (pa.bool_(), [True, False]),
        "mixed": (pa.string(), ["1", "one"]), "hidden": (pa.string(), ["[1, 2]", None]),
    }  # fmt: skip


def test_a_table_of_nothing_is_a_file(tmp_path: Path) -> None:
    parquet.write(table.of([]), tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


LINES = b'{"step": 3, "loss": 0.5, "wall_time": 1}\n{"step": 4, "loss": NaN}\n{"step": 5, "acc": Infinity}\n'


@pytest.mark.parametrize("together", [1, 1 << 18])
def test_every_point_of_every_run_is_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(parquet, "_TOGETHER", together)
    made = []
    for seed, outputs in ((1, {"metrics.jsonl": LINES}), (2, {"model.pt": b"w"}), (3, {"metrics.jsonl": LINES})):
        world.program = Program(outputs=outputs)
        made.append(world.submit(a_spec(seed=seed)).record)
    target = tmp_path / "points.parquet"
    assert parquet.write_points(iter(made), world.store, target) == 6
    rows = pq.read_table(target).to_pylist()
    assert [row["spec"] for row in rows] == [made[0].spec_hash.hex] * 3 + [made[2].spec_hash.hex] * 3
    assert [row["attempt"] for row in rows[::3]] == [made[0].attempt, made[2].attempt]
    assert [(row["name"], row["step"]) for row in rows[:3]] == [("loss", 3), ("loss", 4), ("acc", 5)]
    assert [repr(row["value"]) for row in rows[:3]] == [repr(value) for value in (0.5, math.nan, math.inf)]
    assert pq.ParquetFile(target).num_row_groups == (4 if together == 1 else 1)
    assert [path.name for path in tmp_path.iterdir() if "parquet" in path.name] == ["points.parquet"]
