from __future__ import annotations

from pathlib import Path

import pytest

from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import World, a_spec

SPEC = a_spec()
HASH = SPEC.hash.hex


def test_a_right_run_is_told_fact_by_fact(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    ran = run("verify", HASH[:8])
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"run {HASH}",
        "  ✓ spec and reference: as they were written",
        f"attempt {record.attempt}  succeeded",
        "  ✓ record, log and 2 blobs: every byte as its digest says",
        "  ✓ signed by own: this spec, its inputs, this attempt, its record and its outputs",
        "right: 1 attempt, 16 B",
    ]


def test_the_document_for_machines_has_the_same(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    document = run("verify", HASH, "--json").json
    assert (document["right"], document["spec_hash"], document["wrong"]) == (True, HASH, [])
    attempt = document["attempts"][0]
    assert (attempt["attempt"], attempt["blobs"], attempt["signature"]["state"]) == (record.attempt, 2, "trusted")


def test_wrong_bytes_end_with_five_and_are_named(run: Run, wired: World) -> None:
    digest = wired.submit(SPEC).record.outputs[0].digest
    wired.store.contents[layout.blob(digest)] = b"Weights"
    ran = run("verify", HASH)
    assert ran.code == 5
    assert f"  ✗ output model.pt: expected {digest}, found sha256:" in ran.out
    assert ran.out.splitlines()[-1] == "wrong: 1 thing in 1 attempt, 16 B"
    asked = run("verify", HASH, "--json")
    assert (asked.code, asked.json["right"]) == (5, False)
    assert asked.json["attempts"][0]["wrong"][0]["role"] == "output model.pt"


def test_a_wrong_spec_is_told_of_the_run(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.store.contents[f"{layout.run(SPEC.hash)}/spec.json"] = b"{}"
    ran = run("verify", HASH)
    assert ran.code == 5
    assert ran.out.splitlines()[1].startswith("  ✗ spec.json: expected sha256:")


def test_unsigned_is_a_warning_unless_a_signature_is_required(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    del wired.store.contents[layout.provenance(SPEC.hash, record.attempt)]
    plain = run("verify", HASH)
    assert plain.code == 0
    assert "  ! it is not signed\n      → who ran it cannot be told" in plain.out
    required = run("verify", HASH, "--require-signed")
    assert required.code == 5
    assert "  ✗ signature: it is not signed\n" in required.out
    assert "  ! " not in required.out


def test_an_attempt_without_a_record_is_told(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    wired.submit(SPEC, force=True)
    del wired.store.contents[f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"]
    ran = run("verify", HASH)
    assert ran.code == 5
    assert f"attempt {record.attempt}  unreadable\n  ✗ record.json: no such object" in ran.out
    assert f"attempt {record.attempt}\n  ! signed, and without a record" in ran.out


def test_one_attempt_can_be_named(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    second = wired.submit(SPEC, force=True).record
    document = run("verify", HASH, "--attempt", second.attempt, "--json").json
    assert [one["attempt"] for one in document["attempts"]] == [second.attempt]
    assert run("verify", HASH, "--attempt", "x", "--json").code == 2
    assert run("verify", "abcdef", "--json").code == 2


def test_an_unreadable_record_is_said_to_be(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    wired.store.contents[f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"] = b"{}"
    ran = run("verify", HASH)
    assert ran.code == 5
    assert f"attempt {record.attempt}  unreadable\n  ✗ record.json: expected a" in ran.out


@pytest.mark.parametrize("command", ["submit", "rerun"])
def test_what_is_not_trusted_is_refused_when_it_is_asked_for(
    run: Run, wired: World, tmp_path: Path, command: str
) -> None:
    record = wired.submit(SPEC).record
    del wired.store.contents[layout.provenance(SPEC.hash, record.attempt)]
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "{version: 1, name: digits, image: 'registry.example.org/ml/torch@" + str(SPEC.image.pinned) + "', "
        "command: ['true'], seed: 1, cpu: {threads: 2}, outputs: {weights: ['*.pt'], metrics: metrics.jsonl}}\n"
    )
    what = str(spec) if command == "submit" else HASH
    ran = run(command, what, "--require-signed", "--json")
    assert (ran.code, ran.json["error"]) == (5, "Untrusted")
    assert "not signed" in ran.err
    assert run("submit", spec, "--json").json["cached"] is True
