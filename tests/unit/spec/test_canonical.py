import io
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given

from executor.spec.canonical import SPEC_TAG, Digest, canonical_bytes, spec_hash
from tests.unit.spec.strategies import VALUES, independent_json


def exactly(value: object) -> str:
    """Python's equality merges 1, 1.0 and true, 0.0 and -0.0; their representations do not."""
    return repr(value)


@given(VALUES)
def test_canonical_bytes_round_trip_type_exactly(value: object) -> None:
    back = json.loads(canonical_bytes(value))
    assert exactly(json.loads(canonical_bytes(back))) == exactly(back)
    assert canonical_bytes(back) == canonical_bytes(value)


@given(VALUES)
def test_canonical_bytes_are_what_the_document_says(value: object) -> None:
    assert canonical_bytes(value).decode() == independent_json(value)


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(one: object, other: object) -> None:
    same = independent_json(one) == independent_json(other)
    assert (canonical_bytes(one) == canonical_bytes(other)) is same


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), (None, "null")])
def test_types_are_told_apart(one: object, other: object) -> None:
    assert canonical_bytes(one) != canonical_bytes(other)


def test_keys_are_sorted_by_code_point_and_nothing_is_escaped_without_need() -> None:
    assert canonical_bytes({"é": 1, "z": 2, "Z": 3, "😀": "/\x7f"}).decode() == '{"Z":3,"z":2,"é":1,"😀":"/\x7f"}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "not a finite number: nan"),
        ({"a": [-math.inf]}, "not a finite number: -inf"),
        ({1: 2}, "a key must be a string: 1"),
        ({1, 2}, "cannot be written as JSON: set"),
        (b"x", "cannot be written as JSON: bytes"),
    ],
)
def test_what_json_lacks_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        canonical_bytes(value)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        canonical_bytes("\ud800")


def test_the_hash_is_of_the_tag_and_the_bytes() -> None:
    assert spec_hash({"b": 1, "a": 2}) == Digest.of(SPEC_TAG + b'{"a":2,"b":1}')


def test_a_digest_reads_and_writes_itself() -> None:
    digest = Digest.of(b"")
    assert str(digest) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize("text", ["", "a" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 64])
def test_other_digests_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        Digest.parse(text)


def test_a_stream_is_digested_with_its_length() -> None:
    data = b"x" * (3 << 20)
    assert Digest.of_stream(io.BytesIO(data)) == (Digest.of(data), len(data))


def test_pydantic_and_yaml_stay_out() -> None:
    program = "import sys, executor.spec.canonical; print({'pydantic', 'yaml'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
