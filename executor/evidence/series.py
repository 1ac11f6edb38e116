"""Metric series: every value that a program reported, with its step and wall time. Pure: streams are given.

They are kept in one Parquet table: `name`, `step`, `wall_time` (seconds since 1970, null where none was given) and
`value`; the rows of a series stand in the order in which they were written. It is written and read a part at a time:
ten million points need no more memory than half a million.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeAlias

from pydantic import TypeAdapter

from executor.errors import CorruptObject
from executor.facts import Fact

HELD = 1 << 18
"""Points that are held before they are written."""
MOST_SERIES = 10_000
"""Series of one run; points of further ones are counted and left out."""
LONGEST_NAME = 512
"""Characters in the name of a series; points of a longer one are left out too."""
_NAMES = ("name", "step", "wall_time", "value")


class Series(Fact):
    """What is known of one series without reading it."""

    points: int
    final: float
    """The value that was written last."""
    last_step: int
    """Its step."""
    lowest: float | None = None
    """The smallest value; none when all are NaN."""
    lowest_step: int | None = None
    """Where it came first."""
    highest: float | None = None
    highest_step: int | None = None
    nans: int = 0
    """How many values are NaN."""


_SERIES, _FACTS = TypeAdapter(dict[str, Series]), b"executor"


@dataclass(frozen=True, slots=True)
class Column:
    """Points of one series, in the order in which they were written."""

    values: Sequence[float]
    steps: Sequence[int | None] | None = None
    """None, for all or for one, where points are counted."""
    times: Sequence[float] | None = None
    """Seconds since 1970; NaN where none was given."""


Columns: TypeAlias = dict[str, Column]
"""Points by the name of their series."""


@dataclass
class Tally:
    """What could not be kept of a run's points."""

    unreadable: int = 0
    """Lines and records that could not be read."""
    left_out: int = 0
    """Points whose series is one too many, or has too long a name."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points of one series that stand together in a table."""

    values: Sequence[float]
    steps: Sequence[int]
    times: Sequence[float] | None
    """Seconds since 1970, NaN where none was given; none when no point of this part of the table has one."""


@dataclass(slots=True)
class _Held:
    """A series while it is written: what is known of it, and its points that are not written yet."""

    points: int = 0
    final: float = 0.0
    last_step: int = 0
    lowest: float | None = None
    lowest_step: int | None = None
    highest: float | None = None
    highest_step: int | None = None
    nans: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))

    def take(self, column: Column) -> None:
        """Take points after those that are there."""
        values, many = column.values, len(column.values)
        steps: Sequence[int] = range(self.points, self.points + many)
        if isinstance(column.steps, array):  # the usual case: nothing to count
            steps = column.steps
        elif column.steps is not None:
            steps = [counted if step is None else step for counted, step in zip(steps, column.steps, strict=True)]
        self._judge(values, steps)
        self.points, self.final, self.last_step = self.points + many, values[-1], steps[-1]
        self.values.extend(values)
        self.steps.extend(steps)
        self.times.extend(array("d", (math.nan,)) * many if column.times is None else column.times)

    def _judge(self, values: Sequence[float], steps: Sequence[int]) -> None:
        if math.isnan(sum(values)):  # of a NaN, or of two infinities
            kept = [(value, step) for value, step in zip(values, steps, strict=True) if not math.isnan(value)]
            self.nans += len(values) - len(kept)
            values, steps = [value for value, _ in kept], [step for _, step in kept]
        if not values:
            return
        low, high = min(values), max(values)
        if self.lowest is None or low < self.lowest:
            self.lowest, self.lowest_step = low, steps[values.index(low)]
        if self.highest is None or high > self.highest:
            self.highest, self.highest_step = high, steps[values.index(high)]


