"""What nothing needs any more is collected, in two passes, while others publish.

A blob goes when no record, no intent and no image leads to it, when it is older than the grace by the store's own
clock, and when an earlier pass, half a grace ago, has found the same. Records, specs, references, signatures and keys
are never touched. What cannot be read might lead to anything: then nothing at all is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from executor.errors import CorruptObject, NotFound, Retained, count
from executor.log import get_logger
from executor.spec.canonical import Digest, sealed, unsealed
from executor.steps.keeping import inventory
from executor.steps.keeping.documents import parse
from executor.steps.keeping.inventory import Attempt, Run
from executor.steps.keeping.needs import Needs, Uses, images, pins, uses
from executor.steps.keeping.sweeping import Sweep, sweeping
from executor.steps.site import Site
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import Listed
from executor.store.transfer import in_threads

Kind = Literal["blob", "log", "intent", "probe"]
INTENT_LASTS = timedelta(days=30)
"""How long blobs are kept for an attempt that announced them and never got a record."""
_UPLOAD_LASTS, _PROBE_LASTS = timedelta(days=1), timedelta(hours=1)
"""How long an upload that does not end, and a probe, are left alone at least: both may be at work."""
_AT_ONCE = 32


class Doomed(NamedTuple):
    """An object that nothing needs."""

    kind: Kind
    object: Listed


@dataclass(frozen=True)
class Total:
    """A number of objects and their bytes."""

    count: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, objects: Iterable[Listed]) -> Total:
        """Counted and added up."""
        sizes = [one.size for one in objects]
        return cls(len(sizes), sum(sizes))


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would remove."""

    dry_run: bool
    removed: dict[Kind, Total]
    """Objects that are gone, or would go now; by kind."""
    keys: tuple[str, ...] = ()
    """Their keys, sorted."""
    waiting: Total = Total()
    """Blobs that nothing needs, yet too young, or found for the first time."""
    retained: Total = Total()
    """Objects that the store must keep for now, by a lock on them."""
    kept: Total = Total()
    """Blobs that are needed."""
    uploads: int = 0
    """Uploads that were ended because nobody will end them."""
    cut_short: bool = False
    """Whether the sweep was lost on the way: the rest is left for another one."""

    def as_json(self) -> dict[str, Any]:
        """The document that `store gc --json` prints."""
        totals = {name: vars(getattr(self, name)) for name in ("waiting", "retained", "kept")}
        removed = {f"{kind}s": vars(total) for kind, total in self.removed.items()}
        return {"dry_run": self.dry_run, "removed": removed, "keys": list(self.keys), **totals,
                "uploads": self.uploads, "cut_short": self.cut_short}  # fmt: skip


@dataclass
class Marked:
    """What was found at one moment."""

    moment: datetime
    """By the clock that says when objects were written."""
    needed: set[Digest]
    doomed: list[Doomed] = field(default_factory=list)
    """All but blobs."""
    spare: list[Listed] = field(default_factory=list)
    """Blobs that nothing needs, of any age."""
    kept: Total = Total()


def collect(site: Site, grace: timedelta, *, dry_run: bool = False) -> Collected:
    """Remove what nothing needs and what is older than `grace`, or only say what would go.

    Raises `HeldElsewhere` when another collector is at work, and `CorruptObject` with nothing removed when a record, an
    intent or a manifest cannot be read.
    """
    if dry_run:
        marked = _mark(site, grace)
        chosen, waiting, _ = _choose(site.store, marked, grace)
        return _summed([*marked.doomed, *chosen], Collected(True, {}, waiting=Total.of(waiting), kept=marked.kept))
    with sweeping(site.store, site.new_attempt, site.now) as sweep:
        marked = _mark(site, grace)
        chosen, waiting, since = _choose(site.store, marked, grace)
        if since or site.store.stat(layout.CANDIDATES):
            found_at = marked.moment.isoformat()
            site.store.overwrite(layout.CANDIDATES, sealed({"since": since, "found": found_at}))
        site.reporter.stage(f"removing {count(len(marked.doomed) + len(chosen), 'object')}")
        found = _remove(site, [*marked.doomed, *chosen], sweep)
        uploads = site.store.abort_stale(marked.moment - max(grace, _UPLOAD_LASTS)) if sweep.holds else 0
        return replace(found, waiting=Total.of(waiting), kept=marked.kept, uploads=uploads, cut_short=not sweep.holds)


def _time(site: Site) -> datetime:
    """The clock that says when objects were written: the store's, or ours for a folder."""
    return site.store.server_time() or site.now()


# Marking -------------------------------------------------------------------------------------------------------------


