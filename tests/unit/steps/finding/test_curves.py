from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence

import pytest

from executor.errors import NotFound
from executor.evidence.record import Blob, Record
from executor.evidence.series import Column, SeriesWriter, Tally
from executor.facts import OutputFile
from executor.steps.finding import curves as module
from executor.steps.finding.curves import Curve, curves, table_of
from tests.fakes import MemoryStore
from tests.unit.evidence.samples import record


def ran(store: MemoryStore, times: Sequence[float] | None = None, **series: Sequence[float]) -> Record:
    sink = io.BytesIO()
    with SeriesWriter(sink, Tally()) as writer:
        writer.take({name: Column(values, None, times) for name, values in series.items()})
    data = sink.getvalue()
    return record(series=Blob(digest=store.put_bytes(data), size=len(data)),
                  metrics={name: values[-1] for name, values in series.items()})  # fmt: skip


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def points(curve: Curve) -> list[tuple[float, float]]:
    return [(point.x, point.value) for point in curve.points]


def test_a_short_curve_is_whole(store: MemoryStore) -> None:
    (found,), problems = curves(store, [ran(store, loss=[3.0, 2.0, 1.0], other=[9.0])], "loss")
    assert points(found) == [(0, 3), (1, 2), (2, 1)]
    assert (found.run, found.total, problems) == (0, 3, [])


def test_a_run_without_the_metric_has_no_curve_and_is_no_problem(store: MemoryStore) -> None:
    found, problems = curves(store, [ran(store, a=[1.0]), ran(store, b=[1.0])], "b")
    assert ([one.run for one in found], problems) == ([1], [])


def test_a_long_curve_keeps_its_extremes(store: MemoryStore) -> None:
    values = [math.sin(at / 50) for at in range(20_000)]
    values[777], values[12_345] = 9.0, -9.0
    (found,), _ = curves(store, [ran(store, loss=values)], "loss")
    assert (len(found.points) <= module.MOST, found.total) == (True, 20_000)
    assert {(777, 9.0), (12_345, -9.0)} <= set(points(found))


def test_many_curves_have_fewer_points_each(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 400)
    run = ran(store, loss=[float(at % 7) for at in range(1000)])
    found, _ = curves(store, [run] * 4, "loss")
    assert all(len(one.points) <= 100 for one in found)


def test_wall_times_begin_with_each_run(store: MemoryStore) -> None:
    (found,), _ = curves(store, [ran(store, [1e9, 1e9 + 5], loss=[2.0, 1.0])], "loss", "wall_time")
    assert points(found) == [(0, 2), (5, 1)]
    assert curves(store, [ran(store, loss=[1.0])], "loss", "wall_time") == ([], [])


def test_a_curve_is_smoothed_before_it_is_thinned(store: MemoryStore) -> None:
    values = [float(at % 2) for at in range(10_000)]
    (found,), _ = curves(store, [ran(store, loss=values)], "loss", smooth=0.99)
    assert {round(value, 1) for _, value in points(found)[200:]} == {0.5}


def test_a_lost_table_is_told(store: MemoryStore) -> None:
    run = ran(store, loss=[1.0])
    store.contents.clear()
    assert curves(store, [run], "loss") == ([], [f"series of {'a' * 12}/{run.attempt}: the store lost them"])


def test_a_table_that_is_none_is_told(store: MemoryStore) -> None:
    run = record(series=Blob(digest=store.put_bytes(b"PAR1"), size=4), metrics={"loss": 1.0})
    _, (problem,) = curves(store, [run], "loss")
    assert "a table of metric series" in problem


def test_a_record_of_before_is_read_from_its_metrics_files(store: MemoryStore) -> None:
    lines = b"".join(json.dumps({"step": at, "loss": 1.0 / (at + 1)}).encode() + b"\n" for at in (0, 10))
    file = OutputFile(path="metrics.jsonl", digest=store.put_bytes(lines), size=len(lines), role="metrics")
    (found,), _ = curves(store, [record(file, metrics={"loss": 0.5})], "loss")
    assert [x for x, _ in points(found)] == [0, 10]
    with pytest.raises(NotFound, match="it left no series"):
        table_of(store, record())
