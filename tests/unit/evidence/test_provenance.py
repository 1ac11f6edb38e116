import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from executor.evidence.provenance import CLAIMS, TREE, disagreements, payload, statement
from executor.evidence.record import Hints, Record
from executor.spec.canonical import Digest, canonical_bytes
from tests.unit.evidence.golden_provenance import PATH, signed, written
from tests.unit.evidence.samples import file, record

DIGEST = Digest.of(b"the stored bytes of a record")


def said(one: Record) -> dict[str, Any]:
    """The statement as JSON gives it back."""
    found: dict[str, Any] = json.loads(payload(one, DIGEST))
    return found


def names(described: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in described]


@pytest.mark.parametrize("status", ["succeeded", "failed", "interrupted"])
@pytest.mark.parametrize("one", [signed(), record(), record(file("a b/ü.pt", "1"), hints=Hints(name="x", image="x"))])
def test_the_schemas_of_in_toto_and_slsa_accept_it(one: Record, status: str) -> None:
    found = said(one.model_copy(update={"status": status}))
    parsed = json_format.ParseDict(found, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    provenance = json_format.ParseDict(found["predicate"], Provenance())  # an unknown field is an error
    assert provenance.build_definition.build_type == "urn:repro-executor:run:v1"
    assert provenance.run_details.builder.id
    assert provenance.run_details.metadata.invocation_id == one.attempt
    assert provenance.run_details.metadata.finished_on.ToDatetime() == one.outcome.finished.replace(tzinfo=None)
    assert all(len(resource.digest) for resource in provenance.build_definition.resolved_dependencies)


def test_the_golden_statement_is_made_as_ever() -> None:
    assert written() == PATH.read_text()


def test_the_bytes_that_are_signed_are_the_statement_and_equal_each_time() -> None:
    assert payload(signed(), DIGEST) == payload(signed(), DIGEST)
    assert said(signed()) == statement(signed(), DIGEST)


def test_a_success_has_its_record_and_every_output_as_subjects() -> None:
    one = record(file("a.pt", "1"), file("tb/x", "2", "ignored"), file("record.json", "3"))
    subject = {found["name"]: found["digest"] for found in said(one)["subject"]}
    assert subject == {
        "record.json": {"sha256": DIGEST.hex},
        "outputs/a.pt": {"sha256": Digest.of(b"1").hex},
        "outputs/tb/x": {"sha256": Digest.of(b"2").hex},
        "outputs/record.json": {"sha256": Digest.of(b"3").hex},
    }


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_what_another_attempt_left_is_no_subject_but_is_named(status: str) -> None:
    found = said(record(file("a.pt", "1"), status=status))
    byproducts = found["predicate"]["runDetails"]["byproducts"]
    assert names(found["subject"]) == ["record.json"]
    assert names(byproducts) == ["record.json", "outputs/a.pt"]
    assert byproducts[0]["annotations"] == {"status": status, "exitCode": 0}


def test_every_input_is_named_with_its_digest() -> None:
    one = signed()
    found = {one["name"]: one for one in said(one)["predicate"]["buildDefinition"]["resolvedDependencies"]}
    tree = Digest.of(b"tree").hex
    assert found["spec.json"]["digest"] == {"sha256": Digest.of(canonical_bytes(one.spec)).hex}
    assert found["image"]["digest"] == {"sha256": "1" * 64}
    assert found["image"]["uri"] == (f"pkg:oci/torch@sha256%3A{'1' * 64}?repository_url=registry.example.org/ml/torch")
    assert found["code"]["digest"] == {"gitCommit": "2" * 40}
    assert found["code"]["uri"] == f"git+https://example.org/acme/digits.git@{'2' * 40}"
    assert found["code archive"]["digest"] == {"sha256": Digest.of(b"code").hex}
    assert found["data/digits"]["digest"] == {TREE: tree, "sha256": tree}
    assert found["data/digits"]["uri"] == "s3://acme-data/digits"


def test_a_place_on_this_machine_is_no_address_for_others() -> None:
    one = signed(hints=Hints(name="x", image="torch", repo="/home/ada/digits", sources={"digits": "/data/digits"}))
    assert "/home/ada" not in (text := payload(one, DIGEST).decode())
    assert "/data/digits" not in text


def test_the_seed_and_the_types_of_numbers_survive() -> None:
    spec = said(signed())["predicate"]["buildDefinition"]["externalParameters"]["spec"]
    assert canonical_bytes(spec) == canonical_bytes(signed().spec)


def test_a_statement_agrees_with_its_own_record() -> None:
    assert disagreements(said(signed()), signed(), DIGEST) == []


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"attempt": "20260101T120000Z-ffffffff"}, "attempt"),
        ({"spec_hash": Digest("c" * 64)}, "spec"),
        ({"spec": signed().spec | {"seed": 1}}, "spec"),
        ({"spec": signed().spec | {"image": f"sha256:{'3' * 64}"}}, "inputs"),
        ({"outputs": ()}, "subject"),
        ({"status": "failed"}, "subject"),
        ({"varied": {}}, "settings"),
        ({"code": None}, "inputs"),
        ({"executor": "9"}, "builder"),
        ({"log": None}, "byproducts"),
    ],
)  # fmt: skip
def test_a_statement_about_another_record_says_where_it_differs(changes: dict[str, Any], claim: str) -> None:
    found = disagreements(said(signed(**changes)), signed(), DIGEST)
    assert f"its {claim} is not that of the record" in found


def test_the_record_itself_is_signed_for() -> None:
    assert disagreements(said(signed()), signed(), Digest.of(b"other bytes"))[0] == (
        "its subject is not that of the record"
    )


def _without(path: tuple[str, ...]) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return change


@pytest.mark.parametrize(("claim", "path"), CLAIMS.items())
def test_every_claim_must_be_there(claim: str, path: tuple[str, ...]) -> None:
    found = said(signed())
    _without(path)(found)
    assert disagreements(found, signed(), DIGEST) == [f"its {claim} is not that of the record"]


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [[]], float("nan"), {"name": float("inf")}, "\ud800"])
@pytest.mark.parametrize("key", ["subject", "predicate"])
def test_anything_of_the_wrong_kind_disagrees(key: str, value: Any) -> None:
    found = copy.deepcopy(said(signed())) | {key: value}
    assert disagreements(found, signed(), DIGEST)


def test_what_a_later_version_adds_elsewhere_is_no_disagreement() -> None:
    found = said(signed())
    found["predicate"]["runDetails"]["news"] = {"a": 1}
    assert disagreements(found, signed(), DIGEST) == []


def test_one_is_not_one_point_nought() -> None:
    found = said(signed())
    found["predicate"]["buildDefinition"]["externalParameters"]["spec"]["params"]["layers"] = 2.0
    assert disagreements(found, signed(), DIGEST) == ["its spec is not that of the record"]


@pytest.mark.parametrize(
    "spec", [{"image": 1}, {"image": "x"}, {"data": []}, {"data": {"a": None}}, {"seed": float("nan")}]
)
def test_a_record_without_a_spec_agrees_with_nothing(spec: dict[str, Any]) -> None:
    found = disagreements(said(signed()), signed(spec=spec), DIGEST)
    assert found[0].startswith("the spec in the record is n")


def test_a_record_whose_spec_was_exchanged_is_found_whatever_was_signed() -> None:
    changed = signed(spec=signed().spec | {"seed": 1})
    assert disagreements(said(changed), changed, DIGEST) == ["the spec in the record is not that of its hash"]