def _mark(site: Site, grace: timedelta) -> Marked:
    """Find out what is needed; what was announced before this began is seen."""
    store, moment = site.store, _time(site)
    site.reporter.stage("what is needed")
    runs = inventory.runs(store)
    attempts = [attempt for run in runs for attempt in run.attempts.values()]
    named = in_threads(lambda attempt: _wanted(store, attempt, moment), attempts, _AT_ONCE)
    every = [one for one in named if isinstance(one, Uses)]
    every += [pin for run in runs for _, pin in pins(run)] + images(inventory.images(store))
    needs = Needs.load(store, every)
    for digest, error in needs.unread.items():
        raise _unknown(CorruptObject(layout.blob(digest), expected="a manifest", observed=error.message)) from error
    needed = set(needs.sizes(every)).union(*(one for one in named if not isinstance(one, Uses)))
    doomed = [*_leftovers(runs, moment - grace), *_probes(store, moment - max(grace, _PROBE_LASTS))]
    marked = Marked(moment, needed, doomed)
    site.reporter.stage("what is there")
    there = inventory.blobs(store)
    marked.spare = [one for digest, one in there.items() if digest not in needed]
    marked.kept = Total.of(one for digest, one in there.items() if digest in needed)
    return marked


def _unknown(error: CorruptObject) -> CorruptObject:
    advice = "`executor store repair` refills it from another copy"
    if error.key.endswith("/intent.json"):
        advice = "publish that attempt again, or remove this object if nobody will"
    error.advice = f"what it leads to is not known, so nothing was removed: {advice}"
    return error


def _wanted(store: Store, attempt: Attempt, moment: datetime) -> Uses | frozenset[Digest]:
    """What an attempt needs by its record, or else by what it announced, if that is not too long ago."""
    intent = attempt.objects.get("intent.json")
    try:
        if intent and not attempt.finished and not _older(intent, moment - INTENT_LASTS):
            with suppress(NotFound):  # then it has a record by now
                return _announced(store, intent.key)
        key = f"{layout.attempt(attempt.spec_hash, attempt.name)}/record.json"
        return uses(parse(key, store.read(key)))
    except NotFound:
        return frozenset()
    except CorruptObject as error:
        raise _unknown(error) from error


def _announced(store: Store, key: str) -> frozenset[Digest]:
    found: frozenset[Digest] = parse(key, store.read(key))
    return found


def _leftovers(runs: Iterable[Run], before: datetime) -> Iterator[Doomed]:
    """What attempts left on their way to a record: they have it now, or never will."""
    for run in runs:
        for attempt in run.attempts.values():
            intent = attempt.objects.get("intent.json")
            if intent and (attempt.finished or _older(intent, before - INTENT_LASTS)):
                yield Doomed("intent", intent)
            if attempt.finished:
                yield from (Doomed("log", one) for one in attempt.segments if _older(one, before))


def _probes(store: Store, before: datetime) -> Iterator[Doomed]:
    return (Doomed("probe", one) for one in store.objects(f"{layout.PROBES}/") if _older(one, before))


def _older(one: Listed, moment: datetime) -> bool:
    return one.modified is not None and one.modified <= moment


# Choosing ------------------------------------------------------------------------------------------------------------


def _choose(store: Store, marked: Marked, grace: timedelta) -> tuple[list[Doomed], list[Listed], dict[str, str]]:
    """Blobs that go now, those that wait, and since when each of these has been known to be of no use."""
    before, moment = _candidates(store), marked.moment
    chosen, waiting, since = [], [], {}
    for one in marked.spare:
        name = one.key.rpartition("/")[2]
        if not _older(one, moment - grace):
            waiting.append(one)
            continue
        first = min(before.get(name, moment), moment)
        if moment - first >= grace / 2:
            chosen.append(Doomed("blob", one))
        else:
            waiting.append(one)
            since[name] = first.isoformat()
    return chosen, waiting, since


def _candidates(store: Store) -> Mapping[str, datetime]:
    """When each candidate of the last pass was first found; nothing where that cannot be read."""
    try:
        body, expected, observed = unsealed(store.read(layout.CANDIDATES))
        if expected is None or expected != observed:
            raise ValueError  # noqa: TRY301
        return {name: datetime.fromisoformat(text) for name, text in json.loads(body)["since"].items()}
    except NotFound:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        get_logger("garbage").warning("what the last pass found cannot be read: this one counts as the first")
        return {}


# Sweeping ------------------------------------------------------------------------------------------------------------


def _remove(site: Site, doomed: list[Doomed], sweep: Sweep) -> Collected:
    """Remove objects as long as the sweep is ours."""
    said = in_threads(lambda one: _removed(site.store, one, sweep), doomed, _AT_ONCE)
    retained = [one.object for one, what in zip(doomed, said, strict=True) if what == "retained"]
    gone = [one for one, what in zip(doomed, said, strict=True) if what == "removed"]
    return _summed(gone, Collected(False, {}, retained=Total.of(retained)))


def _removed(store: Store, one: Doomed, sweep: Sweep) -> str:
    now = store.stat(one.object.key)
    if now is None or one.object.modified is None or not sweep.holds:
        return "left"
    if int(now.modified.timestamp()) > int(one.object.modified.timestamp()):  # listings and answers round differently
        return "left"
    try:
        store.purge(one.object.key)
    except Retained:
        return "retained"
    return "removed"


def _summed(gone: list[Doomed], found: Collected) -> Collected:
    kinds: tuple[Kind, ...] = ("blob", "log", "intent", "probe")
    removed = {kind: Total.of(one.object for one in gone if one.kind == kind) for kind in kinds}
    return replace(found, removed=removed, keys=tuple(sorted(one.object.key for one in gone)))
