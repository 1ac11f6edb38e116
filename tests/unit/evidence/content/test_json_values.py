import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.content.explain import explain
from executor.evidence.content.json_values import differences
from tests.unit.evidence.content.samples import as_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ({"history": [{"loss": 0.25}]}, {"history": [{"loss": 0.25000003}]}, "history[0].loss: 0.25 → 0.25000003"),
        ({"a": 1}, {"a": 1.0}, "a: 1 → 1.0"),
        ({"a": 1}, {"a": True}, "a: 1 → true"),
        ({"a": 0.0}, {"a": -0.0}, "a: 0.0 → -0.0"),
        ({"a": 1.0}, {"a": float("nan")}, "a: 1.0 → NaN"),
        ({"a": 1}, {}, "a: 1 → missing"),
        ({}, {"a": None}, "a: missing → null"),
        ({"a": [1, 2]}, {"a": [1]}, "a length: 2 → 1"),
        ({"a": {"b": 1}}, {"a": [1]}, "a: {1 fields} → [1 items]"),
        ({"a.b": {"c d": 1}}, {"a.b": {"c d": 2}}, '"a.b".c d: 1 → 2'),
        ([1], [2], "[0]: 1 → 2"),
        (1, 2, "value: 1 → 2"),
        ("a", "b", 'value: "a" → "b"'),
    ],
)
def test_the_first_field_that_differs(old: object, new: object, line: str) -> None:
    found = explain("m.json", as_json(old), as_json(new))
    assert (found.format, found.same_values, found.lines[0]) == ("json", False, line)


@pytest.mark.parametrize("options", [{"indent": 2}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_how_it_is_written_does_not_matter(options: dict[str, Any]) -> None:
    value = {"b": [1, float("nan"), {"x": None}], "a": 0.1}
    found = explain("m.json", as_json(value), as_json(value, **options))
    assert (found.format, found.same_values, len(found.lines)) == ("json", True, 1)


def test_a_number_that_is_written_longer_is_the_same() -> None:
    assert explain("m.json", b'{"a": 0.1}', b'{"a": 1.0e-1}').same_values


def test_two_fields_of_one_name_are_left_to_text() -> None:
    found = explain("m.json", b'{"a": 1, "a": 2}', b'{"a": 2}')
    assert (found.format, found.same_values) == ("text", False)


def test_leaks_are_judged_by_the_path() -> None:
    found = explain("m.json", as_json({"run": {"elapsed": 1.5}}), as_json({"run": {"elapsed": 1.75}}))
    assert found.leaks == ("time",)


def test_deep_nesting_is_read_or_left_to_text() -> None:
    for depth in (100, 100_000):
        old, new = (b"[" * depth + value + b"]" * depth for value in (b"1", b"2"))
        found = explain("m.json", old, new)
        assert found.lines
        assert not found.same_values
    assert explain("m.json", b"1" * 5000, b"2" * 5000).format == "text"


def test_json_lines_are_told_by_number_and_field() -> None:
    old, new = (b'{"step": 1, "loss": 0.5}\n\n' + tail for tail in (b'{"loss": 0.1}\n', b'{"loss": 0.2}\n'))
    for path in ("m.jsonl", "m.log"):
        found = explain(path, old, new)
        assert (found.format, found.lines) == ("jsonl", ("line 3, loss: 0.1 → 0.2",))


def test_json_lines_that_are_written_differently_are_the_same() -> None:
    found = explain("m.jsonl", b'{"a": 1, "b": 2}\n{}\n', b'{"b":2,"a":1}\n\n{}')
    assert (found.format, found.same_values) == ("jsonl", True)


def test_json_lines_may_be_fewer() -> None:
    found = explain("m.jsonl", b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n')
    assert found.lines == ("number of lines: 2 → 1",)


@given(VALUES, VALUES)
def test_a_value_equals_itself_and_differences_are_those_of_its_text(old: Any, new: Any) -> None:
    assert list(differences(old, json.loads(json.dumps(old)))) == []
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert same == (not list(differences(old, new)))
