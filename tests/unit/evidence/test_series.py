from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import CorruptObject
from executor.evidence import series
from executor.evidence.series import Column, Columns, Series, SeriesWriter, Tally, known, read

NAN, INF = math.nan, math.inf
Rows = dict[str, list[tuple[int, float, float]]]


def written(*parts: Columns, tally: Tally | None = None) -> bytes:
    sink = io.BytesIO()
    with SeriesWriter(sink, tally or Tally()) as writer:
        for part in parts:
            writer.take(part)
    return sink.getvalue()


def facts(*parts: Columns) -> dict[str, Series]:
    return known(io.BytesIO(written(*parts)), "")


def rows(table: bytes, only: str | None = None) -> Rows:
    """Steps, times and values by series."""
    found: Rows = {}
    for name, one in read(io.BytesIO(table), "", only):
        times = one.times if one.times is not None else [NAN] * len(one.values)
        found.setdefault(name, []).extend(zip(one.steps, times, one.values, strict=True))
    return found


def test_what_is_written_is_read_again() -> None:
    table = written({"loss": Column([1.0, 0.5], [0, 10], [5.0, NAN])}, {"acc": Column([0.1], [3])})
    assert repr(rows(table)) == repr({"loss": [(0, 5.0, 1.0), (10, NAN, 0.5)], "acc": [(3, NAN, 0.1)]})


def test_nan_and_infinity_survive() -> None:
    table = written({"loss": Column([NAN, INF, -INF, -0.0], [0, 1, 2, 3])})
    assert repr([value for _, _, value in rows(table)["loss"]]) == "[nan, inf, -inf, -0.0]"


def test_points_without_a_step_are_counted() -> None:
    parts: list[Columns] = [{"a": Column([1.0, 2.0])}, {"a": Column([3.0, 4.0], [None, 9])}, {"a": Column([5.0])}]
    assert [step for step, _, _ in rows(written(*parts))["a"]] == [0, 1, 2, 9, 4]


def test_final_and_best_values_have_their_steps() -> None:
    parts: list[Columns] = [{"a": Column([3.0, 1.0, 1.0], [0, 5, 6])}, {"a": Column([7.0, 7.0, 2.0], [8, 9, 9])}]
    assert facts(*parts)["a"] == Series(
        points=6, final=2.0, last_step=9, lowest=1.0, lowest_step=5, highest=7.0, highest_step=8, nans=0
    )


def test_nan_is_counted_and_is_neither_lowest_nor_highest() -> None:
    found = facts({"a": Column([NAN, 2.0, NAN, 1.0, NAN], [0, 1, 2, 3, 4])})["a"]
    assert (found.lowest, found.lowest_step, found.highest, found.highest_step, found.nans) == (1.0, 3, 2.0, 1, 3)
    assert math.isnan(found.final)
    nothing = facts({"a": Column([NAN])})["a"]
    assert (nothing.lowest, nothing.highest, nothing.nans) == (None, None, 1)


def test_both_infinities_are_values() -> None:
    found = facts({"a": Column([INF, 1.0, -INF], [4, 5, 6])})["a"]
    assert (found.lowest, found.lowest_step, found.highest, found.highest_step, found.nans) == (-INF, 6, INF, 4, 0)


def test_a_series_is_read_alone() -> None:
    table = written({"a": Column([1.0]), "b": Column([2.0, 3.0])}, {"a": Column([4.0])})
    assert [value for _, _, value in rows(table, "b")["b"]] == [2.0, 3.0]
    assert rows(table, "c") == {}


def test_series_and_points_beyond_the_limits_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_SERIES", 2)
    tally = Tally()
    table = written({"a": Column([1.0]), "b" * 513: Column([1.0]), "c": Column([2.0]), "d": Column([3.0, 4.0])},
                    {"a": Column([5.0])}, tally=tally)  # fmt: skip
    assert (list(rows(table)), tally.left_out) == (["a", "c"], 3)


def test_a_table_without_points_is_one() -> None:
    assert (rows(written()), facts()) == ({}, {})


def test_points_are_written_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "HELD", 10)
    sink, sizes = io.BytesIO(), []
    with SeriesWriter(sink, Tally()) as writer:
        for at in range(100):
            writer.take({"a": Column([float(at)]), "b": Column([float(-at)])})
            sizes.append(sink.tell())
    assert len(set(sizes)) == 21  # after each tenth point, and none before
    found = rows(sink.getvalue())
    assert [value for _, _, value in found["a"]] == list(map(float, range(100)))
    assert [step for step, _, _ in found["b"]] == list(range(100))


@pytest.mark.parametrize("reader", [known, lambda source, key: list(read(source, key))])
def test_what_is_no_table_is_corrupt(reader: Any) -> None:
    whole = written({"a": Column([1.0])})
    for broken in (b"", b"PAR1", whole[:-10], whole[: len(whole) // 2] + b"\0" * 40 + whole[len(whole) // 2 + 40 :]):
        with pytest.raises(CorruptObject, match="expected a table of metric series"):
            reader(io.BytesIO(broken), "here")


def test_a_table_of_something_else_is_corrupt() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for columns in ({"x": [1]}, {"name": ["a"], "step": [1], "wall_time": [None], "value": [None]}):
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        with pytest.raises(CorruptObject):
            known(io.BytesIO(sink.getvalue()), "here")
        with pytest.raises(CorruptObject):
            list(read(io.BytesIO(sink.getvalue()), "here"))


NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, NAN, INF, -INF])
POINTS = st.lists(
    st.tuples(st.sampled_from("abc"), NUMBERS, st.none() | st.integers(-(2**63) + 1, 2**63 - 1)), max_size=60
)


def parts_of(points: list[tuple[str, float, int | None]], size: int) -> Iterator[Columns]:
    for start in range(0, len(points), size):
        columns: dict[str, tuple[list[float], list[int | None]]] = {}
        for name, value, step in points[start : start + size]:
            values, steps = columns.setdefault(name, ([], []))
            values.append(value)
            steps.append(step)
        yield {name: Column(*column) for name, column in columns.items()}


@settings(max_examples=60)
@given(POINTS, st.integers(1, 20), st.integers(1, 30))
def test_any_points_in_any_parts_come_back(points: list[tuple[str, float, int | None]], size: int, held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "HELD", held)
        table = written(*parts_of(points, size))
    wanted: dict[str, list[tuple[int, float]]] = {}
    for name, value, step in points:
        seen = wanted.setdefault(name, [])
        seen.append((len(seen) if step is None else step, value))
    found = {name: [(step, value) for step, _, value in one] for name, one in rows(table).items()}
    assert {name: repr(one) for name, one in found.items()} == {name: repr(one) for name, one in wanted.items()}
    for name, one in known(io.BytesIO(table), "").items():
        numbers = [value for _, value in wanted[name] if not math.isnan(value)]
        assert (one.points, one.nans) == (len(wanted[name]), len(wanted[name]) - len(numbers))
        assert (one.lowest, one.highest) == (min(numbers, default=None), max(numbers, default=None))
        assert repr((one.last_step, one.final)) == repr(wanted[name][-1])
        assert one.lowest is None or (one.lowest_step, one.lowest) in wanted[name]
