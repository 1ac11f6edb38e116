"""Which results came again on which machines: from the records of every experiment that was repeated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from executor.errors import CorruptObject, NotFound
from executor.evidence.record import Record
from executor.evidence.reproduced import Crossing, Pair, crossing, pairs
from executor.spec.canonical import Digest
from executor.steps.finding.search import compared, meant
from executor.steps.history import read
from executor.store import columns
from executor.store.changes import Key
from executor.store.interface import Store
from executor.store.transfer import in_threads
from executor.store.view import View

MOST_READ = 2_000
"""Records that are read, the newest of them."""
MOST_PARTED = 100
"""Pairs that parted which are told one by one, the newest of them."""
_AT_ONCE = 16


@dataclass(frozen=True)
class Reproducibility:
    """What came of all repetitions."""

    crossing: Crossing
    pairs: int
    parted: tuple[Pair, ...]
    """Those that were not identical, the newest first, at most `MOST_PARTED`."""
    more: int
    """Further ones that parted."""
    left_out: int
    """Older attempts that were not read."""
    unreadable: int
    """Records that cannot be read."""


def repeated(view: View, now: datetime, where: str = "") -> tuple[list[Key], int]:
    """Attempts of experiments that succeeded more than once, the newest first, and how many older ones there are.

    Raises `QueryError` for an expression that cannot be read.
    """
    counting = columns.both(meant(view, where, now)[0], meant(view, "status == 'succeeded' and varied == null", now)[0])
    experiments = Counter(columns.chosen(view.column("experiment").texts(), counting))
    often = [experiment for experiment, number in experiments.items() if number > 1]
    mask = columns.both(counting, compared(view, "experiment", "in", often))
    newest = [(view.column("created").numbers(), "descending")]
    return view.keys(columns.leading(mask, newest, MOST_READ)), max(0, columns.total(mask) - MOST_READ)


def reproducibility(store: Store, keys: Sequence[Key], left_out: int = 0) -> Reproducibility:
    """What came of these attempts, whose records are read."""
    found = in_threads(lambda key: _read(store, key), keys, _AT_ONCE)
    records = [record for record in found if record]
    every = list(pairs(records))
    order = {(key.spec, key.attempt): at for at, key in enumerate(keys)}
    parted = sorted((pair for pair in every if pair.verdict != "identical"), key=lambda pair: order[pair.run])
    shown = in_threads(lambda pair: _diagnosed(store, pair), parted[:MOST_PARTED], _AT_ONCE)
    return Reproducibility(crossing(every), len(every), tuple(shown), len(parted) - len(shown), left_out,
                           len(found) - len(records))  # fmt: skip


def _read(store: Store, key: Key) -> Record | None:
    try:
        return read(store, Digest(key.spec), key.attempt)
    except (CorruptObject, NotFound):
        return None


def _diagnosed(store: Store, pair: Pair) -> Pair:
    """The pair with what a diagnosis said in the place of what was suspected."""
    spec, attempt = pair.run
    data = store.diagnosis(Digest(spec), attempt)
    return pair.model_copy(update={"divergence": json.loads(data)}) if data else pair
