from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

from executor.evidence.record import Blob, Hints, Record
from executor.facts import Outcome
from executor.spec.canonical import Digest
from executor.steps.exports.crate_document import Packed, document, manifest
from tests.fakes import NOON
from tests.unit.evidence.samples import IDENTITY, record

IMAGE, TREE = Digest.of(b"image"), Digest.of(b"tree")
SPEC: dict[str, Any] = {
    "seed": 7, "image": str(IMAGE), "code": "c" * 40, "data": {"digits": str(TREE)}, "command": ["python", "train.py"],
    "params": {"lr": 0.1, "hidden": [128, 64], "deep": {"on": True}}, "env": {"A": "1", "B": "2"},
}  # fmt: skip
HINTS = Hints(name="mlp", image="registry.example.org/ml/torch", repo="https://example.org/a.git",
              sources={"digits": "s3://acme/digits"}, submitter="Ada", labels={"license": "MIT"})  # fmt: skip
FILES = [Packed("outputs/a b#.pt", Digest.of(b"w"), 3, "weights", output=True),
         Packed("code.tar", Digest.of(b"c"), 4, "code"), Packed("spec.json", Digest.of(b"s"), 5, "spec")]  # fmt: skip


def a_run(**changes: Any) -> Record:
    listed = Blob(digest=Digest.of(b"m"), size=1)
    known: dict[str, Any] = {"spec": SPEC, "hints": HINTS, "metrics": {"loss": 0.5, "bad": math.nan},
                             "manifests": {"digits": listed}}  # fmt: skip
    return record(**known | changes)


def entities(made: Record, *signers: str) -> dict[str, dict[str, Any]]:
    whole = document(made, FILES, signers)
    json.dumps(whole, allow_nan=False)
    assert len({one["@id"] for one in whole["@graph"]}) == len(whole["@graph"])
    return {one["@id"]: one for one in whole["@graph"]}


def ids(value: Any) -> list[str]:
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_the_run_is_an_action_of_the_code_on_its_inputs() -> None:
    made = entities(a_run())
    action = made["#20260101T120000Z-00000000"]
    assert ids(made["./"]["mentions"]) == [action["@id"]]
    assert ids(action["instrument"]) == ["code.tar"]
    assert ids(action["object"]) == ["spec.json", "#data-digits", "#value-lr", "#value-hidden", "#value-deep.on",
                                     "#value-seed"]  # fmt: skip
    assert ids(action["result"]) == ["outputs/a%20b%23.pt", "#outcome-exit%20status", "#metric-loss", "#metric-bad"]
    assert (action["startTime"], action["actionStatus"]) == (
        "2026-01-01T12:00:00.000+00:00", "http://schema.org/CompletedActionStatus",
    )  # fmt: skip
    assert (ids(action["agent"]), made["#submitter"]["name"]) == (["#submitter"], "Ada")
    assert ids(action["environment"]) == ["#variable-A", "#variable-B"]
    assert "error" not in action


def test_inputs_are_named_by_their_digests() -> None:
    made = entities(a_run())
    code, image, data = made["code.tar"], made["#image"], made["#data-digits"]
    assert (code["@type"], code["version"], code["url"]) == (
        ["File", "SoftwareSourceCode"], "c" * 40, "https://example.org/a.git",
    )  # fmt: skip
    assert (code["sha256"], code["contentSize"]) == (Digest.of(b"c").hex, "4")
    assert (image["sha256"], image["registry"], image["name"]) == (IMAGE.hex, "registry.example.org/ml", "torch")
    assert (data["identifier"], data["url"], ids(data["subjectOf"])) == (
        str(TREE), "s3://acme/digits", ["data/digits.manifest"],
    )  # fmt: skip


def test_each_parameter_has_its_kind_and_its_value() -> None:
    made = entities(a_run())
    kinds = {name: made[f"#parameter-{name}"]["additionalType"] for name in ("lr", "hidden", "deep.on", "seed")}
    assert kinds == {"lr": "Float", "hidden": "Text", "deep.on": "Boolean", "seed": "Integer"}
    values = {name: made[f"#value-{name}"]["value"] for name in ("lr", "hidden", "deep.on", "seed")}
    assert values == {"lr": 0.1, "hidden": "[128, 64]", "deep.on": True, "seed": 7}
    assert ids(made["code.tar"]["input"]) == [f"#parameter-{name}" for name in kinds]
    assert made["#metric-bad"]["value"] == "NaN"


def test_a_run_that_failed_says_how() -> None:
    ended = Outcome(exit_code=None, oom_killed=True, reason="out of memory", started=NOON,
                    finished=NOON + timedelta(seconds=1.5))  # fmt: skip
    made = entities(a_run(status="failed", outcome=ended))
    action = made["#20260101T120000Z-00000000"]
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "failed, no exit status (out of memory)"
    assert made["#outcome-exit%20status"]["value"] == "none"
    assert action["endTime"] == "2026-01-01T12:00:01.500+00:00"


def test_what_nobody_said_is_not_made_up() -> None:
    bare = a_run(hints=Hints(name="x", image="torch"), spec=IDENTITY, manifests={})
    made = entities(bare)
    assert made["#license"]["name"] == "not stated"
    assert (made["#program"]["@type"], made["#program"]["softwareVersion"]) == (
        "SoftwareApplication", IDENTITY["image"],
    )  # fmt: skip
    assert not {"agent", "environment"} & made["#20260101T120000Z-00000000"].keys()
    assert made["./"].get("author") is None
    assert entities(bare, "ab" * 32)["#key-abababababababab"]["name"] == f"holder of the key {'ab' * 32}"


def test_a_licence_with_an_address_is_linked() -> None:
    url = "https://spdx.org/licenses/MIT"
    made = entities(a_run(hints=HINTS.model_copy(update={"labels": {"license": url}})))
    assert ids(made["./"]["license"]) == [url]
    assert entities(a_run())["#license"]["name"] == "MIT"


def test_no_name_of_a_store_leads_out_of_the_crate() -> None:
    assert manifest("../../x") == "data/..%2F..%2Fx.manifest"
