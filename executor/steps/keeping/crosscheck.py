"""The documents of one run, each read and held against the others: what one names another must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Literal, NamedTuple

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.evidence.provenance import disagreements
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.steps.keeping.documents import parse, problem
from executor.steps.keeping.inventory import Attempt, Run
from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT, Version
from executor.store.transfer import read_at_most

Kind = Literal["damaged", "missing", "unreadable"]
Keys = Mapping[str, NamedKey]
"""Public keys in the store, by id."""
_PASSING = ("intent.json", "lease.json")
"""Documents that go when they are no longer needed."""


class Hurt(NamedTuple):
    """An attempt that needs something that is wrong, and what that is to it; no attempt when all of them do."""

    spec_hash: Digest | None
    """None for an image that is kept for its own sake."""
    attempt: str
    role: str
    """Such as `output model.pt`, or the name of a document."""


@dataclass(frozen=True)
class Fault:
    """One object that is not what it must be."""

    key: str
    kind: Kind
    problem: str
    """What was expected and what was found, one line."""
    hurts: tuple[Hurt, ...] = ()
    digest: Digest | None = None
    """Of a blob."""
    size: int | None = None
    """Bytes that a blob must have, when somebody says."""


def shown(fault: Fault) -> dict[str, Any]:
    """A fault as JSON: the key, what is wrong, and whom it hurts."""
    runs = [{"spec_hash": one.spec_hash and one.spec_hash.hex, "attempt": one.attempt or None, "role": one.role}
            for one in fault.hurts]  # fmt: skip
    return {"key": fault.key, "problem": fault.problem, "runs": runs}


@dataclass
class Seen:
    """What was read of one run."""

    run: Run
    faults: list[Fault] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    """By attempt id, those that could be read."""
    parsed: dict[str, Any] = field(default_factory=dict)
    """By key, every document that could be read."""
    data: dict[str, bytes] = field(default_factory=dict)
    """By key, the bytes of records."""

    @property
    def intended(self) -> Iterator[Digest]:
        """Blobs that attempts announced."""
        for name in self.run.attempts:
            yield from self.parsed.get(layout.intent(self.run.spec_hash, name), ())


def look(store: Store, run: Run, keys: Keys) -> Seen:
    """Read every document of a run, and hold them against each other."""
    seen = Seen(run)
    for name, one in run.objects.items():
        _read(store, one.key, Hurt(run.spec_hash, "", name), seen)
    for attempt in run.attempts.values():
        for name, one in attempt.objects.items():
            if not name.startswith("log/"):
                _read(store, one.key, Hurt(run.spec_hash, attempt.name, name), seen)
        seen.faults += _segments(store, attempt, seen.records.get(attempt.name))
    seen.faults += [*_named(seen), *_reference(seen), *_signed(seen, keys), *_rewritten(store, seen)]
    return seen


def tried(store: Store, key: str, action: Callable[[], Any], hurts: tuple[Hurt, ...]) -> Fault | None:
    """What goes wrong with one object while `action` reads it; raises when the store does not answer at all."""
    try:
        action()
    except NotFound:
        return Fault(key, "missing", "no such object", hurts)
    except CorruptObject as error:
        return Fault(key, "damaged", f"expected {error.expected}, found {error.observed}", hurts)
    except StoreUnreachable as error:
        store.server_time()  # raises when it is the store, not this object alone
        return Fault(key, "unreadable", error.message, hurts)
    return None


def _read(store: Store, key: str, hurt: Hurt, seen: Seen) -> None:
    def read() -> None:
        data = store.read(key)
        seen.parsed[key] = found = parse(key, data)
        if isinstance(found, Record):
            seen.records[found.attempt], seen.data[key] = found, data

    fault = tried(store, key, read, (hurt,))
    if fault and not (fault.kind == "missing" and hurt.role in _PASSING):
        seen.faults.append(fault)


def _segments(store: Store, attempt: Attempt, record: Record | None) -> Iterator[Fault]:
    """Pieces of a log that was kept whole later must be pieces of it, in their order."""
    if record is None or record.log is None or not attempt.segments:
        return
    with suppress(CorruptObject, NotFound, StoreUnreachable):  # what is wrong with the whole is said of the blob
        log, position = store.read_blob(record.log.digest, DOCUMENT_LIMIT), 0
        for one in attempt.segments:
            hurt = Hurt(attempt.spec_hash, attempt.name, one.key.rpartition("attempts/")[2].partition("/")[2])
            data = b""

            def read(key: str = one.key) -> None:
                nonlocal data
                data = store.read(key)

            fault = tried(store, one.key, read, (hurt,))
            at = log.find(data, position)
            if fault is None and at < 0:
                fault = Fault(one.key, "damaged", "expected a piece of the log, found other bytes", (hurt,))
            elif fault is None:
                position = at + len(data)
            if fault and fault.kind != "missing":  # a collector may have come by
                yield fault


def _named(seen: Seen) -> Iterator[Fault]:
    """The spec of every run that left anything final, and the record of every attempt that others name."""
    run, base = seen.run, layout.run(seen.run.spec_hash)
    ended = {name for name, attempt in run.attempts.items() if attempt.finished}
    named: dict[str, str] = {
        name: "its diagnosis" for name, one in run.attempts.items() if "diagnosis.json" in one.objects
    }
    compared = [record.comparison.reference for record in seen.records.values() if record.comparison]
    named |= dict.fromkeys(compared, "an attempt that was compared with it")
    if reference := seen.parsed.get(f"{base}/reference.json"):
        named[reference] = "a reference that names it"
    if "spec.json" not in run.objects and (ended or named):
        yield Fault(f"{base}/spec.json", "missing", "no such object", (Hurt(run.spec_hash, "", "spec.json"),))
    if "reference.json" not in run.objects and compared:
        yield Fault(f"{base}/reference.json", "missing", "no such object, though attempts were compared with one",
                    (Hurt(run.spec_hash, "", "reference.json"),))  # fmt: skip
    for attempt in sorted(named.keys() - ended):
        hurt = Hurt(run.spec_hash, attempt, "record.json")
        why = f"no such object, though there is {named[attempt]}"
        yield Fault(f"{base}/attempts/{attempt}/record.json", "missing", why, (hurt,))


def _reference(seen: Seen) -> Iterator[Fault]:
    key = f"{layout.run(seen.run.spec_hash)}/reference.json"
    record = seen.records.get(seen.parsed.get(key, ""))
    if record and (record.status != "succeeded" or record.varied):
        problem = f"expected an attempt that succeeded as it was asked, found {record.attempt}"
        yield Fault(key, "damaged", problem, (Hurt(seen.run.spec_hash, "", "reference.json"),))


def _signed(seen: Seen, keys: Keys) -> Iterator[Fault]:
    """A statement must be signed by the key that it names, as far as that is known, and say what the record says."""
    for attempt in seen.run.attempts:
        key, record = layout.provenance(seen.run.spec_hash, attempt), seen.records.get(attempt)
        if key not in seen.parsed:
            continue
        stored = f"{layout.attempt(seen.run.spec_hash, attempt)}/record.json"
        if problem := _signature(seen.parsed[key], keys):
            yield Fault(key, "damaged", problem, (Hurt(seen.run.spec_hash, attempt, "provenance.json"),))
        elif record and (says := disagreements(seen.parsed[key].statement, record, Digest.of(seen.data[stored]))):
            # a signature that is right says which of the two was changed
            wrong = stored if keys.keys() & set(seen.parsed[key].keyids) else key
            hurt = Hurt(seen.run.spec_hash, attempt, wrong.rpartition("/")[2])
            yield Fault(wrong, "damaged", f"what was signed is not what is stored: {'; '.join(says)}", (hurt,))


def _signature(found: signing.Opened, keys: Keys) -> str:
    for keyid in found.keyids:
        if keyid in keys and not found.signed_by(keys[keyid].key):
            return f"the signature is not by the key {keyid[:12]} that it names"
        if keyid not in keys and (other := _whose(found, keyid, keys)):
            return f"it names the key {keyid[:12]} and is signed by {other[:12]}"
    return ""


def _whose(found: signing.Opened, keyid: str, keys: Keys) -> str | None:
    """Which of the keys signed, whatever the signature calls it."""
    text = json.dumps(found.envelope.to_dict())
    for other, one in keys.items():
        renamed = signing.opened(text.replace(json.dumps(keyid), json.dumps(other)).encode())
        if renamed.signed_by(one.key):
            return other
    return None


def _rewritten(store: Store, seen: Seen) -> Iterator[Fault]:
    """Evidence is written once: where the store keeps what an object was before, its first content is the true one."""
    run = seen.run
    evidence = (one for one in store.versions(f"{layout.run(run.spec_hash)}/") if layout.is_evidence(one.key))
    for key, group in groupby(sorted(evidence, key=lambda one: one.key), key=lambda one: one.key):
        newest, *older = group
        attempt = key.rpartition("attempts/")[2].partition("/")[0] if "/attempts/" in key else ""
        hurts = (Hurt(run.spec_hash, attempt, key.rpartition("/")[2]),)
        if not newest.id and older:
            yield Fault(key, "missing", "it was removed; what it was is kept beside it", hurts)
        elif older and (fault := tried(store, key, partial(_compare, store, [newest, *older]), hurts)):
            yield fault


def _compare(store: Store, versions: Sequence[Version]) -> None:
    """Raises `CorruptObject` when the newest of several contents is not the first one that is sound."""
    contents = (content(store, version) for version in reversed(versions))
    true = next((data for data in contents if not problem(versions[0].key, data)), None)
    if true is not None and true != content(store, versions[0]):
        raise CorruptObject(
            versions[0].key, expected="what was written first, which is kept beside it",
            observed=f"what was written over it on {versions[0].modified:%Y-%m-%d %H:%M:%S} UTC",
        )  # fmt: skip


def content(store: Store, version: Version) -> bytes:
    """The bytes that a document had; raises `NotFound`."""
    with store.open_version(version.key, version.id) as stream:
        return read_at_most(stream, version.key, DOCUMENT_LIMIT)
