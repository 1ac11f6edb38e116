from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.compare import compare
from executor.evidence.record import Comparison, FileComparison, Record, TensorComparison
from executor.spec.canonical import Digest
from tests.unit.evidence.samples import file, record

FILES = st.dictionaries(st.sampled_from(["a.pt", "b.pt", "metrics.jsonl"]), st.sampled_from(["1", "2"]), min_size=1)


def of(contents: dict[str, str]) -> Record:
    return record(*(file(path, content) for path, content in contents.items()))


def test_equal_files_are_identical() -> None:
    assert compare(record(file("a.pt", "1")), record(file("a.pt", "1"))).verdict == "identical"


def test_other_bytes_differ_and_are_named() -> None:
    found = compare(record(file("a.pt", "1"), file("b.pt", "1")), record(file("a.pt", "1"), file("b.pt", "2")))
    assert (found.verdict, found.reason) == ("different", "1 of 2 files differs: b.pt")
    assert [f.same for f in found.files] == [True, False]


def test_a_file_of_one_side_differs() -> None:
    found = compare(record(file("a.pt", "1")), record(file("a.pt", "1"), file("b.pt", "1")))
    assert found.verdict == "different"
    assert found.files[1].reference is None


def test_ignored_files_never_count() -> None:
    one, other = (record(file("a.pt", "1"), file("tb/x", content, "ignored")) for content in "12")
    assert compare(one, other).verdict == "identical"


def test_comparing_nothing_proves_nothing() -> None:
    assert compare(record(), record()).verdict == "incomparable"
    assert compare(record(file("x", "1", "ignored")), record(file("x", "1", "ignored"))).verdict == "incomparable"


def test_a_failed_attempt_is_incomparable() -> None:
    failed = record(file("a.pt", "1"), status="failed")
    assert compare(record(file("a.pt", "1")), failed).reason == "this attempt failed"


def test_attempts_of_two_specs_are_incomparable() -> None:
    other = record(file("a.pt", "1"), spec_hash=Digest("c" * 64))
    assert compare(record(file("a.pt", "1")), other).verdict == "incomparable"


@given(FILES, FILES)
def test_the_verdict_is_that_of_the_result_digests_both_ways(left: dict[str, str], right: dict[str, str]) -> None:
    one, other = of(left), of(right)
    expected = "identical" if left == right else "different"
    assert compare(one, other).verdict == compare(other, one).verdict == expected
    assert (one.result_digest == other.result_digest) == (left == right)


# Weights within a bound

UNEQUAL = TensorComparison(reference="1" * 64, observed="2" * 64, tensors=2, different_count=1, max_ulp=4)
EQUAL = TensorComparison(reference="1" * 64, observed="1" * 64, tensors=2)


def weights(
    tensors: TensorComparison | None, ulp: int | None = 4, path: str = "a.pt", rules: dict[str, Any] | None = None
) -> Comparison:
    """`a.pt` and `b.pt`, of which `a.pt` differs as a file."""
    spec = {"outputs": {"ulp": ulp} if rules is None else rules}
    one, other = (record(file("a.pt", content), file("b.pt", "1"), spec=spec) for content in "12")
    return compare(one, other, {path: tensors} if tensors else None)


@pytest.mark.parametrize(
    ("tensors", "ulp", "verdict"),
    [
        (UNEQUAL, 4, "close"),
        (UNEQUAL, 3, "different"),
        (UNEQUAL, None, "different"),
        (UNEQUAL.model_copy(update={"max_ulp": 0}), 0, "close"),
        (UNEQUAL.model_copy(update={"max_ulp": None}), 2**31 - 1, "different"),
        (EQUAL, 0, "close"),
        (EQUAL, None, "different"),
        (EQUAL.model_copy(update={"problem": "the reference file is torn"}), 4, "different"),
        (UNEQUAL.model_copy(update={"problem": "the reference file is torn"}), 4, "different"),
        (UNEQUAL.model_copy(update={"only": {"reference": ("w",), "observed": ()}}), 4, "different"),
        (TensorComparison(reference=None, observed=None), 4, "different"),
        (None, 4, "different"),
    ],
)
def test_weights_within_the_bound_of_the_spec_are_close(
    tensors: TensorComparison | None, ulp: int | None, verdict: str
) -> None:
    found = weights(tensors, ulp)
    assert found.verdict == verdict
    assert found.reason.startswith("1 of 2 files differs: a.pt")
    assert (f"every value is within {ulp} units" in found.reason) == (verdict == "close")
    assert [one.tensors for one in found.files] == [tensors, None]


def test_what_is_known_of_another_file_says_nothing_of_this_one() -> None:
    assert weights(UNEQUAL, path="b.pt").verdict == "different"


def test_a_spec_without_a_bound_has_none() -> None:
    assert weights(UNEQUAL, rules={}).verdict == "different"


def test_every_file_that_differs_must_be_close() -> None:
    spec = {"outputs": {"ulp": 4}}
    one, other = (record(file("a.pt", content), file("m.jsonl", content, "metrics"), spec=spec) for content in "12")
    assert compare(one, other, {"a.pt": UNEQUAL}).verdict == "different"
    assert compare(one, other, {"a.pt": UNEQUAL, "m.jsonl": EQUAL}).verdict == "close"


def test_a_file_of_one_side_is_never_close() -> None:
    spec = {"outputs": {"ulp": 4}}
    one, other = record(file("a.pt", "1"), spec=spec), record(file("a.pt", "2"), file("b.pt", "1"), spec=spec)
    assert compare(one, other, {"a.pt": EQUAL}).verdict == compare(other, one, {"a.pt": EQUAL}).verdict == "different"


def test_equal_files_are_identical_whatever_the_bound() -> None:
    one = record(file("a.pt", "1"), spec={"outputs": {"ulp": 0}})
    assert compare(one, one, {"a.pt": UNEQUAL}).verdict == "identical"


def test_tensors_are_the_same_only_when_both_were_read() -> None:
    assert (EQUAL.same, UNEQUAL.same) == (True, False)
    assert not TensorComparison(reference=None, observed=None).same


def test_only_a_file_of_both_has_two_digests() -> None:
    (both,) = compare(record(file("a.pt", "1")), record(file("a.pt", "2"))).files
    assert both.both == (both.reference, both.observed)
    for side in ("reference", "observed"):
        alone: FileComparison = both.model_copy(update={side: None})
        with pytest.raises(ValueError, match=r"a\.pt is in one of the two alone"):
            _ = alone.both
