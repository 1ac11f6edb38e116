import json
import math

import pytest

from executor.errors import CorruptObject
from executor.evidence.compare import compare
from executor.evidence.record import Blob, Record, agreement, view
from executor.spec.canonical import Digest
from tests.unit.evidence.golden import PATH, golden
from tests.unit.evidence.samples import file, record

PROMISED = {
    "spec_hash", "attempt", "status", "cached", "exit_code", "verdict", "outputs", "metrics", "findings", "runtime_s",
    "store",
}  # fmt: skip


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
    assert view(record(), cached=True, store="s").keys() >= PROMISED
    assert view(record(), cached=True, store="s", outputs=False).keys() >= PROMISED - {"outputs"}


def test_the_view_is_json_whatever_the_metrics() -> None:
    shown = view(record(file("a", "1"), metrics={"a": math.nan, "b": 0.5}), cached=False, store="s")
    assert json.loads(json.dumps(shown, allow_nan=False))["metrics"] == {"a": "NaN", "b": 0.5}


def test_a_difference_has_a_divergence() -> None:
    one, other = record(file("a.pt", "1")), record(file("a.pt", "2"))
    shown = view(other.model_copy(update={"comparison": compare(one, other)}), cached=False, store="s")
    assert shown["divergence"] == {"step": None, "tensor": None, "cause": None, "where": None, "prediction": None,
                                   "kind": "output", "file": "a.pt"}  # fmt: skip
