from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import SpecError, UsageError
from executor.spec.canonical import canonical_bytes
from executor.spec.model import Spec
from executor.spec.points import Points
from executor.spec.sweep import parse_sweep
from tests.unit.sites import a_spec

PARAMS = {"lr": 0.1, "batch": 32, "opt": {"name": "adam", "eps": 1e-8}, "hidden": [1, 2]}
BASE = a_spec(params=PARAMS, command=("a", "{params.lr}"), seed=7)


def points(text: str, base: Spec = BASE) -> Points:
    return Points(parse_sweep(f"version: 1\nspec: a\n{text}".encode(), "s.yaml"), base)


def listed(text: str) -> list[tuple[list[Any], int]]:
    return [(list(point.values.values()), point.spec.seed) for point in points(text).listed()]


def said(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        points(text).listed()
    return [f"{one.line}:{one.column}: {one.field}: {one.message}" for one in caught.value.issues]


def test_the_last_parameter_varies_fastest_and_each_point_has_all_its_seeds() -> None:
    found = listed("grid: {params.lr: [1, 2], params.opt.name: [x, y]}\nseeds: 2")
    assert found == [([lr, name], seed) for lr in (1, 2) for name in "xy" for seed in (7, 8)]


def test_parameters_that_move_together_are_one_of_the_grid() -> None:
    found = listed("grid: {params.lr: [1, 2]}\nzip: {params.batch: [3, 4], params.hidden: [[5], [6]]}")
    assert [values for values, _ in found] == [[1, 3, [5]], [1, 4, [6]], [2, 3, [5]], [2, 4, [6]]]


def test_a_single_point_keeps_what_it_does_not_name() -> None:
    found = listed("grid: {params.lr: [1]}\npoints: [{params.batch: 64}]")
    assert [values for values, _ in found] == [[1, 32], [0.1, 64]]


def test_seeds_alone_are_a_sweep() -> None:
    assert listed("seeds: [3, 9, 3]") == [([], 3), ([], 9)]


def test_nothing_but_the_named_parameters_and_the_seed_changes() -> None:
    (only,) = points("points: [{params.opt.name: sgd}]\nseeds: [9]").listed()
    changed = {**PARAMS, "opt": {"name": "sgd", "eps": 1e-8}}
    assert only.spec == BASE.model_copy(update={"params": only.spec.params, "seed": 9})
    assert canonical_bytes(only.spec.params) == canonical_bytes(changed)


def test_the_specs_own_point_has_the_specs_own_hash() -> None:
    (only,) = points("points: [{params.lr: 0.1}]").listed()
    assert only.spec.hash == BASE.hash


def test_duplicates_are_one_and_whole_numbers_are_no_floats() -> None:
    assert [values for values, _ in listed("points: [{params.lr: 1}, {params.lr: 1.0}, {params.lr: 1}]")] == [
        [1],
        [1.0],
    ]
    assert len(points("points: [{params.lr: 1}, {params.lr: 1.0}]").listed()) == 2


def test_combinations_are_left_out() -> None:
    found = listed("grid: {params.lr: [1, 2], params.batch: [3, 4]}\nexclude: [{params.lr: 1, params.batch: 4}]")
    assert [values for values, _ in found] == [[1, 3], [2, 3], [2, 4]]
    assert len(listed("grid: {params.lr: [1, 2]}\npoints: [{params.batch: 5}]\nexclude: [{params.batch: 32}]")) == 1


def test_an_exclusion_that_meets_nothing_is_a_mistake() -> None:
    assert said("grid: {params.lr: [1, 2]}\nexclude: [{params.lr: 1}, {params.lr: 2.0}]") == [
        "4:27: exclude[1]: no point has these values"
    ]


def test_a_sweep_of_nothing_is_a_mistake() -> None:
    assert said("grid: {params.lr: [1]}\nexclude: [{params.lr: 1}]") == ["4:1: exclude: excludes every point"]


def test_a_parameter_that_the_spec_does_not_have_is_a_mistake() -> None:
    assert said("grid: {params.lt: [1], params.lr.x: [2]}\nexclude: [{params.opt.q: 1}]") == [
        "3:8: grid.params.lt: the spec has no such parameter: expected one of its `params` "
        "(there is `lr`, `batch`, `opt`, `hidden`)",
        "3:24: grid.params.lr.x: the spec has no such parameter: expected one of its `params` (there is none)",
        "4:12: exclude[0].params.opt.q: the spec has no such parameter: expected one of its `params` "
        "(there is `name`, `eps`)",
    ]


def test_values_that_make_no_spec_are_told_where_they_stand() -> None:
    text = "points: [{params.lr: 1}, {params.opt: {name-x: 1, name_x: 2}}]"
    assert [line.partition(": makes")[0] for line in said(text)] == ["3:26: points[1]"]


def test_seeds_beyond_the_last_one_are_a_mistake() -> None:
    last = BASE.model_copy(update={"seed": 2**64 - 1})
    with pytest.raises(SpecError, match="there are no 2 seeds from 18446744073709551615 on"):
        points("seeds: 2", last)


def test_a_sweep_that_is_too_large_is_refused_before_anything_is_made_of_it() -> None:
    huge = points("grid: {params.lr: {from: 0, to: 999999, step: 1}, params.batch: {from: 1, to: 9999999, step: 1}}")
    with pytest.raises(UsageError) as caught:
        huge.limit()
    assert caught.value.message == "s.yaml: 9999999000000 runs, more than 10000"
    assert "--max 9999999000000" in caught.value.advice
    points("seeds: 10001").limit(10001)


def test_a_search_counts_trials_with_their_seeds() -> None:
    text = ("objective: {metric: a, direction: minimize}\nseeds: 3\n"
            "sampler: {seed: 1, trials: 9, kind: KIND, space: {params.lr: [1, 2]}}")  # fmt: skip
    assert points(text.replace("KIND", "tpe")).count == 27
    assert points(text.replace("KIND", "grid")).count == 6


def test_a_sampled_point_that_makes_no_spec_is_told() -> None:
    search = points(
        "objective: {metric: a, direction: minimize}\nsampler: {seed: 1, trials: 1, space: {params.opt: [1]}}"
    )
    assert [point.values for point in search.of({"params.opt": 1})] == [{"params.opt": 1}]
    with pytest.raises(SpecError, match=r"s\.yaml:4:.*makes no spec"):
        search.of({"params.opt": {"a-b": 1, "a_b": 2}})


NUMBERS = st.lists(st.integers(-5, 5) | st.sampled_from([0.5, 1.0, 2.5]), min_size=1, max_size=4)


@settings(max_examples=50)
@given(NUMBERS, NUMBERS, st.lists(st.integers(0, 9), max_size=3))
def test_the_points_are_the_product_without_duplicates(lr: list[float], batch: list[float], seeds: list[int]) -> None:
    text = f"grid: {{params.lr: {lr}, params.batch: {batch}}}\n" + (f"seeds: {seeds}\n" if seeds else "")
    found = [(*point.values.values(), point.spec.seed) for point in points(text).listed()]
    wanted = dict.fromkeys(map(repr, itertools.product(lr, batch, seeds or [7])))
    assert list(map(repr, found)) == list(wanted)
    assert [p.spec.hash for p in points(text).listed()] == [p.spec.hash for p in points(text).listed()]
