from typing import Any

import pytest
from pydantic import ValidationError

from executor.spec.messages import Problem, dotted, expectation, problems
from executor.spec.model import Draft, Spec
from executor.spec.shape import field_at

GOOD: dict[str, Any] = {"version": 1, "name": "x", "image": "x@sha256:" + "a" * 64, "command": ["x"], "seed": 1}


def found(change: dict[str, Any], model: Any = Spec) -> list[Problem]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(GOOD | change)
    return problems(caught.value, model)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("tier",), "`native` or `portable`"),
        (("gpu",), "a mapping with `type` and `count`, or none"),
        (("metrics",), "a mapping with `stdout`"),
        (("seed",), "a whole number from 0 to 18446744073709551615"),
        (("command",), "a list of at least one text"),
        (("outputs", "ignore"), "a list of texts"),
        (("env",), "a mapping"),
        (("network",), "true or false"),
        (("gpu", "type"), "text that is not empty"),
        (("labels", "x"), "text"),
    ],
)
def test_expectations(place: tuple[str, ...], words: str) -> None:
    assert expectation(*field_at(Spec, place)) == words


def test_a_union_gives_one_complaint() -> None:
    values: list[Any] = [1, "H100", [], {"count": 0, "type": "x"}]
    for value in values:
        assert len(found({"gpu": value})) == 1


def test_several_problems_of_one_value_keep_their_places() -> None:
    places = [problem.place for problem in found({"params": {"a b": 1, "x": [1, float("nan")]}, "seed": -1})]
    assert places == [("params", "a b"), ("params", "x", 1), ("seed",)]


def test_only_what_lock_can_settle_counts_as_unpinned() -> None:
    change = {"image": "x:1", "code": {"branch": "main", "comit": "x"}, "data": {"d": {}}, "gpu": {}}
    assert {problem.place: problem.unpinned for problem in found(change)} == {
        ("image",): True,
        ("code", "commit"): True,
        ("code", "branch"): True,
        ("code", "comit"): False,
        ("data", "d", "hash"): True,
        ("gpu", "type"): False,
    }


def test_a_draft_of_nothing_says_what_is_missing() -> None:
    with pytest.raises(ValidationError) as caught:
        Draft.model_validate({})
    said = {problem.place[0]: problem.message for problem in problems(caught.value, Draft)}
    assert set(said) == {"version", "name", "image", "command", "seed"}
    assert said["image"] == "missing: the image by tag or digest"


def test_places_are_dotted_and_odd_names_quoted() -> None:
    assert dotted(("data", "digits", "hash")) == "data.digits.hash"
    assert dotted(("command", 2)) == "command[2]"
    assert dotted(("params", "a b\n", 0)) == "params.'a b\\n'[0]"
    assert dotted(()) == ""
