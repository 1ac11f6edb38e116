import json
from dataclasses import replace
from pathlib import Path

import pytest

from executor.errors import NotFound, StoreUnreachable
from executor.spec.canonical import sealed
from executor.steps.signed.attest import Standing
from executor.steps.signed.verifying import Verified, verify
from executor.store import layout
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()


def wrong(found: Verified) -> list[str]:
    """What is wrong, by its role."""
    return [one.role for one in found.every]


def flip(world: World, key: str, at: int = -2) -> None:
    data = bytearray(world.store.contents[key])
    data[at] ^= 1
    world.store.contents[key] = bytes(data)


def test_a_run_as_it_was_stored_is_right(world: World) -> None:
    record = world.submit(SPEC).record
    found = verify(SPEC.hash, world.site)
    assert (found.spec_hash, found.every, found.unfinished) == (SPEC.hash.hex, [], ())
    (one,) = found.attempts
    assert (one.attempt, one.status, one.blobs, one.bytes) == (record.attempt, "succeeded", 2, 16)
    assert one.signature == Standing(state="trusted", key="own", keyids=(world.site.keys.own.id,))


def test_every_attempt_is_verified_or_the_one_that_is_named(world: World) -> None:
    first = world.submit(SPEC).record
    world.program = Program(code=1)
    second = world.submit(SPEC, force=True).record
    assert [one.status for one in verify(SPEC.hash, world.site).attempts] == ["succeeded", "failed"]
    assert [one.attempt for one in verify(SPEC.hash, world.site, attempt=second.attempt).attempts] == [second.attempt]
    with pytest.raises(NotFound) as error:
        verify(SPEC.hash, world.site, attempt="another")
    assert first.attempt in error.value.advice


def test_a_blob_of_several_attempts_is_read_once(world: World) -> None:
    record = world.submit(SPEC).record
    world.submit(SPEC, force=True)
    world.store.requests.clear()
    assert verify(SPEC.hash, world.site).every == []
    key = layout.blob(record.outputs[0].digest)
    assert world.store.requests.count(f"open {key}") == 1


def test_a_run_of_which_nothing_ended_cannot_be_verified(world: World) -> None:
    with pytest.raises(NotFound, match="to verify"):
        verify(SPEC.hash, world.site)


def keys(world: World) -> dict[str, str]:
    """What can be wrong: its name, and its key."""
    record = world.submit(SPEC).record
    assert record.log is not None
    run, attempt = layout.run(SPEC.hash), layout.attempt(SPEC.hash, record.attempt)
    return {
        "spec.json": f"{run}/spec.json",
        "reference.json": f"{run}/reference.json",
        "record.json": f"{attempt}/record.json",
        "provenance.json": f"{attempt}/provenance.json",
        "output model.pt": layout.blob(record.outputs[0].digest),
        "log": layout.blob(record.log.digest),
    }


NAMES = ("spec.json", "reference.json", "record.json", "provenance.json", "output model.pt", "log")


@pytest.mark.parametrize("name", NAMES)
def test_one_flipped_bit_is_found_and_named(world: World, name: str) -> None:
    key = keys(world)[name]
    flip(world, key)
    found = verify(SPEC.hash, world.site)
    assert [(one.role, one.kind, one.key) for one in found.every] == [(name, "damaged", key)]


@pytest.mark.parametrize("name", ["spec.json", "output model.pt", "log"])
def test_what_is_gone_is_found_and_named(world: World, name: str) -> None:
    del world.store.contents[keys(world)[name]]
    found = verify(SPEC.hash, world.site)
    assert [(one.role, one.kind) for one in found.every] == [(name, "missing")]


