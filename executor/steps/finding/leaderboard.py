"""`best`: the leaderboard of a number over everybody's runs, and how far each place on it is to be trusted.

Only successes count in which nothing was varied on purpose. The index finds them; each number that is told was read
again from its record.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from executor.evidence.held import ABSENT, kept_apart
from executor.evidence.interval import Estimate, estimate
from executor.steps.finding.behind import confirm
from executor.steps.finding.search import compared, meant, numbers_of, resolver, told
from executor.store import columns
from executor.store.columns import Mask, Parts
from executor.store.interface import Store
from executor.store.view import View

Per = Literal["spec", "experiment", "config", "name"]
PER: tuple[Per, ...] = ("spec", "experiment", "config", "name")
"""What a line of a leaderboard can stand for."""
_SHOWN = ("name", "submitter", "host", "seed", "gpu", "created", "config", "experiment")
_MOST_PARAMETERS = 100
_COUNTS = "status == 'succeeded' and varied == null"


@dataclass(frozen=True)
class Place:
    """One line of the leaderboard: the best run of a group."""

    value: float
    run: Mapping[str, Any]
    """What is told of it, by name; `spec` and `attempt` among them."""
    runs: int
    """Runs of its group that have a value."""
    seeds: int
    """Different seeds among them."""
    over_seeds: Estimate
    """Mean over these seeds, each counted once with its best value."""
    verdicts: Mapping[str, int]
    """What comparisons of other attempts of its spec with the reference said, and how often."""


@dataclass(frozen=True)
class Board:
    """The leaderboard."""

    metric: str
    """Whole name of what is compared."""
    lowest: bool
    places: tuple[Place, ...]
    """The best first."""
    runs: int
    """How many runs were compared."""
    varying: tuple[str, ...]
    """Parameters in which its places differ, of the hundred that came first."""


def best(
    view: View, store: Store, metric: str, now: datetime, *, where: str = "", per: Per = "spec", lowest: bool = False,
    limit: int = 10,
) -> Board:  # fmt: skip
    """The best runs by a number, one for each group, each number read again from its record.

    Raises `QueryError`, `UsageError` for what is no number, `CorruptObject` for a record that is wrong, and `Damaged`
    for one that says something else than the index.
    """
    found = board(view, metric, now, where=where, per=per, lowest=lowest, limit=limit)
    confirm(store, [place.run for place in found.places], found.metric)
    return found


def board(
    view: View, metric: str, now: datetime, *, where: str = "", per: Per = "spec", lowest: bool = False, limit: int = 10
) -> Board:  # fmt: skip
    """The same as the index has it."""
    name = resolver(view, now).name(metric)
    mask = columns.both(meant(view, where, now)[0], meant(view, _COUNTS, now)[0])
    values = numbers_of(view, name)
    mask = columns.both(mask, columns.filled(values))
    mask = columns.both(mask, columns.opposite(compared(view, name, "==", math.nan)))
    total = columns.total(mask)
    keys = [(values, "ascending" if lowest else "descending"), (view.column("created").numbers(), "ascending")]
    leaders = _one_each(view, mask, keys, per, limit)
    parameters = [one for one in view.names if one.startswith("params.")][:_MOST_PARAMETERS]
    rows = told(view, leaders, (name, per, *_SHOWN, *parameters))
    members = _members(view, mask, values, per, [row[per] for row in rows])
    places = (_place(view, row, name, members[row[per]], lowest=lowest) for row in rows)
    varying = (one for one in parameters if len({kept_apart(row.get(one, ABSENT)) for row in rows}) > 1)
    return Board(name, lowest, tuple(places), total, tuple(varying))


def _one_each(view: View, mask: Mask, keys: Sequence[tuple[Parts, str]], per: Per, limit: int) -> list[int]:
    """The first run of each group, as many groups as are wanted."""
    asked = 4 * limit
    while True:
        found = columns.leading(mask, keys, asked)
        groups = view.values(found, [per])
        first = {group[per]: place for place, group in zip(reversed(found), reversed(groups), strict=True)}
        if len(first) >= limit or len(found) < asked:
            return sorted(first.values(), key=found.index)[:limit]
        asked *= 8


def _members(
    view: View, mask: Mask, values: Parts, per: Per, groups: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:  # fmt: skip
    """Seed and value of every run of these groups."""
    mask = columns.both(mask, compared(view, per, "in", groups))
    wanted = (view.column(per).texts(), view.column("seed").numbers(), values)
    found: dict[str, list[tuple[float, float]]] = {group: [] for group in groups}
    for group, seed, value in zip(*(columns.chosen(parts, mask) for parts in wanted), strict=True):
        found[group].append((seed, value))
    return found


def _place(
    view: View, row: Mapping[str, Any], name: str, members: Sequence[tuple[float, float]], *, lowest: bool
) -> Place:  # fmt: skip
    by_seed: dict[float, float] = {}
    for seed, value in members:
        by_seed[seed] = (min if lowest else max)(value, by_seed.get(seed, value))
    attempts = view.values(view.of_spec(row["spec"]), ["verdict"])
    return Place(
        value=float(row[name]), run=row, runs=len(members), seeds=len(by_seed),
        over_seeds=estimate([float(value) for value in by_seed.values()]),
        verdicts=Counter(one["verdict"] for one in attempts if "verdict" in one),
    )  # fmt: skip
