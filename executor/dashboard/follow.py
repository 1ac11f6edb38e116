"""Whatever is new of a run that is going on: its log from the store, the rest from its folder on this machine.

The folder is the program's to write: a file in it is opened name by name without following links, and no more than a
bounded part of it is read at a time.
"""

from __future__ import annotations

import codecs
import io
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from executor.dashboard.desk import Desk
from executor.dashboard.going import holder, space_of
from executor.dashboard.logs import shown
from executor.dashboard.templating import run_url
from executor.environment import gpu
from executor.evidence import metric_lines
from executor.evidence.series import Tally
from executor.evidence.trace import STRUCT, rows
from executor.spec.canonical import Digest
from executor.spec.globs import matches
from executor.steps.report import names, read
from executor.steps.workspace import Workspace
from executor.store.changes import Key

MOST_READ = 2 << 20
"""Bytes of one file that are read at a time; of what was written before, the end."""
MOST_POINTS = 400
"""Points of one series that are told at a time."""
MOST_SERIES, MOST_TRACES, MOST_NAMES = 60, 64, 1000
MOST_LINE = 64 << 10
"""Characters that are kept of a line that has no end yet."""
_ANY = re.compile(r".*", re.DOTALL)
_TRACE = re.compile(r"trace-[0-9.]+(?:-\d+)?\.bin")


@dataclass
class Tail:
    """The end of a file that grows."""

    path: str
    at: int = -1
    """Byte up to which it was read; -1 before the first look."""

    def lines(self, folder: Path) -> bytes:
        """Whole lines that are new."""
        with suppress(OSError), _opened(folder, self.path) as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - MOST_READ) if self.at < 0 or self.at > end else self.at
            file.seek(start)
            data = file.read(min(end - start, MOST_READ))
            whole = data[: data.rfind(b"\n") + 1]
            self.at = start + (len(whole) or len(data) // MOST_READ * MOST_READ)  # a line without an end is left out
            return whole
        return b""


def _opened(folder: Path, path: str) -> io.BufferedReader:
    """A regular file below a folder, no link followed on the way; raises `OSError` for anything else."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    *inner, name = path.split("/")
    parent = os.open(folder, flags | os.O_DIRECTORY)
    try:
        for one in inner:
            above, parent = parent, os.open(one, flags | os.O_DIRECTORY, dir_fd=parent)
            os.close(above)
        handle = os.open(name, flags, dir_fd=parent)
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


@dataclass
class Follower:
    """One look after the other at a run; each gives the events that are new, as a name and its data."""

    desk: Desk
    key: Key
    segment: int = 0
    """Log segments that were told."""
    tails: dict[str, Tail] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    """What was told last, of events that say how things are."""

    def __post_init__(self) -> None:
        self._decoder, self._rest = codecs.getincrementaldecoder("utf-8")("replace"), ""

    def look(self) -> Iterator[tuple[str, Any]]:
        """What is new; an event `end` is the last one."""
        store, spec = self.desk.store, Digest(self.key.spec)
        ended = [one for one in store.attempts(spec) if one >= self.key.attempt]
        space = space_of(self.desk.home, self.key.attempt)
        held = space is not None or ((one := holder(store, spec)) is not None and not one.process.ended())
        yield from self._log()
        if space:
            yield from self._inside(space)
        if self.key.attempt in ended:
            yield "end", {"url": run_url(*self.key), "text": "It has ended."}
        elif ended:
            yield "end", {"url": run_url(self.key.spec, ended[0]), "text": "It was lost; a later attempt has ended."}
        else:
            yield from self._changed("state", {"here": space is not None, "held": held})

    def _changed(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if self.said.get(name) != value:
            self.said[name] = value
            yield name, value

    def _log(self) -> Iterator[tuple[str, Any]]:
        for data in self.desk.store.log_segments(Digest(self.key.spec), self.key.attempt, self.segment):
            self.segment += 1
            whole, newline, self._rest = (self._rest + self._decoder.decode(data)).rpartition("\n")
            self._rest = self._rest[-MOST_LINE:]
            yield "log", {"lines": shown((whole + newline).encode()), "rest": shown(self._rest.encode()),
                          "next": self.segment}  # fmt: skip

    def _inside(self, space: Workspace) -> Iterator[tuple[str, Any]]:
        yield from self._changed("trace", self._steps(space))
        yield from self._changed("gpu", [asdict(one) for one in gpu.use()])
        points = self._points(space)
        if points:
            yield "metrics", points

    def _steps(self, space: Workspace) -> dict[str, Any]:
        """Optimizer steps of each process, and what the last row that was written says of the parameters."""
        found: dict[str, Any] = {}
        with suppress(OSError):
            for name in names(space.report, _TRACE, MOST_TRACES):
                with suppress(OSError), _opened(space.report, name) as file:
                    end = file.seek(0, os.SEEK_END) // STRUCT.size
                    file.seek(max(0, end - 1) * STRUCT.size)
                    last = rows(file.read(STRUCT.size))
                    process = name.removeprefix("trace-").removesuffix(".bin")
                    found[process] = (
                        {"steps": last[0].step + 1, "parameters": f"{last[0].parameters:016x}"} if last else {}
                    )
        return found

    def _points(self, space: Workspace) -> dict[str, list[tuple[int | None, float | None]]]:
        """Points that are new, by the name of their series; NaN and infinity are null."""
        found: dict[str, list[tuple[int | None, float | None]]] = {}
        for folder, path in self._files(space):
            lines = self.tails.setdefault(path, Tail(path)).lines(folder)
            for columns in metric_lines.columns(io.BytesIO(lines), Tally()):
                for name, column in columns.items():
                    steps = column.steps or [None] * len(column.values)
                    points = [(step, value if math.isfinite(value) else None)
                              for step, value in zip(steps, column.values, strict=True)]  # fmt: skip
                    found.setdefault(name, []).extend(points)
        return {name: _few(points) for name, points in list(found.items())[:MOST_SERIES]}

    def _files(self, space: Workspace) -> Iterator[tuple[Path, str]]:
        """Where numbers are written: by the spec's rule, and what was found in the log."""
        yield space.folder, space.printed.name
        rule = read(space.control / "spec.json").get("outputs", {}).get("metrics")
        if isinstance(rule, str):
            with suppress(OSError):
                top = [name for name in names(space.outputs, _ANY, MOST_NAMES) if matches(rule, name)]
                for path in top or [rule]:
                    yield space.outputs, path


def _few(points: list[Any]) -> list[Any]:
    """At most so many, evenly chosen, the last among them."""
    step = -(-len(points) // MOST_POINTS)
    return points[(len(points) - 1) % step :: step]
