"""Every number that a run left, from its metrics files, its log and its event files, in one table of series."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from executor.evidence import metric_events, metric_lines
from executor.evidence.series import Columns, Series, SeriesWriter, Tally
from executor.facts import OutputFile

EVENTS = ".tfevents."
"""What the name of every event file has in it."""


@dataclass(frozen=True)
class Source:
    """Files that are one source of numbers."""

    label: str
    """What its series are called by when an earlier source has one of the same name."""
    prefix: str
    """What comes before each of its names."""
    paths: tuple[str, ...]
    read: Callable[[BinaryIO, Tally], Iterator[Columns]]


@dataclass(frozen=True)
class Gathered:
    """What there was to gather."""

    series: dict[str, Series]
    tally: Tally

    @property
    def final(self) -> dict[str, float]:
        """The last value of each series."""
        return {name: one.final for name, one in self.series.items()}

    @property
    def lowest(self) -> dict[str, float]:
        """The smallest value of each series that has one."""
        return {name: one.lowest for name, one in self.series.items() if one.lowest is not None}

    @property
    def highest(self) -> dict[str, float]:
        """The largest value, likewise."""
        return {name: one.highest for name, one in self.series.items() if one.highest is not None}


def gather_series(files: Sequence[OutputFile], folder: Path, target: Path) -> Gathered:
    """Write the series of a run's outputs, which lie in `folder`, to the table `target`; none when nothing has any."""
    tally, found = Tally(), [*sources(files)]
    if not found:
        return Gathered({}, tally)
    with target.open("wb") as sink, SeriesWriter(sink, tally) as writer:
        for source in found:
            taken = frozenset(writer.series)
            for path in source.paths:
                with (folder / path).open("rb") as stream:
                    for columns in source.read(stream, tally):
                        writer.take({_name(source, name, taken): column for name, column in columns.items()})
        return Gathered(writer.series, tally)


def sources(files: Sequence[OutputFile]) -> Iterator[Source]:
    """Metrics files, in their order, then event files, those of one folder together."""
    for file in files:
        if file.role == "metrics":
            yield Source(file.path, "", (file.path,), metric_lines.columns)
    folders: defaultdict[PurePosixPath, list[str]] = defaultdict(list)
    for path in map(PurePosixPath, sorted(file.path for file in files)):
        if EVENTS in path.name:
            folders[path.parent].append(str(path))
    root = os.path.commonpath(folders) if folders else ""
    for folder, paths in folders.items():
        inner = folder.relative_to(root)
        yield Source("events", f"{inner}/" if inner.name else "", tuple(paths), metric_events.columns)


def _name(source: Source, name: str, taken: frozenset[str]) -> str:
    name = source.prefix + name
    return f"{source.label}/{name}" if name in taken else name
