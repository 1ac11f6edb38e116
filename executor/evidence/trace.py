"""The trace of a run: one row of digests for each optimizer step, and where two traces part. Pure: no I/O.

Rows come from the inside room as fixed structs, or from a program's own step lines, and are kept as one Parquet table.
Each row is chained to the one before, so the first row whose chain differs is found by bisection; its columns say what
differed first.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from executor.errors import CorruptObject

DIGESTS = ("inputs", "samples", "python", "numpy", "torch", "cuda", "gradients", "parameters", "state", "chain")
GENERATORS = ("python", "numpy", "torch", "cuda")
"""Columns of the random-number generators."""
SETTINGS = ("threads", "flags")
STRUCT = struct.Struct(f"<qHHI{len(DIGESTS)}Q")
"""A row as the inside room writes it; see `inside/trace.py`."""
VERSION = 1
"""Of what the digests are computed; traces of two versions are not compared."""
MOST_ROWS = 5_000_000
PROGRAM = "program"
"""Name of the process whose rows are a program's own step lines."""
_MASK = 2**64 - 1
Kind = Literal["init", "rng", "data", "gradient", "optimizer", "serialization", "output"]


class Row(NamedTuple):
    """One optimizer step; digests are 64 bits, 0 where nothing was observed."""

    step: int
    """0-based; -1 is the row of the parameters before the first step of an optimizer."""
    optimizer: int
    threads: int
    flags: int
    """Switches of torch as bits, in the order of `FLAGS`."""
    inputs: int = 0
    samples: int = 0
    """Sum over the samples of a batch: blind to their order."""
    python: int = 0
    numpy: int = 0
    torch: int = 0
    cuda: int = 0
    gradients: int = 0
    parameters: int = 0
    state: int = 0
    chain: int = 0


FLAGS = ("deterministic algorithms", "warn only", "cudnn.deterministic", "cudnn.benchmark", "mkldnn", "float32",
         "fill_uninitialized_memory", "cublas.tf32", "cudnn.tf32")  # fmt: skip


@dataclass(frozen=True)
class Process:
    """The trace of one process of a run."""

    name: str
    """Its place in the tree of processes, such as `0` or `0.2`."""
    rows: Sequence[Row]
    names: tuple[str, ...] = ()
    """Names of the parameters in the optimizer's order."""
    problem: str = ""
    """Why the trace ended early, when it did."""
    level: str = "steps"
    each: Mapping[int, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """By step: digests of every tensor, `gradients` and `parameters`, when the level was `tensors`."""


@dataclass(frozen=True)
class Trace:
    """The traces of all processes of a run."""

    processes: Mapping[str, Process]
    version: int = VERSION

    @property
    def steps(self) -> int:
        """Optimizer steps of the process that took most."""
        return max((sum(row.step >= 0 for row in one.rows) for one in self.processes.values()), default=0)


@dataclass(frozen=True)
class Parting:
    """Where two traces part."""

    process: str
    step: int
    kind: Kind
    column: str
    """The first column that differs."""
    numeric: int = 0
    """The step whose row is the first with other numbers; later than `step` when a setting changed first."""
    tensor: str | None = None
    order: bool = False
    """The same samples came in another order."""
    settings: tuple[str, ...] = ()
    """Settings that differ from this step on, such as `threads: 1 → 2`."""
    reason: str = ""


def rows(data: bytes) -> list[Row]:
    """Read what the inside room wrote; a last row that is not whole is left out."""
    whole = len(data) // STRUCT.size * STRUCT.size
    return [Row._make(one) for one in STRUCT.iter_unpack(data[: min(whole, MOST_ROWS * STRUCT.size)])]


def own_lines(lines: Iterable[bytes]) -> list[Row]:
    """A program's own step lines: JSON objects with `step` and whatever tells the steps of two runs apart.

    `inputs`, `gradients` and `state` go to their columns, `rng` to the generators; everything else is `parameters`.
    Lines that are no such object are left out.
    """
    found, chain = list[Row](), 0
    for line in lines:
        try:
            entry = json.loads(line)
            step = int(entry.pop("step"))
            known = {column: _short(entry.pop(name)) for name, column in
                     (("inputs", "inputs"), ("rng", "python"), ("gradients", "gradients"), ("state", "state"))
                     if name in entry}  # fmt: skip
            row = Row(step & (2**62 - 1), 0, 0, 0, **known, parameters=_short(entry))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue
        chain = int.from_bytes(sha256(STRUCT.pack(*row[:-1], chain)).digest()[:8], "little")
        found.append(row._replace(chain=chain))
    return found


def _short(value: Any) -> int:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def to_parquet(trace: Trace) -> bytes:
    """The trace as one Parquet table: a row for each step, names and problems of processes in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in ("process", *Row._fields, "each_gradient", "each_parameter")}
    for process in trace.processes.values():
        for row in process.rows:
            each = process.each.get(row.step, {})
            values = (process.name, *row, each.get("gradients"), each.get("parameters"))
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    wide = pa.list_(pa.uint64())
    kinds = [pa.string(), pa.int64(), pa.uint16(), pa.uint16(), pa.uint32(), *[pa.uint64()] * len(DIGESTS), wide, wide]
    about = [{"name": p.name, "names": p.names, "problem": p.problem, "level": p.level}
             for p in trace.processes.values()]  # fmt: skip
    schema = pa.schema(
        list(zip(columns, kinds, strict=True)), metadata={"executor": json.dumps(about), "version": str(trace.version)}
    )
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, key: str) -> Trace:
    """Read a stored trace; `key` says whose it is. Raises `CorruptObject` for anything that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        about = json.loads(table.schema.metadata[b"executor"])
        columns = [table.column(name).to_pylist() for name in ("process", *Row._fields)]
        each = [table.column(name).to_pylist() for name in ("each_gradient", "each_parameter")]
        return replace(_read(about, columns, each), version=int(table.schema.metadata.get(b"version", VERSION)))
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, RecursionError, struct.error) as error:
        raise CorruptObject(key, expected="a trace", observed=type(error).__name__) from error


