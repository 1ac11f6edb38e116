"""Which runs an expression is true of, in which order: the index of a store answers `find`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from executor.errors import QueryError, UsageError
from executor.evidence.grammar import parse
from executor.evidence.query import And, Compare, Expression, Not, Op, holds
from executor.evidence.resolve import Resolver
from executor.evidence.row import FIELDS
from executor.steps.finding.indexing import ANNOUNCED
from executor.store import columns
from executor.store.columns import Mask, Parts
from executor.store.view import View

_HELD: Mapping[str, tuple[str, ...]] = {
    "int": ("number",), "float": ("number",), "text": ("text",), "json": ("flag", "list", "number"),
}  # fmt: skip
"""What may stand in a column of each kind."""


@dataclass(frozen=True)
class Found:
    """Runs that were asked for, as many as were wanted."""

    columns: tuple[str, ...]
    """Whole names of what is told of each."""
    rows: tuple[Mapping[str, Any], ...]
    """What each has under these names, beside `spec` and `attempt`; what it does not have is left out."""
    total: int
    """How many there are."""
    used: tuple[str, ...] = ()
    """Names that were asked about."""


def askable(view: View) -> dict[str, set[str]]:
    """Every name beside the `FIELDS` that these runs have, and what is held under it."""
    return {name: {held for kind in kinds for held in _HELD[kind]}
            for name, kinds in view.names.items() if name != ANNOUNCED and name not in FIELDS}  # fmt: skip


def resolver(view: View, now: datetime) -> Resolver:
    """Says what names mean for these runs."""
    return Resolver(askable(view), now)


def meant(view: View, text: str, now: datetime) -> tuple[Mask, tuple[str, ...]]:
    """The runs that an expression is true of, and the names in it; raises `QueryError`."""
    expression = resolver(view, now).expression(parse(text), text)
    names: dict[str, None] = {}
    return _mask(view, expression, text, names), tuple(names)


def _mask(view: View, expression: Expression, text: str, names: dict[str, None]) -> Mask:
    if isinstance(expression, Compare):
        names[expression.name] = None
        op, value = expression.op, expression.value
        try:
            return compared(view, expression.name, op, value)
        except ValueError as error:  # of a regular expression that Python reads and RE2 does not
            raise QueryError(text, expression.value_at, f"{error}: no look-around, no back-references") from error
    if isinstance(expression, Not):
        return columns.opposite(_mask(view, expression.of, text, names))
    every, join = isinstance(expression, And), columns.both if isinstance(expression, And) else columns.either
    masks = (_mask(view, one, text, names) for one in expression.of)
    return reduce(join, masks, columns.every(view.lengths, value=every))


def compared(view: View, name: str, op: Op, value: Any) -> Mask:
    """The runs of which one comparison is true."""
    return view.column(name).compare(op, value, lambda found: holds(found, op, value))


def numbers_of(view: View, name: str) -> Parts:
    """What runs have as numbers under a whole name; raises `UsageError` when there are runs and none has one."""
    found = view.column(name).numbers()
    if view.count and not columns.total(columns.filled(found)):
        raise UsageError(f"{name} is no number", advice="`executor find --names` says what is one")
    return found


def find(
    view: View, text: str, now: datetime, *, sort: str = "", ascending: bool = False, limit: int = 50, skip: int = 0,
    show: Sequence[str] = (), also: Sequence[str] = (),
) -> Found:  # fmt: skip
    """The runs that an expression is true of, the newest first or in the order of what they have under `sort`.

    A run without a number there comes last, after those with NaN. `also` are expressions that must be true too, whose
    names are not told; the first `skip` runs are left out. Raises `QueryError`.
    """
    names = resolver(view, now)
    shown = tuple(names.name(name) for name in show)
    by = names.name(sort) if sort else ""
    mask, used = meant(view, text, now)
    mask = reduce(columns.both, (meant(view, one, now)[0] for one in also), mask)
    places = _ordered(view, mask, by, skip + limit, ascending=ascending)[skip:]
    used = tuple(dict.fromkeys((*used, *([by] if by else []))))
    return Found(shown, told(view, places, (*shown, *used)), columns.total(mask), used)


def told(view: View, places: Sequence[int], names: Iterable[str]) -> tuple[Mapping[str, Any], ...]:
    """What these runs have under these names, `spec` and `attempt` among them."""
    rows = view.values(places, dict.fromkeys(names))
    return tuple({**row, **key._asdict()} for row, key in zip(rows, view.keys(places), strict=True))


def _ordered(view: View, mask: Mask, by: str, limit: int, *, ascending: bool) -> list[int]:
    """Numbers first, then texts, then NaN, then runs that have nothing; among equals the newest first."""
    created = (view.column("created").numbers(), "descending")
    if not by:
        return columns.leading(mask, [created], limit)
    column, way = view.column(by), "ascending" if ascending else "descending"
    numbers, texts = column.numbers(), column.texts()
    nan, numeric = compared(view, by, "==", math.nan), columns.filled(numbers)
    groups: list[tuple[Mask, list[tuple[Parts, str]]]] = [
        (columns.both(numeric, columns.opposite(nan)), [(numbers, way), created]),
        (columns.both(columns.filled(texts), columns.opposite(numeric)), [(texts, way), created]),
        (nan, [created]),
        (columns.opposite(column.present), [created]),
    ]
    found: list[int] = []
    for group, keys in groups:
        if len(found) < limit:
            found += columns.leading(columns.both(mask, group), keys, limit - len(found))
    return found
