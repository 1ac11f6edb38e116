from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO

import pytest

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.spec.canonical import Digest, sealed
from executor.steps.keeping import inventory
from executor.steps.keeping.crosscheck import Fault, Hurt, Keys, Seen, look, shown, tried
from executor.steps.keeping.documents import parse
from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey
from executor.store import layout
from executor.store.objects import Version
from tests.fakes import NOON, MemoryStore
from tests.unit.sites import World, a_spec

SPEC = a_spec()
PEM = ".pem"


def keys(world: World) -> Keys:
    found = (parse(key, data) for key, data in world.store.contents.items() if key.endswith(PEM))
    return {one.id: one for one in found if isinstance(one, NamedKey)}


def seen(world: World, known: Keys | None = None) -> Seen:
    (run,) = inventory.runs(world.store, [SPEC.hash])
    return look(world.store, run, keys(world) if known is None else known)


def problems(world: World, known: Keys | None = None) -> dict[str, str]:
    return {fault.key.rpartition("/")[2]: fault.problem for fault in seen(world, known).faults}


def test_a_sound_run_is_read_whole(world: World) -> None:
    record = world.submit(SPEC).record
    found = seen(world)
    assert found.faults == []
    assert found.records == {record.attempt: record}
    assert len(found.parsed) == 5


def test_what_was_announced_is_told(world: World) -> None:
    world.store.overwrite(layout.intent(SPEC.hash, "next"), sealed({"blobs": [Digest.of(b"x").hex]}))
    assert list(seen(world).intended) == [Digest.of(b"x")]


def test_what_goes_when_it_is_no_longer_needed_may_go_while_it_is_looked_at(world: World) -> None:
    world.submit(SPEC)
    (run,) = inventory.runs(world.store, [SPEC.hash])
    for name in ("lease.json", "spec.json"):
        world.store.remove(f"{layout.run(SPEC.hash)}/{name}")
    assert [fault.key.rpartition("/")[2] for fault in look(world.store, run, {}).faults] == ["spec.json"]


def test_every_bit_of_a_signed_statement_counts(world: World) -> None:
    record = world.submit(SPEC).record
    key, known = layout.provenance(SPEC.hash, record.attempt), keys(world)
    data, unseen = world.store.contents[key], []
    for at in range(0, len(data), 2):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at // 2 % 8
        world.store.contents[key] = bytes(flipped)
        if key not in {fault.key for fault in seen(world, known).faults}:
            unseen.append((at, bytes(flipped[max(0, at - 20) : at + 20])))
    assert unseen == []


