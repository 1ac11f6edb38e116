"""Signed evidence with real parts: what was stored is verified, by us and by a stranger who has none of our code."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from executor.evidence.record import Record
from executor.spec.canonical import Digest, sealed
from executor.store import layout
from executor.store.interface import Store
from tests.integration.conftest import MakeMachine
from tests.integration.site import EXECUTOR, SCRIPT, SPEC, Machine, containers, project

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Run:
    """A run that ended, with data and code, on a machine of its own."""

    machine: Machine
    record: Record
    spec: Path

    @property
    def hash(self) -> str:
        return self.record.spec_hash.hex

    @property
    def store(self) -> Store:
        return self.machine.store

    def key(self, name: str) -> str:
        """Key of a document of the attempt."""
        return f"{layout.attempt(self.record.spec_hash, self.record.attempt)}/{name}"


@pytest.fixture(params=["file", "s3"])
def ran(request: pytest.FixtureRequest, make_machine: MakeMachine, small_image: str) -> Run:
    machine = make_machine(request.param)
    more = "data: {numbers: {source: numbers.csv}}\n"
    draft = project(machine.folder / "project", SPEC + more, run_sh=SCRIPT, numbers_csv="1,2\n")
    done = machine.run("submit", "--lock", "--json", "-q", draft)
    assert done.code == 0, done
    return Run(machine, machine.record(done.json), draft.with_name("spec.lock.yaml"))


@pytest.fixture
def elsewhere(ran: Run, tmp_path: Path) -> Machine:
    """Another machine with the same store, and a home of its own."""
    (tmp_path / "elsewhere").mkdir()
    return replace(ran.machine, folder=tmp_path / "elsewhere")


# A stranger ---------------------------------------------------------------------------------------------------------


def test_a_stranger_verifies_an_export_with_the_tools_of_in_toto(ran: Run, tmp_path: Path) -> None:
    target = tmp_path / "run.intoto.jsonl"
    assert ran.machine.run("export", ran.hash, "--as", "in-toto", "--output", target).code == 0
    pem = ran.machine.run("key", "show").out.encode()

    key = SSlibKey.from_crypto(load_pem_public_key(pem))
    (line,) = target.read_text().splitlines()
    envelope = Envelope.from_dict(json.loads(line))
    assert list(envelope.verify([key], 1)) == [key.keyid]
    statement = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    predicate = json.loads(envelope.payload)["predicate"]
    provenance = json_format.ParseDict(predicate, Provenance())
    assert provenance.run_details.metadata.invocation_id == ran.record.attempt
    assert {one.name: one.digest["sha256"] for one in statement.subject if one.name != "record.json"} == {
        f"outputs/{file.path}": file.digest.hex for file in ran.record.outputs
    }
    inputs = {one.name: dict(one.digest) for one in provenance.build_definition.resolved_dependencies}
    assert inputs.keys() == {"spec.json", "image", "code", "code archive", "data/numbers"}
    assert inputs["code"] == {"gitCommit": ran.record.spec["code"]}

    envelope.payload = envelope.payload.replace(b"outputs/model.pt", b"outputs/model.qt")
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


# Every byte ---------------------------------------------------------------------------------------------------------


def kinds(ran: Run) -> Iterator[tuple[str, str]]:
    """Everything that is stored of a run: how `verify` calls it, and its key."""
    one = ran.record
    assert one.log
    assert one.code
    for file in one.outputs:
        yield f"output {file.path}", layout.blob(file.digest)
    yield "log", layout.blob(one.log.digest)
    yield "code", layout.blob(one.code.digest)
    yield "manifest of data numbers", layout.blob(one.manifests["numbers"].digest)
    yield "record.json", ran.key("record.json")
    yield "provenance.json", ran.key("provenance.json")
    yield "spec.json", f"{layout.run(one.spec_hash)}/spec.json"
    yield "reference.json", f"{layout.run(one.spec_hash)}/reference.json"


def test_every_kind_of_byte_that_is_flipped_is_found_and_named(ran: Run) -> None:
    right = ran.machine.run("verify", ran.hash)
    assert right.code == 0, right
    for name, key in kinds(ran):
        data = ran.store.read(key)
        for at in {0, len(data) // 2, len(data) - 2} if name == "provenance.json" else {len(data) // 2}:
            flipped = bytearray(data)
            flipped[at] ^= 1
            ran.store.overwrite(key, bytes(flipped))
            found = ran.machine.run("verify", ran.hash)
            assert (found.code, f"✗ {name}: " in found.out) == (5, True), (name, at, found)
        if key.startswith(layout.BLOBS):
            ran.store.remove(key)
            gone = ran.machine.run("verify", ran.hash)
            assert gone.code == 5
            assert f"✗ {name}: " in gone.out
            assert "no such object" in gone.out
        ran.store.overwrite(key, data)
    assert ran.machine.run("verify", ran.hash).out == right.out


def test_what_is_changed_with_all_its_digests_is_found_by_its_signature(ran: Run) -> None:
    digest = ran.store.put_bytes(b"other weights\n")
    document = json.loads(ran.store.read(ran.key("record.json")))
    document.pop("seal")
    file = next(one for one in document["outputs"] if one["path"] == "model.pt")
    file |= {"digest": str(digest), "size": len(b"other weights\n")}
    ran.store.overwrite(ran.key("record.json"), sealed(document))
    found = ran.machine.run("verify", ran.hash, "--json")
    assert found.code == 5
    (wrong,) = found.json["attempts"][0]["wrong"]
    assert wrong["role"] == "record.json"
    assert "its subject is not that of the record" in wrong["problem"]
    assert ran.machine.run("submit", "--require-signed", ran.spec).code == 5


def test_a_signature_is_not_passed_on_to_another_attempt(ran: Run) -> None:
    again = ran.machine.run("rerun", "-q", "--json", ran.hash)
    assert again.code == 0, again
    mine = layout.provenance(Digest(ran.hash), again.json["attempt"])
    ran.store.overwrite(mine, ran.store.read(ran.key("provenance.json")))
    found = ran.machine.run("verify", ran.hash, "--attempt", again.json["attempt"])
    assert found.code == 5
    assert "✗ record.json: what was signed is not what is stored" in found.out
    assert ran.machine.run("verify", ran.hash, "--attempt", ran.record.attempt).code == 0


def test_an_answer_from_the_store_pays_nothing_for_signatures(ran: Run) -> None:
    command = [sys.executable, "-X", "importtime", str(EXECUTOR), "submit", "--json", str(ran.spec)]
    done = subprocess.run(command, env=ran.machine.environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["cached"] is True
    assert "executor.run" in done.stderr
    assert "securesystemslib" not in done.stderr
    assert "cryptography" not in done.stderr


# Whom to trust --------------------------------------------------------------------------------------------------------


def test_another_machine_trusts_a_key_before_it_counts(ran: Run, elsewhere: Machine) -> None:
    keyid = ran.machine.run("key", "show", "--json").json["keyid"]
    unknown = elsewhere.run("verify", ran.hash, "--json")
    assert (unknown.code, unknown.json["attempts"][0]["signature"]["state"]) == (0, "unknown key")
    assert elsewhere.run("verify", ran.hash, "--require-signed").code == 5
    for words in (("submit", ran.spec), ("rerun", ran.hash)):
        refused = elsewhere.run(*words, "--require-signed", "--json")
        assert (refused.code, refused.json["error"]) == (5, "Untrusted"), refused
        assert keyid in refused.json["message"]
    assert len(ran.store.attempts(ran.record.spec_hash)) == 1
    assert containers(ran.hash) == []
    assert elsewhere.run("submit", "--json", ran.spec).json["cached"] is True

    half = elsewhere.run("key", "trust", keyid[:10], "--name", "lab")
    assert (half.code, "--fingerprint" in half.err) == (2, True)
    assert elsewhere.run("key", "trust", keyid[:10], "--fingerprint", keyid, "--name", "lab").code == 0
    trusted = elsewhere.run("verify", ran.hash, "--require-signed", "--json")
    assert (trusted.code, trusted.json["attempts"][0]["signature"]["key"]) == (0, "lab")
    assert elsewhere.run("submit", "--require-signed", "--json", ran.spec).json["cached"] is True
    assert elsewhere.run("rerun", "-q", "--require-signed", ran.hash).code == 0

    assert elsewhere.run("key", "forget", "lab").code == 0
    assert elsewhere.run("submit", "--require-signed", ran.spec).code == 0  # its own rerun counts now


def test_force_gives_a_result_that_is_compared_with_nothing_untrusted(ran: Run, elsewhere: Machine) -> None:
    mine = elsewhere.run("submit", "-q", "--force", "--require-signed", "--json", ran.spec)
    assert (mine.code, mine.json["cached"], mine.json["verdict"]) == (0, False, None)
    answered = elsewhere.run("submit", "--require-signed", "--json", ran.spec)
    assert (answered.json["cached"], answered.json["attempt"]) == (True, mine.json["attempt"])


def test_a_run_that_failed_is_signed_too(make_machine: MakeMachine, small_image: str) -> None:
    machine = make_machine("file")
    draft = project(machine.folder / "project", SPEC, run_sh="echo half >/outputs/model.pt; exit 3")
    done = machine.run("submit", "--lock", "--json", "-q", draft)
    assert done.code == 1, done
    found = machine.run("verify", done.json["spec_hash"], "--require-signed")
    assert found.code == 0, found
    envelope = machine.store.read(layout.provenance(Digest(done.json["spec_hash"]), done.json["attempt"]))
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    assert [one["name"] for one in statement["subject"]] == ["record.json"]
