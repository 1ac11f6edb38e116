"""What is damaged or missing is refilled from copies, verified before they are believed; nothing intact is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.evidence.provenance import disagreements
from executor.evidence.record import Record
from executor.spec.canonical import Digest, canonical_bytes, sealed
from executor.steps.keeping import inventory
from executor.steps.keeping.audit import audit, hashed
from executor.steps.keeping.crosscheck import Fault, shown
from executor.steps.keeping.documents import parse, problem
from executor.steps.keeping.sources import Offer, Source
from executor.steps.site import Site
from executor.store import layout
from executor.store.changes import CHANGES
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT
from executor.store.transfer import in_threads

_ROUNDS = 6
"""A refilled record leads to a manifest, this to layers: so often what is needed is looked at again."""
_AT_ONCE = 4


@dataclass(frozen=True)
class Refilled:
    """One object that is whole again."""

    key: str
    source: str
    """Where its bytes came from."""


@dataclass
class Repaired:
    """What was refilled from where, and what is still lost."""

    refilled: list[Refilled] = field(default_factory=list)
    lost: list[Fault] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The document that `store repair --json` prints."""
        return {
            "refilled": [vars(one) for one in self.refilled],
            "lost": [shown(fault) | {"kind": fault.kind} for fault in self.lost],
        }


def repair(
    site: Site, sources: Sequence[Source], wanted: Sequence[Digest] | None = None,
    last: Callable[[Sequence[Fault], Mapping[tuple[Digest, str], Record]], list[Refilled]] | None = None,
) -> Repaired:  # fmt: skip
    """Refill everything that an audit finds wrong, or what is wrong with the runs that are `wanted`.

    What no source has is handed to `last`, with the records of all that it hurts; it says what it refilled.
    """
    pending = {fault.key: fault for fault in audit(site, wanted).faults}
    known, done = _Known(site.store), Repaired()
    for again in range(_ROUNDS):
        refilled = _round(site, pending, sources, known)
        if last and not refilled and pending and again < _ROUNDS - 1:
            refilled, last = last([*pending.values()], known.hurt(pending.values())), None
        if not refilled:
            break
        done.refilled += refilled
        affected = {hurt.spec_hash for one in refilled for hurt in pending.pop(one.key).hurts}
        if affected:
            runs = {spec_hash for spec_hash in affected if spec_hash}
            seen = audit(site, sorted(runs) if runs == affected else None)
            pending = {key: fault for key, fault in pending.items() if not _within(fault, affected)}
            pending |= {fault.key: fault for fault in seen.faults}
    done.lost = sorted(pending.values(), key=lambda fault: fault.key)
    return done


class _Known:
    """Records that can be read, of the runs that are asked for."""

    def __init__(self, store: Store) -> None:
        self._store, self._runs = store, dict[Digest, dict[str, Record]]()

    def of(self, spec_hash: Digest | None) -> dict[str, Record]:
        """The records of a run, by attempt id."""
        if spec_hash is None:
            return {}
        if spec_hash not in self._runs:
            found = self._runs[spec_hash] = {}
            for run in inventory.runs(self._store, [spec_hash]):
                for attempt in run.attempts.values():
                    key = f"{layout.attempt(spec_hash, attempt.name)}/record.json"
                    with suppress(CorruptObject, NotFound, StoreUnreachable):
                        found[attempt.name] = parse(key, self._store.read(key))
        return self._runs[spec_hash]

    def add(self, record: Record) -> None:
        """A record that has come back."""
        self.of(record.spec_hash)[record.attempt] = record

    def hurt(self, faults: Iterable[Fault]) -> dict[tuple[Digest, str], Record]:
        """Every record of the runs that faults hurt."""
        runs = {hurt.spec_hash for fault in faults for hurt in fault.hurts if hurt.spec_hash}
        return {(run, name): record for run in sorted(runs) for name, record in self.of(run).items()}


def _within(fault: Fault, runs: set[Digest | None]) -> bool:
    return bool(fault.hurts) and all(hurt.spec_hash in runs for hurt in fault.hurts)


def _round(site: Site, pending: Mapping[str, Fault], sources: Sequence[Source], known: _Known) -> list[Refilled]:
    """Refill what can be, documents first: records say what else is needed."""
    site.reporter.stage(f"refilling, {len(pending)} to go")
    documents = [fault for fault in pending.values() if fault.digest is None]
    refilled = [one for fault in sorted(documents, key=_order) if (one := _document(site.store, fault, sources, known))]
    return refilled or blobs(site, [fault for fault in pending.values() if fault.digest], sources)


def _order(fault: Fault) -> tuple[int, str]:
    names = ("record.json", "spec.json")
    return next((at for at, name in enumerate(names) if fault.key.endswith(name)), len(names)), fault.key


# Documents -----------------------------------------------------------------------------------------------------------


def _document(store: Store, fault: Fault, sources: Sequence[Source], known: _Known) -> Refilled | None:
    if _in_the_way(fault, known):
        store.remove(fault.key)
        return Refilled(fault.key, "nowhere: it is removed, nothing needs it")
    for name, data in _candidates(store, fault, sources, known):
        if not _right(store, fault.key, data, known):
            continue
        if data == _now(store, fault.key):  # it is what it must be: only what it was held against was wrong
            return None
        store.overwrite(fault.key, data)
        if store.read(fault.key) == data:
            parsed = parse(fault.key, data)
            if isinstance(parsed, Record):
                known.add(parsed)
            return Refilled(fault.key, name)
    return None


