from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest

from executor.inside.leaves import Later, Leaf, Unreadable, flatten, frame, leaf


def seen(value: Any) -> dict[str, tuple[str, list[int], bytes]]:
    return {name: (one.dtype, one.shape, one.values) for name, one in flatten(value).items()}


def test_a_checkpoint_is_named_by_dotted_paths() -> None:
    checkpoint = {"model": {"layer.weight": 1.0}, "epoch": 3, "betas": (True, None), "note": "é"}
    assert seen(checkpoint) == {
        "model.layer.weight": ("python.float", [], b"\0\0\0\0\0\0\xf0\x3f"),
        "epoch": ("python.int", [], b"3"),
        "betas": ("python.tuple", [2], b""),
        "betas.0": ("python.bool", [], b"\1"),
        "betas.1": ("python.none", [], b""),
        "note": ("python.str", [], "é".encode()),
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, None),
        ("1", b"1"),
        ("1", 1),
        (0.0, -0.0),
        ([1], (1,)),
        ([1], {0: 1}),
        ({0: 1}, {"0": 1}),
        ({0: 1}, {False: 1}),
        ([], ()),
        ({}, None),
        ({"a": {}}, {"a": []}),
        ({1, 2}, {1, 3}),
        ({(1, 2)}, {frozenset((1, 2))}),
        ([[1], []], [[], [1]]),
        (PurePosixPath("a"), "a"),
        (int, float),
        (10**30, 10**30 + 1),
        (1j, 1),
    ],
)
def test_what_is_not_the_same_value_of_the_same_type_is_told_apart(one: object, other: object) -> None:
    assert seen({"x": one}) != seen({"x": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, OrderedDict(b=2, a=1)),
        ({3: 1, "b": 2}, {"b": 2, 3: 1}),
        ({"a", "b", "c"}, {"c", "b", "a"}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        (Namespace(lr=1), SimpleNamespace(lr=1)),
        (SimpleNamespace(state_dict=lambda: {"a": 1}), SimpleNamespace(state_dict=lambda: {"a": 1})),
    ],
)
def test_what_means_the_same_reads_alike(one: object, other: object) -> None:
    if callable(getattr(one, "state_dict", None)):
        one, other = (type("Module", (), vars(value)) for value in (one, other))
    assert seen({"x": one}) == seen({"x": other})


def test_an_object_with_a_state_counts_as_its_state() -> None:
    class Module:
        def state_dict(self) -> dict[str, int]:
            return {"weight": 1}

    assert seen({"x": Module()}) == seen({"x": {"weight": 1}})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": {"b": 1}, "a.b": 2}, "has two values called a.b"),
        ({1: 1, "1": 1}, "has two values called 1"),
        ({"a": [object()]}, "holds an object of the type builtins.object at a.0, and it cannot be compared"),
        ({object(): 1}, "has as a key an object of the type builtins.object at its top, and it cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_said_with_its_place(value: object, problem: str) -> None:
    with pytest.raises(Unreadable, match=f"^{problem}$"):
        flatten(value)


def test_a_small_pickle_that_repeats_itself_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.inside.leaves._MOST", 1000)
    laughs: Any = "ha"
    for _ in range(40):
        laughs = [laughs, laughs]
    with pytest.raises(Unreadable, match="more than 1000 values"):
        flatten(laughs)


def test_frames_cannot_be_mistaken() -> None:
    assert frame(b"ab", b"c") != frame(b"a", b"bc") != frame(b"abc") != frame(b"abc", b"")


def test_a_later_value_is_read_when_it_is_asked_for() -> None:
    later = flatten({"a": Later(lambda name: Leaf(name, [], b""), "x")})["a"]
    assert isinstance(later, Later)
    assert leaf(later).dtype == "x"
