import pytest

from executor.spec.complaints import complaint, complaints, shown, unpinned


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        ("a'b", '"a\'b"'),
        ("x" * 100, f"'{'x' * 77}...'"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping"),
        ([], "an empty list"),
        ((1,), "a list"),
        (object(), "object"),
    ],
)
def test_values_in_messages(value: object, words: str) -> None:
    assert shown(value) == words


def test_a_complaint_keeps_its_braces() -> None:
    assert complaint("{x} and {text}").message() == "{x} and {text}"


def test_several_complaints_keep_their_places() -> None:
    found = complaints([(("a", 1), "one {x}"), ((), "two")])
    assert [(error["loc"], error["msg"]) for error in found.errors()] == [(("a", 1), "one {x}"), ((), "two")]


def test_what_lock_can_settle_is_told_apart() -> None:
    assert (unpinned("x").type, complaint("x").type) == ("unpinned", "spec")
