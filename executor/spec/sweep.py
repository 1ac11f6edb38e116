"""Sweep files: which values the parameters and the seed of one spec take, read as strictly as a spec. Pure: no I/O.

A file gives lists, ranges and single points, of which `points` makes specs, or a search space for a sampler.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isinf, prod
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError, model_validator

from executor.errors import Issue, SpecError
from executor.spec import file
from executor.spec.canonical import canonical_bytes
from executor.spec.complaints import Place, complaint, complaints, shown
from executor.spec.freeze import freeze
from executor.spec.messages import dotted, problems
from executor.spec.model import Request, Spec
from executor.spec.notation import decoded
from executor.spec.ranges import Listed, Range, axis, values
from executor.spec.scalars import Text
from executor.spec.sections import Frozen

PREFIX = "params."
"""What the name of every swept parameter begins with."""
MOST_SEED = 2**64 - 1
MOST_TRIALS = 100_000
_MOST_EXACT = 2**53
"""Largest whole number that a sampler, which computes in floats, tells from the next."""
_MOST_GRID = 100_000
"""Combinations that a sampler of grids keeps in memory."""


def _name(key: str) -> str:
    if key.startswith(PREFIX) and key != PREFIX:
        return key
    if key == "seed":
        raise complaint("seeds are given in `seeds`, beside the parameters")
    meant = f": did you mean `{PREFIX}{key}`?" if key and key != PREFIX else f" such as `{PREFIX}lr`"
    raise complaint(f"expected the name of a parameter{meant}")


def _list(value: object) -> object:
    if not isinstance(value, list) or not value:
        raise complaint(f"expected a list such as [{{params.lr: 0.1}}], found {shown(value)}")
    return tuple(value)


def _seeds(value: object) -> int | tuple[int, ...]:
    if type(value) is int:
        if value < 1:
            raise complaint(f"expected how many seeds, or a list of them, found {value}")
        return _few_seeds(value)
    if not isinstance(value, (list, Mapping)):
        raise complaint(f"expected how many seeds, a list of them or a range, found {shown(value)}")
    found = axis(value)
    _few_seeds(found.count)
    seeds = tuple(values(found))
    if wrong := [(at, seed) for at, seed in enumerate(seeds) if type(seed) is not int or not 0 <= seed <= MOST_SEED]:
        expected = "expected a whole number from 0 to 2**64-1"
        raise complaints([((at,), f"{expected}, found {shown(seed)}") for at, seed in wrong])
    return seeds


def _few_seeds(count: int) -> int:
    if count > MOST_TRIALS:
        raise complaint(f"expected at most {MOST_TRIALS} seeds, found {count}")
    return count


def _spec(value: object) -> Spec | str:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping):
        raise complaint(f"expected the path of a spec, or a spec written out, found {shown(value)}")
    return Spec.model_validate(value)


def _none(value: object) -> object:
    return None if value == "none" else value


def _one(value: object) -> object:
    if type(value) is not int or value != 1:
        raise complaint(f"expected 1, the version that this executor reads, found {shown(value)}")
    return value


_Optional = BeforeValidator(_none)
_Name: TypeAlias = Annotated[str, AfterValidator(_name)]
_Frozen = AfterValidator(MappingProxyType)
_Axes: TypeAlias = Annotated[Mapping[_Name, Annotated[Any, PlainValidator(axis)]], _Frozen]
_Space: TypeAlias = Annotated[
    Mapping[_Name, Annotated[Any, PlainValidator(partial(axis, open_ended=True))]], Field(min_length=1), _Frozen
]
_Values: TypeAlias = Annotated[Mapping[_Name, Annotated[Any, AfterValidator(freeze)]], Field(min_length=1), _Frozen]
_Rows: TypeAlias = Annotated[tuple[_Values, ...], BeforeValidator(_list)]


class Objective(Frozen):
    """What the best point of a sweep is the best at."""

    metric: Annotated[Text, Field(min_length=1)]
    """Name of a metric; its final value counts, and its mean where a point has several seeds."""
    direction: Literal["maximize", "minimize"]
    """Whether more of it is better, or less."""


class Sampler(Frozen):
    """Who chooses the points instead of a grid: each trial from what came of the earlier ones."""

    space: _Space
    """Parameters and what each is chosen from: a list, a range, or `{from, to}` for any number between the two."""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)]
    """How many points are tried."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    """Seed of the sampler: the same seed and the same results give the same points."""
    kind: Literal["tpe", "random", "grid"] = "tpe"
    """`tpe` learns which regions are good, `random` does not look, `grid` takes all combinations in random order."""
    batch: Annotated[int, Field(ge=1, le=1000)] = 1
    """Points that are chosen together, before the results of any of them are known."""

    @model_validator(mode="after")
    def _fits(self) -> Sampler:
        found: list[tuple[Place, str]] = []
        for name, one in self.space.items():
            if isinstance(one, Range) and one.whole and max(abs(one.low), abs(one.high)) > _MOST_EXACT:
                found.append((("space", name), f"a sampler has whole numbers of at most {_MOST_EXACT}"))
            if isinstance(one, Range) and isinf(float(one.high) - float(one.low)):
                found.append((("space", name), "the range is too wide to be computed with"))
            if one.count > MOST_TRIALS:
                found.append((("space", name), f"expected at most {MOST_TRIALS} values, found {one.count}"))
            if isinstance(one, Listed) and len({canonical_bytes(item) for item in one.items}) < one.count:
                found.append((("space", name), "a value is given twice"))
            if isinstance(one, Range) and not one.count and self.kind == "grid":
                found.append((("space", name), "a grid needs a list, or a range with `step` or `num`"))
        if not found and self.kind == "grid" and self.combinations > _MOST_GRID:
            found.append((("space",), f"a grid has at most {_MOST_GRID} combinations, found {self.combinations}"))
        if found:
            raise complaints(found)
        return self

    @property
    def combinations(self) -> int:
        """Combinations of all values; 0 when there are infinitely many."""
        return prod(one.count for one in self.space.values())

    @property
    def most(self) -> int:
        """Points that it will try: a grid ends with its last combination."""
        return min(self.trials, self.combinations) if self.kind == "grid" else self.trials


class Sweep(Frozen):
    """The file: a spec, and what varies in it."""

    version: Annotated[Literal[1], BeforeValidator(_one)]
    """Schema version of this file."""
    spec: Annotated[Spec | str, PlainValidator(_spec)]
    """Path of the spec or draft (relative to this file), or a spec written out."""
    grid: _Axes = Field(default_factory=dict, validate_default=True)
    """Parameters whose values are all combined; the last varies fastest."""
    zip: _Axes = Field(default_factory=dict, validate_default=True)
    """Parameters that move together: the first values of all, then the second ones. Each is combined with the grid."""
    points: _Rows = ()
    """Single points beside the grid; a parameter that one leaves out keeps the spec's value."""
    exclude: _Rows = ()
    """Combinations that are left out: those with all the values of one of these."""
    seeds: Annotated[int | tuple[int, ...], PlainValidator(_seeds)] = ()
    """Each point is run with each of these seeds, or with so many from the spec's seed on."""
    objective: Annotated[Objective | None, _Optional] = None
    """What the best point is the best at."""
    sampler: Annotated[Sampler | None, _Optional] = None
    """A sampler in place of grid and points."""

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        if found := list(self._contradictions()):
            raise complaints(found)
        return self

    def _contradictions(self) -> Iterator[tuple[Place, str]]:
        if self.sampler:
            for key in ("grid", "zip", "points", "exclude"):
                if getattr(self, key):
                    yield (key,), "a sampler chooses the points: give what it chooses from in `sampler.space`"
            if self.objective is None:
                yield ("sampler",), "a sampler needs to know what is better: add `objective: {metric, direction}`"
        elif not (self.grid or self.zip or self.points or self.seeds):
            yield (), "nothing varies: expected `grid`, `zip`, `points`, `seeds` or `sampler`"
        if twice := self.grid.keys() & self.zip.keys():
            yield from ((("zip", name), "given in `grid` already; leave one of them out") for name in sorted(twice))
        lengths = {name: one.count for name, one in self.zip.items()}
        first = next(iter(lengths), "")
        for name, many in lengths.items():
            if many != lengths[first]:
                yield ("zip", name), f"moves together with {first}, which has {lengths[first]} values, but has {many}"
        yield from self._nested()

    def _nested(self) -> Iterator[tuple[Place, str]]:
        names = self.names
        for place in self.places():
            if outer := [name for name in names if str(place[-1]).startswith(f"{name}.")]:
                yield place, f"lies inside {outer[0]}, which varies as a whole"

    def places(self) -> Iterator[Place]:
        """Where each parameter is named."""
        for key, rows in (("points", self.points), ("exclude", self.exclude)):
            yield from ((key, at, name) for at, row in enumerate(rows) for name in row)
        for key, axes in (("grid", self.grid), ("zip", self.zip)):
            yield from ((key, name) for name in axes)
        yield from (("sampler", "space", name) for name in (self.sampler.space if self.sampler else ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that vary, in the order of the file."""
        space = self.sampler.space if self.sampler else ()
        return tuple(dict.fromkeys([*self.grid, *self.zip, *(name for row in self.points for name in row), *space]))


@dataclass(frozen=True)
class SweepFile:
    """A sweep that was read, and where everything in it stands."""

    asked: Sweep
    path: str
    marks: Mapping[Place, tuple[int, int]]
    """Line and column of each place."""

    def refused(self, found: Iterable[tuple[Place, str]]) -> SpecError:
        """An error that says of each problem where it stands in the file."""
        issues = []
        for place, message in found:
            known = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.marks)
            issues.append(Issue(message, dotted(place), *self.marks[known]))
        return SpecError(file.shortened(issues), path=self.path)


def load_sweep(path: Path) -> SweepFile:
    """Read a sweep file; raises `SpecError` for one that cannot be read, and with every problem in it."""
    return parse_sweep(file.read_file(path, absent="docs/sweeps.md shows a sweep file"), str(path))


def parse_sweep(text: bytes, path: str) -> SweepFile:
    """Read a sweep; raises `SpecError` with every problem."""
    reader = file.Reader(decoded(text, path))
    plain = reader.read(cast("type[Request]", Sweep))
    if isinstance(plain, dict):
        _unknown(plain, reader)
    asked: Sweep | None = None
    try:
        asked = Sweep.model_validate(plain)
    except ValidationError as error:
        for problem in problems(error, Sweep):
            place = problem.place[:-1] if problem.place[-1:] == ("[key]",) else problem.place
            reader.complain(place, problem.message)
    if reader.issues or asked is None:
        raise SpecError(file.shortened(reader.issues), path=path)
    return SweepFile(asked, path, reader.marks)


def _unknown(plain: dict[str, Any], reader: file.Reader) -> None:
    """Complain about fields that a sweep does not have, and take them out."""
    known = ", ".join(f"`{name}`" for name in Sweep.model_fields)
    for key in [key for key in plain if key not in Sweep.model_fields]:
        reader.complain((key,), f"unknown field; a sweep has {known}")
        del plain[key]