class SeriesWriter:
    """Writes a table; use it as a context manager while points come."""

    def __init__(self, sink: BinaryIO, tally: Tally) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa, self._tally, self._held, self._waiting = pa, tally, dict[str, _Held](), 0
        kinds = (pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.float64(), pa.float64())
        self._schema = pa.schema(list(zip(_NAMES, kinds, strict=True)))
        self._file = pq.ParquetWriter(
            sink, self._schema, compression="zstd", use_dictionary=["name"],
            column_encoding={"step": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT",
                             "wall_time": "BYTE_STREAM_SPLIT"},
        )  # fmt: skip

    def __enter__(self) -> SeriesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
            self._file.add_key_value_metadata({_FACTS: _SERIES.dump_json(self.series)})
        self._file.close()

    @property
    def series(self) -> dict[str, Series]:
        """What is known of every series so far, by name."""
        return {
            name: Series(**{one: getattr(held, one) for one in Series.model_fields})
            for name, held in self._held.items()
        }

    def take(self, columns: Columns) -> None:
        """Take points of some series, after those that were taken before."""
        for name, column in columns.items():
            held = self._held.get(name)
            if held is None:
                if len(self._held) >= MOST_SERIES or len(name) > LONGEST_NAME:
                    self._tally.left_out += len(column.values)
                    continue
                held = self._held[name] = _Held()
            held.take(column)
            self._waiting += len(column.values)
        if self._waiting >= HELD:
            self._flush()

    def _flush(self) -> None:
        """Write what is held as one row group, series by series."""
        if not self._waiting:
            return
        import pyarrow.compute as pc

        pa, codes, steps, times, values = self._pa, array("i"), array("q"), array("d"), array("d")
        for code, held in enumerate(self._held.values()):
            codes.extend(array("i", (code,)) * len(held.values))
            steps.extend(held.steps)
            times.extend(held.times)
            values.extend(held.values)
            held.steps, held.times, held.values = array("q"), array("d"), array("d")

        def column(kind: Any, part: Any) -> Any:
            return pa.Array.from_buffers(kind, len(part), [None, pa.py_buffer(part)])

        names = pa.DictionaryArray.from_arrays(column(pa.int32(), codes), pa.array(list(self._held), pa.string()))
        timed = column(pa.float64(), times)
        timed = pc.if_else(pc.is_nan(timed), None, timed)
        columns = [names, column(pa.int64(), steps), timed, column(pa.float64(), values)]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._waiting = 0


def known(source: BinaryIO, key: str) -> dict[str, Series]:
    """What is known of every series of a table, without reading them; `key` says whose it is.

    Raises `CorruptObject` for anything that is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _SERIES.validate_json(pq.ParquetFile(source).metadata.metadata[_FACTS])
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise _corrupt(key, error) from error


def read(source: BinaryIO, key: str, only: str | None = None) -> Iterator[tuple[str, Stretch]]:
    """Every series of a table, or one, in stretches, as they stand there; `key` says whose it is.

    Raises `CorruptObject` for anything that is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source, read_dictionary=["name"])
        for group in range(file.num_row_groups):
            yield from _stretches(file.read_row_group(group, columns=list(_NAMES)), only)
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise _corrupt(key, error) from error


def _corrupt(key: str, error: Exception) -> CorruptObject:
    return CorruptObject(key, expected="a table of metric series", observed=type(error).__name__)


def _stretches(table: Any, only: str | None) -> Iterator[tuple[str, Stretch]]:
    """The rows of one row group, series by series."""
    import pyarrow.compute as pc

    names, steps, times, values = (column.combine_chunks() for column in table.columns)
    if names.null_count or steps.null_count or values.null_count:
        raise ValueError("a name, a step or a value is missing")
    timed = times.null_count < len(times)
    views = [_view(steps, "q"), _view(values, "d"), _view(pc.fill_null(times, math.nan), "d")]
    runs = pc.run_end_encode(names.indices)
    known, start = names.dictionary.to_pylist(), 0
    for end, code in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        if only in (None, known[code]):
            step, value, time = (view[start:end] for view in views)
            yield known[code], Stretch(value, step, time if timed else None)
        start = end


def _view(column: Any, kind: Literal["d", "q"]) -> Any:
    """The numbers of a column without nulls, where they lie."""
    return memoryview(column.buffers()[1]).cast(kind)[column.offset : column.offset + len(column)]
