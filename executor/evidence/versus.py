"""Runs side by side: every field of their records, and which of them differ. Pure: no I/O.

A field that a run does not have is a value of its own there, `ABSENT`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from executor.errors import UsageError
from executor.evidence.held import ABSENT, Held, is_number, kept_apart
from executor.evidence.record import Record
from executor.evidence.row import Value, flat, varied
from executor.facts import Fingerprint, GpuFacts

MOST_RUNS = 200
"""So many runs can be compared at a time."""
GROUPS: Mapping[str, str] = {
    "run": "Run",
    "params": "Parameters",
    "seed": "Seed",
    "code": "Code",
    "data": "Data",
    "image": "Image",
    "request": "Rest of the spec",
    "environment": "Environment",
    "packages": "Packages",
    "metrics": "Metrics",
    "outputs": "Outputs",
}
"""What fields belong to, in the order in which it is told, with its words for people."""
_SPEC_GROUPS = ("params", "seed", "code", "data", "image")
_MEASURED = ("run", "params", "metrics")
"""Groups in whose numbers a difference says something."""
_ENVIRONMENT = (
    *("host.hostname", "host.cpu_model", "host.cpu_caches", "host.isa", "host.architecture", "host.gpu_driver"),
    *("host.cuda_driver", "host.os", "host.kernel", "engine.name", "engine.version", "container.python"),
    *("container.glibc", "container.torch", "container.torch_cuda", "container.cudnn", "container.nccl"),
    *("container.cublas", "container.threads", "container.isa", "container.settings", "container.environment"),
)  # fmt: skip
"""Fields of the fingerprint that are told; what no two runs share, such as times and free disk, is left out."""
_PRIVATE = ("container.environment.CUDA_VISIBLE_DEVICES", "container.environment.NVIDIA_VISIBLE_DEVICES")
"""Serial numbers of GPUs."""


@dataclass(frozen=True)
class Delta:
    """How far a number is from that of the baseline."""

    absolute: float
    relative: float | None
    """As a share of the baseline's size; none where that is 0 or infinite."""

    @property
    def text(self) -> str:
        """For people, such as `+0.02, +2.2%`; empty for no distance."""
        share = f", {self.relative:+.1%}" if self.relative is not None and abs(self.relative) < 100 else ""
        return f"{self.absolute:+.4g}{share}" if self.absolute else ""


@dataclass(frozen=True)
class Row:
    """One field of all runs."""

    group: str
    """One of `GROUPS`."""
    name: str
    """Within its group, such as `lr`."""
    values: tuple[Held, ...]
    """One for each run, in their order."""

    @cached_property
    def differs(self) -> bool:
        """Whether two runs differ in it."""
        return len({kept_apart(value) for value in self.values}) > 1

    @property
    def full_name(self) -> str:
        """Such as `params.lr`."""
        return self.group if self.name == self.group else f"{self.group}.{self.name}"

    def deltas(self, baseline: int) -> tuple[Delta | None, ...]:
        """How far each run is from the one at `baseline`; none where one of the two has no number."""
        before = self.values[baseline]
        return tuple(delta(before, value) if self.group in _MEASURED and at != baseline else None
                     for at, value in enumerate(self.values))  # fmt: skip


@dataclass(frozen=True)
class Versus:
    """Some runs, and every field that one of them has."""

    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    """In the order of `GROUPS`, within a group as the first run that has it does."""

    @cached_property
    def differing(self) -> tuple[Row, ...]:
        """The fields in which two runs differ."""
        return tuple(row for row in self.rows if row.differs)

    @property
    def hidden(self) -> int:
        """How many fields are equal in all runs."""
        return len(self.rows) - len(self.differing)


def versus(records: Sequence[Record]) -> Versus:
    """Hold from 2 to `MOST_RUNS` runs against each other; `UsageError` for fewer or more."""
    if not 2 <= len(records) <= MOST_RUNS:
        raise UsageError(f"{len(records)} of 2 to {MOST_RUNS} runs to compare", advice="name other runs")
    columns = [{(group, name): value for group, name, value in fields(record)} for record in records]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [Row(*name, tuple(column.get(name, ABSENT) for column in columns)) for name in names]
    order = list(GROUPS)
    return Versus(tuple(records), tuple(sorted(rows, key=lambda row: order.index(row.group))))


def delta(before: Held, after: Held) -> Delta | None:
    """How far `after` is from `before`; none unless both are numbers, and their difference is one."""
    if not (is_number(before) and is_number(after)):
        return None
    try:
        absolute, size = float(after) - float(before), abs(float(before))  # type: ignore[arg-type]
    except OverflowError:  # whole numbers beyond the range of a double
        return None
    if math.isnan(absolute):
        return None
    return Delta(absolute, absolute / size if size and math.isfinite(size) else None)


def fields(record: Record) -> Iterator[tuple[str, str, Value]]:
    """Every field of a record that is compared: its group, its name there, and what it holds."""
    for group, name, value in _fields(record):
        if value not in (None, "", ()):
            yield group, name, list(value) if isinstance(value, tuple) else value


def _fields(record: Record) -> Iterator[tuple[str, str, Any]]:
    spec = record.spec
    yield from (("run", name, value) for name, value in _of_run(record))
    for group in _SPEC_GROUPS:
        yield from ((group, name.removeprefix(f"{group}."), value) for name, value in flat(group, spec[group]))
    yield "code", "repo", record.hints.repo
    rest = {name: value for name, value in spec.items() if name not in _SPEC_GROUPS}
    yield from (("request", name.removeprefix("."), value) for name, value in flat("", rest))
    yield from (("environment", name, value) for name, value in _environment(record.fingerprint))
    packages = record.fingerprint.container.distributions if record.fingerprint.container else {}
    yield from (("packages", name, version) for name, version in sorted(packages.items()))
    yield from (("metrics", name, value) for name, value in record.metrics.items())
    yield from (("outputs", path, str(file.digest)) for path, file in sorted(record.compared.items()))


def _of_run(record: Record) -> Iterator[tuple[str, Any]]:
    yield "name", record.hints.name
    yield "status", record.status
    yield "verdict", record.comparison.verdict if record.comparison else None
    yield "runtime_s", record.outcome.runtime_s
    yield "varied", varied(record)
    yield from flat("labels", record.hints.labels)


def _environment(fingerprint: Fingerprint) -> Iterator[tuple[str, Any]]:
    parts = fingerprint.model_dump(mode="json", exclude={"container": {"distributions", "torch_build", "probe"}})
    for path in _ENVIRONMENT:
        part, _, name = path.partition(".")
        found = flat(path, (parts[part] or {}).get(name))
        yield from ((full.partition(".")[2] if part == "container" else full, value)
                    for full, value in found if full not in _PRIVATE)  # fmt: skip
    inside = fingerprint.container
    yield "gpus", _named(inside.gpus if inside and inside.checked else fingerprint.host.gpus)


def _named(gpus: Sequence[GpuFacts]) -> str:
    """GPUs by what they are, such as `2 × NVIDIA A100`."""
    names = [gpu.name for gpu in gpus]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
