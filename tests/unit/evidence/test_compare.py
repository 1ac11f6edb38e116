from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.compare import compare
from executor.evidence.record import Record
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
