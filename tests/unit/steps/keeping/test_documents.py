from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.errors import CorruptObject
from executor.evidence.record import Record
from executor.spec.canonical import Digest, sealed
from executor.steps.keeping.documents import parse, problem
from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey
from executor.store import layout
from tests.unit.sites import World, a_spec

SPEC = a_spec()
RUN, ATTEMPT = layout.run(SPEC.hash), layout.attempt(SPEC.hash, "one")
PINNED = layout.pin(SPEC.hash, "image", Digest.of(b"image"))


@pytest.fixture
def stored(world: World) -> dict[str, bytes]:
    """One of each kind of document, by key."""
    world.submit(SPEC)
    divergence = {"step": 1, "kind": "rng", "cause": "unknown", "reason": "because"}
    return {key: data for key, data in world.store.contents.items() if "/blobs/" not in key and "/log/" not in key} | {
        f"{ATTEMPT}/diagnosis.json": sealed(divergence),
        f"{ATTEMPT}/intent.json": sealed({"blobs": [Digest.of(b"blob").hex]}),
        PINNED: sealed({"ref": "localhost/x"}),
        layout.image(Digest.of(b"image")): sealed({"ref": "localhost/x"}),
        layout.CANDIDATES: sealed({"since": {}}),
    }


def names(stored: dict[str, bytes]) -> set[str]:
    return {key.rpartition("/")[2] for key in stored}


def test_what_was_written_is_right(stored: dict[str, bytes]) -> None:
    assert {key: problem(key, data) for key, data in stored.items()} == dict.fromkeys(stored, "")
    assert names(stored) >= {
        "spec.json",
        "record.json",
        "reference.json",
        "provenance.json",
        "lease.json",
        "intent.json",
    }


def test_every_bit_counts(stored: dict[str, bytes]) -> None:
    """All bits of small documents, the first and some other bytes of large ones; signatures need the record."""
    unseen = []
    for key, data in stored.items():
        if key.endswith("provenance.json") or not data:
            continue
        places = {*range(min(len(data), 160)), *range(0, len(data), max(1, len(data) // 300)), len(data) - 1}
        for at in sorted(places):
            for bit in range(8) if at < 110 else (at % 8,):
                flipped = bytearray(data)
                flipped[at] ^= 1 << bit
                if not problem(key, bytes(flipped)):
                    unseen.append((key, at, bit))
    assert unseen == []


def test_nothing_at_all_is_none_of_them(stored: dict[str, bytes]) -> None:
    told = [key for key in stored if stored[key]]
    assert [key for key in told for data in (b"", b"null", b"{}", b"[1]", b"\xff" * 20) if not problem(key, data)] == []
    assert [key for key in stored if key not in told and not problem(key, b"?")] == []


def test_a_record_is_given_as_a_record_and_a_reference_as_an_attempt(stored: dict[str, bytes]) -> None:
    key = next(key for key in stored if key.endswith("record.json"))
    record = parse(key, stored[key])
    assert isinstance(record, Record)
    assert parse(f"{RUN}/reference.json", stored[f"{RUN}/reference.json"]) == record.attempt
    assert parse(f"{ATTEMPT}/intent.json", stored[f"{ATTEMPT}/intent.json"]) == {Digest.of(b"blob")}


def test_a_sound_document_in_the_place_of_another_is_wrong(stored: dict[str, bytes]) -> None:
    record = next(key for key in stored if key.endswith("record.json"))
    assert "the record of" in problem(f"{ATTEMPT}/record.json", stored[record])
    other = layout.attempt(Digest.of(b"other"), Record.from_json(stored[record], "").attempt)
    assert problem(f"{other}/record.json", stored[record])
    assert problem(f"{layout.run(Digest.of(b'other'))}/spec.json", stored[f"{RUN}/spec.json"])


def test_a_record_must_have_the_spec_of_its_hash(stored: dict[str, bytes]) -> None:
    key = next(key for key in stored if key.endswith("record.json"))
    record = parse(key, stored[key])
    other = record.model_copy(update={"spec": record.spec | {"seed": 2}})
    assert "a spec of" in problem(key, other.to_json())


def test_a_key_under_the_id_of_another_is_wrong() -> None:
    text = signing.public_of(signing.new_private_key(), "here")
    named = NamedKey.read("own", text, "here")
    assert problem(f"{layout.KEYS}/{named.id}.pem", text) == ""
    assert "the key of id" in problem(f"{layout.KEYS}/{Digest.of(b'other').hex}.pem", text)


def test_documents_of_before_there_were_seals_are_read() -> None:
    old = json.dumps({"attempt": "one"}).encode()
    assert parse(f"{RUN}/reference.json", old) == "one"
    assert problem(f"{ATTEMPT}/intent.json", json.dumps({"blobs": []}).encode())


def test_what_is_no_document_is_given_as_it_is(tmp_path: Path) -> None:
    assert parse(f"{layout.PROBES}/1", b"anything") == b"anything"


def test_the_error_names_the_key() -> None:
    with pytest.raises(CorruptObject) as found:
        parse(f"{RUN}/spec.json", b"{}")
    assert found.value.key == f"{RUN}/spec.json"