def test_a_signature_is_looked_at_when_its_record_cannot_be_read(world: World) -> None:
    record = world.submit(SPEC).record
    key = layout.provenance(SPEC.hash, record.attempt)
    data = bytearray(world.store.contents[key])
    data[len(data) // 2] ^= 1
    world.store.contents[key] = bytes(data)
    world.store.contents[f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"] = b"?"
    assert problems(world).keys() == {"provenance.json", "record.json"}


def test_a_signature_that_is_not_by_the_key_that_it_names(world: World) -> None:
    record = world.submit(SPEC).record
    key = layout.provenance(SPEC.hash, record.attempt)
    (own,) = keys(world).values()
    other = NamedKey.read("other", signing.public_of(signing.new_private_key(), ""), "")
    world.store.contents[key] = world.store.contents[key].replace(own.id.encode(), other.id.encode())
    assert problems(world) == {"provenance.json": f"it names the key {other.id[:12]} and is signed by {own.id[:12]}"}
    both = {**keys(world), other.id: other}
    assert problems(world, both) == {
        "provenance.json": f"the signature is not by the key {other.id[:12]} that it names"
    }


def test_of_a_signer_whose_key_is_nowhere_only_what_it_says_is_looked_at(world: World) -> None:
    record = world.submit(SPEC).record
    assert problems(world, {}) == {}
    key = f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"
    world.store.contents[key] = record.model_copy(update={"executor": "other"}).to_json()
    assert list(problems(world, {})) == ["provenance.json"]  # which of the two was changed cannot be told
    assert list(problems(world)) == ["record.json"]


class Versioned(MemoryStore):
    """A store that keeps what an object was before."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__()
        self.contents = contents
        self.before: dict[str, list[bytes | None]] = {}
        """Contents of a key, the oldest first; none for a removal."""

    def versions(self, prefix: str = "") -> Iterator[Version]:
        for key, contents in self.before.items():
            for number in reversed(range(len(contents))):
                id_ = "" if contents[number] is None else str(number)
                yield Version(key, id_, "", NOON + timedelta(minutes=number))

    def open_version(self, key: str, version: str) -> BinaryIO:
        data = self.before[key][int(version)]
        assert data is not None
        return io.BytesIO(data)


@pytest.fixture
def versioned(world: World) -> tuple[Versioned, str, bytes, bytes]:
    """A store with versions, the key of a record, the record as it was, and a false one."""
    record = world.submit(SPEC).record
    key = f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"
    false = record.model_copy(update={"executor": "false"}).to_json()
    world.store.contents.pop(layout.provenance(SPEC.hash, record.attempt))
    return Versioned(world.store.contents), key, world.store.contents[key], false


def told(store: Versioned) -> list[tuple[str, str]]:
    (run,) = inventory.runs(store, [SPEC.hash])
    return [(fault.kind, fault.problem) for fault in look(store, run, {}).faults]


def test_evidence_that_was_written_over_is_damaged(versioned: tuple[Versioned, str, bytes, bytes]) -> None:
    store, key, true, false = versioned
    store.before[key], store.contents[key] = [true, false], false
    ((kind, problem),) = told(store)
    assert (kind, "written over it on 2026-01-01 12:01:00 UTC" in problem) == ("damaged", True)


@pytest.mark.parametrize("case", ["once", "put back", "the first was damaged"])
def test_evidence_that_is_what_it_was_first_is_right(versioned: tuple[Versioned, str, bytes, bytes], case: str) -> None:
    store, key, true, false = versioned
    cases: dict[str, list[bytes | None]] = {
        "once": [true], "put back": [true, false, true], "the first was damaged": [b"?", true],
    }  # fmt: skip
    store.before[key] = cases[case]
    assert told(store) == []


def test_evidence_that_was_removed_is_missing(versioned: tuple[Versioned, str, bytes, bytes]) -> None:
    store, key, true, _ = versioned
    store.before[key] = [true, None]
    del store.contents[key]
    assert ("missing", "it was removed; what it was is kept beside it") in told(store)


def test_what_changes_by_nature_may_have_many_versions(versioned: tuple[Versioned, str, bytes, bytes]) -> None:
    store, *_ = versioned
    store.before[layout.lease(SPEC.hash)] = [b"1", b"2"]
    assert told(store) == []


def test_an_error_of_one_object_is_a_fault_and_one_of_the_store_an_error() -> None:
    store = MemoryStore()

    def fail(error: Exception) -> Fault | None:
        def action() -> None:
            raise error

        return tried(store, "key", action, ())

    assert tried(store, "key", lambda: None, ()) is None
    faults = [
        fail(NotFound("gone")),
        fail(CorruptObject("key", expected="a", observed="b")),
        fail(StoreUnreachable("500")),
    ]
    assert [fault and fault.kind for fault in faults] == ["missing", "damaged", "unreadable"]
    store.down = True
    with pytest.raises(StoreUnreachable, match="nothing answers"):
        fail(StoreUnreachable("500"))


def test_a_fault_as_json() -> None:
    fault = Fault("key", "damaged", "why", (Hurt(SPEC.hash, "", "spec.json"), Hurt(None, "", "image layer")))
    assert shown(fault) == {"key": "key", "problem": "why", "runs": [
        {"spec_hash": SPEC.hash.hex, "attempt": None, "role": "spec.json"},
        {"spec_hash": None, "attempt": None, "role": "image layer"},
    ]}  # fmt: skip
