"""From a sweep to its specs, in order, each once. Pure: no I/O.

A point is a spec whose parameters have the point's values; each has its own hash, so that finished ones are answered
from the store. The order is that of the file: the grid with its last parameter varying fastest, then the single points,
and each point with all of its seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from pydantic import ValidationError

from executor.errors import UsageError
from executor.spec.canonical import canonical_bytes
from executor.spec.complaints import Place
from executor.spec.freeze import thaw
from executor.spec.messages import dotted, problems
from executor.spec.model import Spec
from executor.spec.ranges import Axis, values
from executor.spec.sweep import MOST_SEED, PREFIX, Sweep, SweepFile

Values: TypeAlias = Mapping[str, Any]
"""Parameters by name, such as `params.lr`."""
MOST_POINTS = 10_000
"""Runs that a sweep may have unless more are asked for."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    values: Mapping[str, Any]
    """What each parameter that varies is, by its name such as `params.lr`, in the order of the file."""
    spec: Spec


class Points:
    """The points of one sweep of one spec; raises `SpecError` for parameters that the spec does not have."""

    def __init__(self, sweep: SweepFile, base: Spec) -> None:
        self.sweep, self.base, self._plain = sweep, base, base.model_dump()
        named = ((place, str(place[-1])) for place in sweep.asked.places())
        absent = [(place, problem) for place, name in named if (problem := _absent(base, name))]
        if absent:
            raise sweep.refused(absent)
        self.names = sweep.asked.names
        self.seeds = self._seeds()

    @property
    def count(self) -> int:
        """Runs that the sweep asks for, before combinations are left out and duplicates are made one."""
        asked = self.sweep.asked
        rows = asked.sampler.most if asked.sampler else _combinations(asked) + len(asked.points)
        return rows * len(self.seeds)

    def limit(self, most: int = MOST_POINTS) -> None:
        """Raise `UsageError` when there are more than `most` runs."""
        if self.count > most:
            raise UsageError(f"{self.sweep.path}: {self.count} runs, more than {most}",
                             advice=f"vary less, or allow them with --max {self.count}")  # fmt: skip

    def listed(self) -> tuple[Point, ...]:
        """Every point of grid and list, once.

        Raises `SpecError` where values make no spec, an exclusion excludes nothing, or everything is excluded.
        """
        found: dict[str, Point] = {}
        wrong: dict[Place, str] = {}
        for place, row in self._rows():
            try:
                for point in self._of(row):
                    found.setdefault(point.spec.hash.hex, point)
            except ValidationError as error:
                wrong.setdefault(place, _no_spec(error))
        if not (wrong or found):
            wrong["exclude",] = "excludes every point"
        if wrong:
            raise self.sweep.refused(wrong.items())
        return tuple(found.values())

    def of(self, row: Values) -> tuple[Point, ...]:
        """One point that a sampler chose, with each of its seeds; raises `SpecError` when its values make no spec."""
        try:
            return tuple(self._of(row))
        except ValidationError as error:
            raise self.sweep.refused([(("sampler", "space"), _no_spec(error))]) from None

    def _of(self, row: Values) -> Iterator[Point]:
        params = thaw(self.base.params)
        for name, value in row.items():
            *outer, last = _path(name)
            inner = params
            for step in outer:
                inner = inner[step]
            inner[last] = thaw(value)
        spec = Spec.model_validate(self._plain | {"params": params})
        shown = {name: _value(spec, name) for name in self.names}
        for seed in self.seeds:  # any seed makes a spec where one does: commands are judged with the widest
            yield Point(shown, spec.model_copy(update={"seed": seed}))

    def _seeds(self) -> tuple[int, ...]:
        asked, first = self.sweep.asked.seeds, self.base.seed
        if not isinstance(asked, int):
            return tuple(dict.fromkeys(asked)) or (first,)
        if first + asked - 1 > MOST_SEED:
            raise self.sweep.refused([(("seeds",), f"there are no {asked} seeds from {first} on; list them")])
        return tuple(range(first, first + asked))

    def _rows(self) -> Iterator[tuple[Place, Values]]:
        """The values of each point that is not excluded, and where they are given."""
        asked = self.sweep.asked
        single = ((("points", at), row) for at, row in enumerate(asked.points))
        excluded: dict[frozenset[str], dict[bytes, list[int]]] = {}  # by what they name: one look for each such set
        for at, wanted in enumerate(asked.exclude):
            excluded.setdefault(frozenset(wanted), {}).setdefault(canonical_bytes(wanted), []).append(at)
        idle = set(range(len(asked.exclude)))
        for place, row in itertools.chain(_combined(asked), single):
            hit = [at for names, known in excluded.items() for at in known.get(self._held(row, names), ())]
            idle.difference_update(hit)
            if not hit:
                yield place, row
        if idle:
            raise self.sweep.refused([(("exclude", at), "no point has these values") for at in sorted(idle)])

    def _held(self, row: Values, names: Iterable[str]) -> bytes:
        """What a point has under some names, type-exactly."""
        return canonical_bytes({name: row[name] if name in row else _value(self.base, name) for name in names})


def _no_spec(error: ValidationError) -> str:
    first = problems(error, Spec)[0]
    return f"makes no spec: {dotted(first.place)}: {first.message}"


def _combinations(asked: Sweep) -> int:
    if not (asked.grid or asked.zip):
        return 0 if asked.points else 1
    counts: list[int] = [axis.count for axis in asked.grid.values()]
    return prod(counts) * _together(asked.zip)


def _together(axes: Mapping[str, Axis]) -> int:
    """How many values parameters have that move together."""
    return next((axis.count for axis in axes.values()), 1)


def _combined(asked: Sweep) -> Iterator[tuple[Place, Values]]:
    """The grid, and what moves together as its last parameter; the spec itself when only seeds vary."""
    if not _combinations(asked):
        return
    place = "grid" if asked.grid else "zip"
    rows = zip(*(values(axis) for axis in asked.zip.values()), strict=True) if asked.zip else [()]
    for *combined, together in itertools.product(*(values(axis) for axis in asked.grid.values()), rows):
        yield (place,), dict(zip((*asked.grid, *asked.zip), (*combined, *together), strict=True))


def _path(name: str) -> list[str]:
    return name.removeprefix(PREFIX).split(".")


def _value(spec: Spec, name: str) -> Any:
    found: Any = spec.params
    for step in _path(name):
        found = found[step]
    return thaw(found)


def _absent(base: Spec, name: str) -> str:
    """Why a spec does not have a parameter; empty when it does."""
    found: Any = base.params
    for step in _path(name):
        if not isinstance(found, Mapping) or step not in found:
            known = ", ".join(f"`{key}`" for key in found) if isinstance(found, Mapping) and found else "none"
            return f"the spec has no such parameter: expected one of its `params` (there is {known})"
        found = found[step]
    return ""
