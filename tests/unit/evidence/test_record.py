import json
import math
from typing import Any

import pytest

from executor.errors import CorruptObject
from executor.evidence.compare import compare
from executor.evidence.divergence import Divergence
from executor.evidence.predict import Prediction
from executor.evidence.proof import Proof, Read
from executor.evidence.record import Blob, Record, agreement, view
from executor.spec.canonical import Digest
from tests.unit.evidence.golden import PATH, golden
from tests.unit.evidence.samples import file, record

PROMISED = {
    "spec_hash", "attempt", "status", "cached", "exit_code", "verdict", "outputs", "metrics", "findings", "runtime_s",
    "store", "experiment_key", "name", "reason", "prediction", "proof", "varied", "created", "refused_outputs",
    "comparison", "submitter",
}  # fmt: skip
DETAILS = {"outputs", "refused_outputs", "comparison"}
"""Left out of a list."""
READ = Read(kind="clock", what="time.time", file="a.py", line=3, count=1, first=0, last=9, process="0")
LATER: dict[str, Any] = {
    "trace": Blob(digest=Digest.of(b"trace"), size=5), "steps": 7, "varied": {"cpus": "2"},
    "proof": Proof(standing="violated", reasons=("why",), reads=(READ,), settings={"threads": 2, "isa": None}),
    "prediction": Prediction(value="unknown", rule="clock", why="the program reads a clock"),
}  # fmt: skip
"""Fields that records of before do not have."""


def test_a_record_survives_its_json() -> None:
    one = record(file("a.pt", "1"), metrics={"loss": 0.1}, log=Blob(digest=Digest.of(b""), size=0))
    assert Record.from_json(one.to_json(), "key") == one


def test_the_golden_record_is_written_and_read_as_ever() -> None:
    assert golden().to_json() == PATH.read_bytes()
    assert Record.from_json(PATH.read_bytes(), "golden").to_json() == PATH.read_bytes()


def test_metrics_that_are_no_numbers_survive() -> None:
    one = record(metrics={"a": math.nan, "b": math.inf, "c": -math.inf})
    again = Record.from_json(one.to_json(), "key").metrics
    assert math.isnan(again["a"])
    assert (again["b"], again["c"]) == (math.inf, -math.inf)
    json.loads(one.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_fields_of_a_later_version_are_ignored() -> None:
    later = json.loads(record().to_json()) | {"news": 1}
    assert Record.from_json(json.dumps(later).encode(), "key") == record()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}'])
def test_what_is_no_record_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptObject, match="expected a record"):
        Record.from_json(data, "v1/runs/x")


def test_every_blob_is_named_once() -> None:
    log, tree = Blob(digest=Digest.of(b"log"), size=3), Blob(digest=Digest.of(b"tree"), size=4)
    one = record(file("a.pt", "1"), file("b.pt", "1"), log=log, manifests={"d": tree})
    assert one.blobs() == {Digest.of(b"1"): 1, log.digest: 3, tree.digest: 4}


def test_agreement_counts_successes_that_equal_the_first() -> None:
    same, other, failed = record(file("a", "1")), record(file("a", "2")), record(status="failed")
    assert agreement([same, other, failed, same]) == (2, 3)
    assert agreement([failed]) == (0, 0)


def test_the_view_keeps_every_promised_field() -> None:
    assert view(record(), cached=True, store="s").keys() == PROMISED
    assert view(record(), cached=True, store="s", outputs=False).keys() == PROMISED - DETAILS


def test_the_view_is_json_whatever_the_metrics() -> None:
    shown = view(record(file("a", "1"), metrics={"a": math.nan, "b": 0.5}), cached=False, store="s")
    assert json.loads(json.dumps(shown, allow_nan=False))["metrics"] == {"a": "NaN", "b": 0.5}


def differing(**changes: Any) -> Record:
    """A record with another file than its reference."""
    one, other = (record(file("a.pt", content), file("b.pt", "1"), **changes) for content in "12")
    return other.model_copy(update={"comparison": compare(one, other)})


def test_a_difference_has_a_divergence() -> None:
    shown = view(differing(), cached=False, store="s")
    assert shown["divergence"] == {"step": None, "tensor": None, "cause": None, "where": None, "prediction": None,
                                   "kind": "output", "file": "a.pt"}  # fmt: skip
    assert view(differing(), cached=False, store="s", outputs=False)["divergence"] == shown["divergence"]


@pytest.mark.parametrize(("verdict", "told"), [("different", True), ("close", True), ("identical", False),
                                               ("incomparable", False)])  # fmt: skip
def test_a_divergence_that_was_explained_is_shown(verdict: str, told: bool) -> None:
    found = Divergence(step=3, kind="gradient", cause="threads", setting="threads", reason="why", evidence=("a",))
    one = differing()
    assert one.comparison is not None
    comparison = one.comparison.model_copy(update={"verdict": verdict, "divergence": found})
    shown = view(one.model_copy(update={"comparison": comparison}), cached=False, store="s", outputs=False)
    assert shown["verdict"] == verdict
    assert shown.get("divergence") == (found.model_dump(mode="json") if told else None)


def test_the_view_tells_what_was_predicted_proven_and_varied() -> None:
    shown = view(record(**LATER), cached=False, store="s", outputs=False)
    assert shown["prediction"] == {"value": "unknown", "rule": "clock", "why": "the program reads a clock"}
    assert shown["proof"] == {"standing": "violated", "reasons": ["why"]}
    assert (shown["varied"], shown["name"], shown["experiment_key"]) == ({"cpus": "2"}, "x", "b" * 64)
    plain = view(record(), cached=False, store="s")
    assert (plain["prediction"], plain["proof"], plain["varied"], plain["comparison"]) == (None, None, {}, None)


def test_the_view_tells_the_comparison_and_what_was_refused() -> None:
    one = differing(refused_outputs={"link": "a symbolic link"})
    shown = view(one, cached=False, store="s")
    assert one.comparison is not None
    assert shown["comparison"] == one.comparison.model_dump(mode="json")
    assert shown["refused_outputs"] == {"link": "a symbolic link"}
    json.dumps(shown, allow_nan=False)


def test_what_came_later_survives_and_may_be_missing() -> None:
    one = record(**LATER)
    assert Record.from_json(one.to_json(), "key") == one
    before = {name: value for name, value in json.loads(one.to_json()).items() if name not in LATER}
    assert Record.from_json(json.dumps(before).encode(), "key") == record()


def test_the_trace_is_a_blob_of_the_record() -> None:
    assert record(trace=LATER["trace"]).blobs() == {Digest.of(b"trace"): 5}


def test_varied_attempts_do_not_count_for_agreement() -> None:
    same, varied = record(file("a", "1")), record(file("a", "2"), varied={"cpus": "2"})
    assert agreement([varied, same, varied, same]) == (2, 2)
