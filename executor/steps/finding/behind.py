"""What stands behind a number that somebody quotes, or behind a file that somebody has: the records say it, or nobody.

The index only says where to look. A record that does not say what the index says means that the index is to be made
anew; `Damaged` says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from executor.errors import CorruptObject, NotFound, UsageError
from executor.evidence.row import row
from executor.spec.canonical import Digest, unsealed
from executor.steps.finding.search import compared, resolver, told
from executor.store import columns
from executor.store.arrays import Damaged
from executor.store.interface import Store
from executor.store.transfer import in_threads
from executor.store.view import View

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.facts import OutputFile

_NUMBER = r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)"
_CLAIM = re.compile(rf"\s*(?P<name>[^\s=](?:[^=]*[^\s=:])?)\s*(?:==?|:)\s*{_NUMBER}\s*")
_AT_ONCE = 16
SHOWN = ("name", "status", "submitter", "host", "seed", "created", "verdict")
"""What is told of a run that stands behind something."""


@dataclass(frozen=True)
class Claim:
    """A number as it was written, and all that it can stand for: whatever rounds to it."""

    name: str
    """As written; a whole name once it is resolved."""
    number: Decimal
    """`91%` is 0.91."""
    half: Decimal
    """Half a unit of its last digit."""

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Read `accuracy=0.91`; raises `UsageError`."""
        match = _CLAIM.fullmatch(text)
        if match is None or len(match["number"]) > 60:
            raise UsageError(f"{text!r}: no number that is claimed", advice="write it as in accuracy=0.91")
        number = Decimal(match["number"])
        scale = -2 if match["percent"] else 0
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or abs(exponent) > 400 or abs(number.adjusted()) > 400:
            raise UsageError(f"{text!r}: no number that a metric can be", advice="write it as in accuracy=0.91")
        return cls(match["name"].replace("`", ""), number.scaleb(scale), Decimal(5).scaleb(exponent + scale - 1))

    @property
    def low(self) -> float:
        """Least value that can be meant."""
        return float(self.number - self.half)

    @property
    def high(self) -> float:
        """Greatest value that can be meant."""
        return float(self.number + self.half)


@dataclass(frozen=True)
class Standing:
    """Which runs stand behind a claim."""

    claim: Claim
    rows: tuple[Mapping[str, Any], ...]
    """Those that do: successes first, then the oldest first; each with its value under the claim's name."""
    total: int
    """How many there are."""
    near: tuple[float, ...]
    """When there is none: the nearest value below and the nearest above, as far as there are any."""


def behind(view: View, store: Store, text: str, now: datetime, limit: int = 20) -> Standing:
    """The runs that a quoted number can come from, read again from their records; raises `QueryError`, `UsageError`."""
    claim = Claim.parse(text)
    name = resolver(view, now).name(claim.name)
    claim = Claim(name, claim.number, claim.half)
    mask = columns.both(compared(view, name, ">=", claim.low), compared(view, name, "<=", claim.high))
    total = columns.total(mask)
    good = compared(view, "status", "==", "succeeded")
    created = [(view.column("created").numbers(), "ascending")]
    places = columns.leading(columns.both(mask, good), created, limit)
    places += columns.leading(columns.both(mask, columns.opposite(good)), created, limit - len(places))
    rows = told(view, places, (name, *SHOWN))
    confirm(store, rows, name)
    return Standing(claim, rows, total, () if total else _near(view, claim))


def _near(view: View, claim: Claim) -> tuple[float, ...]:
    numbers = view.column(claim.name).numbers()
    found: list[float] = []
    below, above = compared(view, claim.name, "<", claim.low), compared(view, claim.name, ">", claim.high)
    for mask, way in ((below, "descending"), (above, "ascending")):
        places = columns.leading(mask, [(numbers, way)], 1)
        found += [float(value[claim.name]) for value in view.values(places, [claim.name])]
    return tuple(found)


def _read(store: Store, spec: str, attempt: str) -> Record:
    """A record that the index knows of; raises `Damaged` when it is not there, `CorruptObject` when it is wrong."""
    from executor.steps.history import read  # records take a while to import: not every question reads one

    try:
        return read(store, Digest(spec), attempt)
    except NotFound as error:
        raise Damaged(error.message) from error


def recorded(store: Store, rows: Sequence[Mapping[str, Any]], tell: Callable[[str], None]) -> list[Record]:
    """The records of these runs; one that is wrong is told and left out. Raises `Damaged` when one is not there."""

    def look(one: Mapping[str, Any]) -> Record | None:
        try:
            return _read(store, one["spec"], one["attempt"])
        except CorruptObject as error:
            tell(error.message)
        return None

    return [record for record in in_threads(look, rows, _AT_ONCE) if record]


def confirm(store: Store, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Read the records of these runs again; raises `Damaged` when one has another value than its row, or is gone."""

    def look(one: Mapping[str, Any]) -> None:
        if _plainly(store, one, name):
            return
        found = row(_read(store, one["spec"], one["attempt"])).values.get(name)
        if found != one[name]:
            raise Damaged(f"{one['spec'][:12]}/{one['attempt']} has {name} {found}, not {one[name]}")

    in_threads(look, rows, _AT_ONCE)


def _plainly(store: Store, one: Mapping[str, Any], name: str) -> bool:
    """Whether the sealed JSON of a run's record has the number as it stands; False may mean anything.

    Most have. To import what a whole `Record` takes is longer than all the rest of the question.
    """
    family, _, series = name.partition(".")
    with suppress(NotFound, CorruptObject, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        body, expected, observed = unsealed(store.get_record(Digest(one["spec"]), one["attempt"]))
        said = json.loads(body)
        mine = (said["spec_hash"], said["attempt"]) == (str(Digest(one["spec"])), one["attempt"])
        return mine and expected is not None and expected == observed and float(said[family][series]) == one[name]
    return False


@dataclass(frozen=True)
class Made:
    """A run that made a file."""

    record: Record
    file: OutputFile
    """The file, as it lay among its outputs."""


def made(view: View, store: Store, digest: Digest, limit: int = 50) -> list[Made]:
    """The runs that left a file of this digest, the oldest first; their records say so."""
    keys = view.keys(view.with_file(digest.hex)[:limit])
    records = in_threads(lambda key: _read(store, *key), keys, _AT_ONCE)
    found = [Made(record, file) for record in records for file in record.outputs if file.digest == digest]
    return sorted(found, key=lambda one: one.record.created)
