import json
from dataclasses import replace
from pathlib import Path

import pytest

from executor.errors import CorruptObject, NotFound, Unreachable, Untrusted, UsageError
from executor.evidence.record import Record
from executor.run import Options, rerun, submit
from executor.steps.signed import signing
from executor.steps.signed.attest import Standing, attest, envelope_of, standing, trusted_result
from executor.steps.signed.keys import KeyRing
from executor.steps.site import Site
from executor.store import layout
from tests.fakes import MemoryStore
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
SIGNED = Options(require_signed=True)


def looked_at(world: World, record: Record, site: Site | None = None) -> Standing:
    data = world.store.get_record(record.spec_hash, record.attempt)
    return standing(record, data, world.store, (site or world.site).keys.trusted())


def elsewhere(world: World, tmp_path: Path) -> Site:
    """Another machine with the same store."""
    return replace(world.site, home=replace(world.site.home, root=tmp_path / "elsewhere"))


def key_of(record: Record) -> str:
    return layout.provenance(record.spec_hash, record.attempt)


# Before the record is stored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1])
def test_every_attempt_is_signed_before_its_record_is_stored(world: World, code: int) -> None:
    world.program = Program(code=code)
    record = world.submit(SPEC).record
    puts = [request.removeprefix("put ") for request in world.store.requests if request.startswith("put ")]
    assert puts.index(key_of(record)) < puts.index(f"{layout.attempt(SPEC.hash, record.attempt)}/record.json")
    assert looked_at(world, record) == Standing(state="trusted", key="own", keyids=(world.site.keys.own.id,))
    assert f"{layout.KEYS}/{world.site.keys.own.id}.pem" in world.store.contents


def test_to_store_an_attempt_again_changes_nothing(world: World) -> None:
    record = world.submit(SPEC).record
    before = dict(world.store.contents)
    data = world.store.get_record(SPEC.hash, record.attempt)
    assert attest(record, data, world.site) == before[key_of(record)]
    assert world.store.contents == before