def _in_the_way(fault: Fault, known: _Known) -> bool:
    """Whether it is a damaged note of who works now, which its owner writes anew, or an intent that came true."""
    if fault.kind != "damaged":
        return False
    true = any(hurt.attempt in known.of(hurt.spec_hash) for hurt in fault.hurts)
    return fault.key.endswith("/lease.json") or fault.key.startswith(f"{layout.GC}/") or (
        true and fault.key.endswith("/intent.json"))  # fmt: skip


def _candidates(store: Store, fault: Fault, sources: Sequence[Source], known: _Known) -> Iterator[tuple[str, bytes]]:
    if fault.key.startswith(f"{CHANGES}/"):
        yield "its key", b""
    for source in sources:
        for data in source.documents(fault.key):
            yield source.name, data
    for hurt in fault.hurts:
        records = known.of(hurt.spec_hash).values()
        if hurt.role == "spec.json":
            yield from (("its records", canonical_bytes(record.spec)) for record in records)
        elif hurt.role == "reference.json":
            yield from (("its records", sealed({"attempt": attempt})) for attempt in _first(records))
        elif hurt.role.startswith("log/"):
            whole = [record.log.digest for record in records if record.attempt == hurt.attempt and record.log]
            yield from (("the whole log", data) for digest in whole for data in _piece(store, fault.key, digest))


def _first(records: Iterable[Record]) -> set[str]:
    """The attempt that must have been the reference: all others were compared with it, or it alone succeeded."""
    records = list(records)
    named = {record.comparison.reference for record in records if record.comparison}
    return named or _only({record.attempt for record in records if record.status == "succeeded" and not record.varied})


def _only(attempts: set[str]) -> set[str]:
    return attempts if len(attempts) == 1 else set()


def _piece(store: Store, key: str, log: Digest) -> Iterator[bytes]:
    """What a damaged piece of a log must have been: as many bytes of the whole, after the pieces before it."""
    folder = key.rpartition("/")[0]
    before = [one for one in store.objects(f"{folder}/") if one.key < key]
    start, stat = sum(one.size for one in before), store.stat(key)
    try:
        whole = store.read_blob(log, DOCUMENT_LIMIT)
    except (NotFound, CorruptObject):
        return
    pieces = [store.read(one.key) for one in sorted(before)]
    if stat and whole.startswith(b"".join(pieces)):
        yield whole[start : start + stat.size]


def _right(store: Store, key: str, data: bytes, known: _Known) -> bool:
    """Whether bytes are what must lie under `key`, as far as the rest of the store tells."""
    try:
        parsed = parse(key, data)
    except CorruptObject:
        return False
    folder, _, name = key.rpartition("/")
    run, _, attempt = folder.removeprefix(f"{layout.RUNS}/").partition("/attempts/")
    if name == "reference.json":
        record = known.of(Digest(run)).get(parsed)
        return record is not None and record.status == "succeeded" and not record.varied
    if name == "provenance.json" and (record := known.of(Digest(run)).get(attempt)):
        return not disagreements(parsed.statement, record, Digest.of(store.read(f"{folder}/record.json")))
    if name == "record.json" and (signed := _statement(store, f"{folder}/provenance.json")):
        return not disagreements(signed, parsed, Digest.of(data))
    return name not in ("intent.json", "lease.json") and not key.startswith(f"{layout.GC}/")


def _statement(store: Store, key: str) -> Mapping[str, Any] | None:
    """What was signed of an attempt, if that can be read."""
    data = _now(store, key)
    if data is None or problem(key, data):
        return None
    statement: Mapping[str, Any] = parse(key, data).statement
    return statement


def _now(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key)
    except (NotFound, StoreUnreachable):
        return None


# Blobs ---------------------------------------------------------------------------------------------------------------


def blobs(site: Site, faults: Sequence[Fault], sources: Sequence[Source]) -> list[Refilled]:
    """Refill blobs from whichever source has them."""
    done: list[Refilled] = []
    for source in (_Pieces(site.store, faults), *sources):
        left = {fault.digest: fault for fault in faults if fault.digest and fault.key not in {one.key for one in done}}
        offers = source.offer({digest: fault.size for digest, fault in left.items()}) if left else {}
        said = in_threads(lambda item: _blob(site.store, *item), offers.items(), _AT_ONCE)
        done += [Refilled(left[digest].key, source.name) for digest, good in zip(offers, said, strict=True) if good]
    return done


def _blob(store: Store, digest: Digest, offer: Offer) -> bool:
    try:
        store.put_stream(digest, offer.size, offer.open, offer.name)
    except (CorruptObject, NotFound):
        return False
    return hashed(store, digest, lambda _: None) is None


class _Pieces(Source):
    """Logs, from the pieces that were published while they were written."""

    name = "pieces of the log"

    def __init__(self, store: Store, faults: Sequence[Fault]) -> None:
        self._store = store
        self._logs = {fault.digest: hurt for fault in faults if fault.digest
                      for hurt in fault.hurts if hurt.role == "log"}  # fmt: skip

    def offer(self, wanted: Mapping[Digest, int | None]) -> dict[Digest, Offer]:
        """Logs of which every piece is there."""
        found = {}
        for digest in wanted.keys() & self._logs.keys():
            hurt = self._logs[digest]
            data = b"".join(self._store.log_segments(hurt.spec_hash, hurt.attempt)) if hurt.spec_hash else b""
            if Digest.of(data) == digest:
                found[digest] = Offer.of(data, "pieces of the log")
        return found