def test_a_record_that_is_gone_is_missed_by_its_reference_and_its_signature(world: World) -> None:
    record = world.submit(SPEC).record
    other = world.submit(SPEC, force=True).record
    del world.store.contents[f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"]
    found = verify(SPEC.hash, world.site)
    assert [(one.attempt, one.status) for one in found.attempts] == [
        (record.attempt, None),
        (other.attempt, "succeeded"),
    ]
    assert found.unfinished == (record.attempt,)
    assert [(one.role, one.kind) for one in found.every] == [("record.json", "missing")]


def test_a_reference_to_a_failure_is_wrong(world: World) -> None:
    world.program = Program(code=1)
    record = world.submit(SPEC).record
    assert verify(SPEC.hash, world.site).every == []
    world.store.put_reference(SPEC.hash, record.attempt)
    assert wrong(verify(SPEC.hash, world.site)) == ["reference.json"]


def test_a_record_that_was_changed_with_its_seal_is_not_what_was_signed(world: World) -> None:
    record = world.submit(SPEC).record
    key = f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"
    document = json.loads(world.store.contents[key])
    document.pop("seal")
    document["log"]["size"] += 1
    world.store.contents[key] = sealed(document)
    found = verify(SPEC.hash, world.site)
    assert set(wrong(found)) == {"record.json", "log"}
    signature = found.attempts[0].signature
    assert signature is not None
    assert signature.disagreements[0] == "its subject is not that of the record"


def state(found: Verified) -> str:
    signature = found.attempts[0].signature
    assert signature is not None
    return signature.state


def test_a_signature_is_told_trusted_unknown_missing_or_wrong(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    key = layout.provenance(SPEC.hash, record.attempt)
    there = replace(world.site, home=replace(world.site.home, root=tmp_path / "elsewhere"))
    for site, expected in ((world.site, "trusted"), (there, "unknown key")):
        found = verify(SPEC.hash, site)
        assert (state(found), found.every) == (expected, [])
        strict = verify(SPEC.hash, site, require_signed=True)
        assert [(one.role, one.kind, one.key) for one in strict.every] == (
            [] if expected == "trusted" else [("signature", "untrusted", key)]
        )

    envelope = world.store.contents.pop(key)
    unsigned = verify(SPEC.hash, world.site)
    assert (state(unsigned), unsigned.every) == ("unsigned", [])
    assert wrong(verify(SPEC.hash, world.site, require_signed=True)) == ["signature"]

    document = json.loads(envelope)
    world.store.contents[key] = json.dumps(document | {"payloadType": "text/plain"}).encode()
    bad = verify(SPEC.hash, world.site)
    assert (state(bad), wrong(bad)) == ("bad signature", ["provenance.json"])


def test_a_trusted_key_that_the_store_lacks_is_looked_with_all_the_same(world: World) -> None:
    record = world.submit(SPEC).record
    world.store.remove(f"{layout.KEYS}/{world.site.keys.own.id}.pem")
    key = layout.provenance(SPEC.hash, record.attempt)
    document = json.loads(world.store.contents[key])
    sig = document["signatures"][0]["sig"]
    document["signatures"][0]["sig"] = ("B" if sig[0] == "A" else "A") + sig[1:]
    world.store.contents[key] = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    found = verify(SPEC.hash, world.site)
    assert [(one.role, one.kind) for one in found.every] == [("signature", "damaged")]


def test_a_statement_about_something_else_is_wrong(world: World) -> None:
    first, second = world.submit(SPEC).record, world.submit(SPEC, force=True).record
    store = world.store.contents
    store[layout.provenance(SPEC.hash, second.attempt)] = store[layout.provenance(SPEC.hash, first.attempt)]
    found = verify(SPEC.hash, world.site)
    assert wrong(found) == ["record.json"]
    assert "its attempt is not that of the record" in found.every[0].problem
    assert wrong(verify(SPEC.hash, world.site, attempt=first.attempt)) == []


def test_a_record_that_was_put_under_another_attempt_is_wrong(world: World) -> None:
    first, second = world.submit(SPEC).record, world.submit(SPEC, force=True).record
    keys = [layout.attempt(SPEC.hash, one.attempt) for one in (first, second)]
    for name in ("record.json", "provenance.json"):
        world.store.contents[f"{keys[1]}/{name}"] = world.store.contents[f"{keys[0]}/{name}"]
    found = verify(SPEC.hash, world.site)
    assert wrong(found) == ["record.json"]
    assert found.attempts[1].status is None


def test_a_store_that_does_not_answer_has_verified_nothing(world: World) -> None:
    world.submit(SPEC)
    world.store.down = True
    with pytest.raises(StoreUnreachable):
        verify(SPEC.hash, world.site)