def test_the_first_signature_stays(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    before = world.store.contents[key_of(record)]
    data = world.store.get_record(SPEC.hash, record.attempt)
    assert attest(record, data, elsewhere(world, tmp_path)) == before


def test_a_signer_that_is_none_is_told_before_anything_runs(world: World) -> None:
    world.site = replace(world.site, environment={**world.site.environment, "EXECUTOR_SIGNER": "nothing:x"})
    with pytest.raises(UsageError, match="EXECUTOR_SIGNER"):
        world.submit(SPEC)
    assert (world.engine.plans, world.left) == ([], [])


def test_a_result_that_cannot_be_signed_is_kept_here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise Unreachable("the device is gone", advice="plug it in")

    monkeypatch.setattr(signing, "signed", fail)
    with pytest.raises(Unreachable, match="the device is gone"):
        world.submit(SPEC)
    assert len(world.left) == 1
    assert not any(key.endswith("record.json") for key in world.store.contents)


# Whose signature it is ----------------------------------------------------------------------------------------------


def test_without_a_signature_it_is_unsigned(world: World) -> None:
    record = world.submit(SPEC).record
    del world.store.contents[key_of(record)]
    assert looked_at(world, record) == Standing(state="unsigned")
    with pytest.raises(NotFound):
        envelope_of(world.store, SPEC.hash, record.attempt)


def test_a_key_is_unknown_until_it_is_trusted(world: World, tmp_path: Path) -> None:
    record, there, own = world.submit(SPEC).record, elsewhere(world, tmp_path), world.site.keys.own
    assert looked_at(world, record, there) == Standing(state="unknown key", keyids=(own.id,))
    there.keys.trust("ada", own.text, "ada.pem")
    assert looked_at(world, record, there) == Standing(state="trusted", key="ada", keyids=(own.id,))


def test_a_wrong_signature_is_wrong_for_those_too_who_do_not_trust_its_key(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    document = json.loads(world.store.contents[key_of(record)])
    sig = document["signatures"][0]["sig"]
    document["signatures"][0]["sig"] = ("B" if sig[0] == "A" else "A") + sig[1:]
    world.store.contents[key_of(record)] = json.dumps(document).encode()
    assert looked_at(world, record).state == "bad signature"
    there = elsewhere(world, tmp_path)
    assert looked_at(world, record, there).state == "bad signature"
    world.store.remove(f"{layout.KEYS}/{world.site.keys.own.id}.pem")  # then there is nothing to look with
    assert looked_at(world, record, there).state == "unknown key"


def test_an_envelope_that_is_none_is_a_bad_signature(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = world.submit(SPEC).record
    envelope = world.store.contents[key_of(record)]
    world.store.contents[key_of(record)] = b"{}"
    assert looked_at(world, record).problem.startswith("not an envelope")
    world.store.contents[key_of(record)] = envelope
    monkeypatch.setattr("executor.steps.signed.attest.DOCUMENT_LIMIT", len(envelope) - 1)
    found = looked_at(world, record)
    assert (found.state, found.wrong) == ("bad signature", True)
    assert "larger than" in found.why


def test_the_signature_of_another_attempt_says_something_else(world: World) -> None:
    first, second = world.submit(SPEC).record, world.submit(SPEC, force=True).record
    world.store.contents[key_of(second)] = world.store.contents[key_of(first)]
    found = looked_at(world, second)
    assert (found.state, found.good, found.wrong) == ("trusted", False, True)
    assert "its attempt is not that of the record" in found.disagreements
    assert found.why.startswith("what was signed is not what is stored: its subject")


def test_the_signature_of_another_spec_says_something_else(world: World) -> None:
    first, second = world.submit(SPEC).record, world.submit(a_spec(seed=2)).record
    world.store.contents[key_of(second)] = world.store.contents[key_of(first)]
    assert "its spec is not that of the record" in looked_at(world, second).disagreements


def test_one_trusted_signature_among_others_is_enough(world: World, tmp_path: Path) -> None:
    record, other = world.submit(SPEC).record, KeyRing(tmp_path / "other", {})
    document = json.loads(world.store.contents[key_of(record)])
    theirs = json.loads(
        signing.signed(signing.opened(world.store.contents[key_of(record)]).envelope.payload, other.signer)
    )
    document["signatures"] = [*theirs["signatures"], *document["signatures"]]
    world.store.contents[key_of(record)] = json.dumps(document).encode()
    found = looked_at(world, record)
    assert (found.state, found.key, len(found.keyids)) == ("trusted", "own", 2)


# Only what is trusted counts ----------------------------------------------------------------------------------------


def test_a_trusted_result_answers_and_is_compared_with(world: World) -> None:
    first = world.submit(SPEC).record
    assert submit(SPEC, world.site, SIGNED).record == first
    again = rerun(SPEC.hash, world.site, SIGNED).record
    assert again.comparison is not None
    assert again.comparison.reference == first.attempt


def break_it(store: MemoryStore, record: Record, how: str) -> None:
    if how == "unsigned":
        del store.contents[key_of(record)]
    elif how == "no envelope":
        store.contents[key_of(record)] = b"{}"
    else:
        document = json.loads(store.contents[key_of(record)])
        document["signatures"][0]["keyid"] = "f" * 64
        store.contents[key_of(record)] = json.dumps(document).encode()


@pytest.mark.parametrize("how", ["unsigned", "no envelope", "another key"])
def test_what_is_not_trusted_is_neither_reused_nor_compared_with(world: World, how: str) -> None:
    record = world.submit(SPEC).record
    break_it(world.store, record, how)
    world.site = world.without_engine()
    with pytest.raises(Untrusted, match=record.attempt) as error:
        submit(SPEC, world.site, SIGNED)
    assert "executor key trust" in error.value.advice
    assert "--force" in error.value.advice
    with pytest.raises(Untrusted, match=record.attempt):
        rerun(SPEC.hash, world.site, SIGNED)
    assert world.submit(SPEC).record == record  # who does not ask for it is answered as ever


def test_force_runs_it_again_and_compares_with_nothing_that_is_not_trusted(world: World) -> None:
    untrusted = world.submit(SPEC).record
    break_it(world.store, untrusted, "unsigned")
    mine = submit(SPEC, world.site, replace(SIGNED, force=True)).record
    assert mine.comparison is None
    assert world.store.reference(SPEC.hash) == untrusted.attempt  # it was first, and stays
    assert submit(SPEC, world.site, SIGNED).record == mine
    again = rerun(SPEC.hash, world.site, SIGNED).record
    assert again.comparison is not None
    assert again.comparison.reference == mine.attempt


def test_a_spec_without_a_result_runs(world: World) -> None:
    assert not submit(SPEC, world.site, SIGNED).cached
    with pytest.raises(NotFound):
        rerun(a_spec(seed=2).hash, world.site, SIGNED)


def test_a_reference_that_was_pointed_at_a_failure_does_not_count(world: World) -> None:
    world.program = Program(code=1)
    failed = world.submit(SPEC).record
    world.store.put_reference(SPEC.hash, failed.attempt)
    assert trusted_result(world.site, SPEC.hash, needed=True) is None


def test_a_record_under_the_key_of_another_attempt_is_corrupt(world: World) -> None:
    first, second = world.submit(SPEC).record, world.submit(SPEC, force=True).record
    keys = [layout.attempt(SPEC.hash, one.attempt) for one in (first, second)]
    for name in ("record.json", "provenance.json"):
        world.store.contents[f"{keys[0]}/{name}"] = world.store.contents[f"{keys[1]}/{name}"]
    with pytest.raises(CorruptObject, match=f"the record of {SPEC.hash.hex}/{first.attempt}"):
        submit(SPEC, world.site, SIGNED)