def _read(about: Any, columns: list[list[Any]], each: list[list[Any]]) -> Trace:
    found: dict[str, list[Row]] = {one["name"]: [] for one in about}
    tensors: dict[str, dict[int, dict[str, list[int]]]] = {one["name"]: {} for one in about}
    for name, *values, gradients, parameters in zip(*columns, *each, strict=True):
        STRUCT.pack(*values)  # raises for what is no row
        found[name].append(Row._make(values))
        if gradients is not None:
            tensors[name][values[0]] = {"gradients": gradients, "parameters": parameters}
    return Trace({one["name"]: Process(one["name"], found[one["name"]], tuple(one["names"]), one["problem"],
                                       one["level"], tensors[one["name"]]) for one in about})  # fmt: skip


def part(reference: Trace, observed: Trace) -> Parting | None:
    """The earliest step at which a process of both differs; none when all that both have is equal."""
    if reference.version != observed.version:
        return None
    partings = []
    for name in sorted(reference.processes.keys() | observed.processes.keys()):
        one, other = reference.processes.get(name), observed.processes.get(name)
        if one is None or other is None:
            which = "this run" if one is None else "the reference"
            partings.append(Parting(name, 0, "output", "process", reason=f"only {which} has a process {name}"))
        elif found := _part(one, other):
            partings.append(found)
    return min(partings, key=lambda one: (one.column == "process", one.step), default=None)


def _part(one: Process, other: Process) -> Parting | None:
    at = _first(one.rows, other.rows)
    if at == len(one.rows) == len(other.rows):
        return None
    if at == min(len(one.rows), len(other.rows)):
        taken = [sum(row.step >= 0 for row in process.rows) for process in (one, other)]
        if one.problem + other.problem != "":
            return None
        return Parting(one.name, min(taken), "output", "step",
                       reason=f"the reference took {taken[0]} steps, this run {taken[1]}")  # fmt: skip
    before, after = one.rows[at], other.rows[at]
    settings = _settings(before, after)
    both = list(zip(one.rows[at:], other.rows[at:], strict=False))
    numbers = next((pair for pair in both if _column(*pair)), both[0])
    changed = next((name for name in SETTINGS if getattr(before, name) != getattr(after, name)), SETTINGS[0])
    column = _column(*numbers) or changed
    step, kind = numbers[0].step, _kind(numbers[0], column)
    return Parting(
        one.name, max(before.step, 0), kind, column, max(step, 0),
        tensor=_tensor(one, other, step, kind),
        order=kind == "data" and _reordered(one.rows, other.rows, at + both.index(numbers)),
        settings=settings,
    )  # fmt: skip


def _first(one: Sequence[Row], other: Sequence[Row]) -> int:
    """Index of the first row whose chain differs: chains agree up to it and never after."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high) // 2
        if one[middle].chain == other[middle].chain:
            low = middle + 1
        else:
            high = middle
    return low


ORDER = (*GENERATORS, "inputs", "samples", "gradients", "parameters", "state", "step", "optimizer")
"""Columns by what comes first within a step."""


def _column(before: Row, after: Row) -> str:
    """The first column of numbers that differs; empty when only settings do."""
    return next((name for name in ORDER if getattr(before, name) != getattr(after, name)), "")


def _kind(row: Row, column: str) -> Kind:
    if row.step < 0:
        return "init"
    if column in GENERATORS:
        return "rng"
    kinds: dict[str, Kind] = {
        "inputs": "data",
        "samples": "data",
        "gradients": "gradient",
        "threads": "gradient",
        "flags": "gradient",
    }
    return kinds.get(column, "optimizer")


def _settings(before: Row, after: Row) -> tuple[str, ...]:
    said = [f"threads: {before.threads} → {after.threads}"] if before.threads != after.threads else []
    for at, name in enumerate(FLAGS):
        old, new = before.flags >> at & 1, after.flags >> at & 1
        if old != new:
            said.append(f"{name}: {bool(old)} → {bool(new)}")
    return tuple(said)


def _reordered(one: Sequence[Row], other: Sequence[Row], at: int) -> bool:
    """Whether the batch lies elsewhere in the other trace, or sums over samples meet again later."""
    if other[at].inputs in {row.inputs for row in one if row.inputs}:
        return True
    if not (one[at].samples and other[at].samples):
        return False
    sums = [list(accumulate((row.samples for row in rows[at:]), lambda a, b: (a + b) & _MASK)) for rows in (one, other)]
    return any(left == right for left, right in zip(*sums, strict=False))


def _tensor(one: Process, other: Process, step: int, kind: Kind) -> str | None:
    """Name of the first tensor that differs, when both traces have every tensor."""
    which = "gradients" if kind == "gradient" else "parameters"
    pairs = zip(one.each.get(step, {}).get(which, ()), other.each.get(step, {}).get(which, ()), strict=False)
    position = next((at for at, (left, right) in enumerate(pairs) if left != right), None)
    if position is None:
        return None
    return one.names[position] if position < len(one.names) else f"parameter {position}"
