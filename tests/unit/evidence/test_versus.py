from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import UsageError
from executor.evidence.held import ABSENT
from executor.evidence.record import Hints, Record
from executor.evidence.versus import GROUPS, MOST_RUNS, Delta, Row, Versus, delta, fields, versus
from executor.facts import ContainerFacts, Fingerprint, GpuFacts
from tests.fakes import ENGINE
from tests.unit.evidence.samples import HOST, file, record


def ran(params: dict[str, Any] | None = None, **changes: Any) -> Record:
    spec = {"seed": 1, "params": params or {}, "image": "sha256:aa", "command": ["true"]}
    return record(**{"spec": spec, **changes})


def row(found: Versus, name: str) -> Row:
    return next(row for row in found.rows if row.full_name == name)


def differing(*records: Record) -> dict[str, tuple[Any, ...]]:
    return {row.full_name: row.values for row in versus(records).differing}


def test_only_what_differs_is_told_and_the_rest_is_counted() -> None:
    found = versus([ran({"lr": 0.1, "batch": 32}), ran({"lr": 0.2, "batch": 32})])
    assert [row.full_name for row in found.differing] == ["params.lr"]
    assert found.hidden == len(found.rows) - 1 > 5
    assert not row(found, "params.batch").differs


def test_a_missing_value_is_a_value_of_its_own() -> None:
    assert differing(ran({"dropout": 0}), ran(), ran({"dropout": 0})) == {"params.dropout": (0, ABSENT, 0)}


def test_values_are_told_apart_as_specs_tell_them() -> None:
    assert differing(ran({"a": 1}), ran({"a": 1.0}), ran({"a": True}), ran({"a": "1"}))["params.a"] == (
        1,
        1.0,
        True,
        "1",
    )
    assert differing(ran({"a": [1]}), ran({"a": [1.0]})) == {"params.a": ([1], [1.0])}
    nan = ran(metrics={"loss": math.nan})
    assert differing(nan, nan) == {}


def test_nested_parameters_have_dotted_names_and_missing_branches() -> None:
    assert differing(ran({"net": {"depth": 2}}), ran({"net": {"width": 3}})) == {
        "params.net.depth": (2, ABSENT), "params.net.width": (ABSENT, 3),
    }  # fmt: skip


def test_every_group_has_its_fields() -> None:
    gpus = tuple(GpuFacts(index=at, uuid="", name="H100", memory=1) for at in (0, 1))
    inside = ContainerFacts(checked=True, python="3.12", torch="2.8", distributions={"numpy": "2.1"}, threads=4,
                            settings={"cudnn.deterministic": True}, environment={"OMP_NUM_THREADS": "4"},
                            gpus=gpus)  # fmt: skip
    one = record(
        file("a.pt", "1"), metrics={"loss": 1.0}, hints=Hints(name="x", image="i", repo="r", labels={"team": "a"}),
        fingerprint=Fingerprint(host=HOST, engine=ENGINE, container=inside),
        spec={"seed": 1, "params": {"lr": 0.1}, "code": "c" * 40, "data": {"d": "sha256:dd"}, "image": "sha256:aa",
              "cpu": {"threads": 2}},
    )  # fmt: skip
    found = {(group, name): value for group, name, value in fields(one)}
    assert {group for group, _ in found} == {*GROUPS}
    assert found["request", "cpu.threads"] == 2
    assert found["environment", "gpus"] == "2 × H100"
    assert found["environment", "settings.cudnn.deterministic"] is True
    assert found["environment", "environment.OMP_NUM_THREADS"] == "4"
    assert (found["packages", "numpy"], found["run", "labels.team"], found["code", "repo"]) == ("2.1", "a", "r")
    assert found["outputs", "a.pt"] == str(one.outputs[0].digest)
    assert [row.group for row in versus([one, one]).rows] == sorted((g for g, _ in found), key=list(GROUPS).index)


def test_a_container_that_was_not_looked_into_has_no_fields() -> None:
    names = {name for group, name, _ in fields(ran()) if group in ("environment", "packages")}
    assert "host.cpu_model" in names
    assert not names & {"python", "torch", "gpus"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (2, 3, Delta(1, 0.5)),
        (-2.0, -1.0, Delta(1, 0.5)),
        (0, 3, Delta(3, None)),
        (math.inf, 1.0, Delta(-math.inf, None)),
        (1.0, math.nan, None),
        (math.inf, math.inf, None),
        (1, ABSENT, None),
        (True, 2, None),
        ("1", 2, None),
        (10**400, 1, None),
    ],
)
def test_a_delta_is_between_two_numbers(before: Any, after: Any, expected: Delta | None) -> None:
    assert delta(before, after) == expected


def test_deltas_are_from_the_baseline_and_of_what_is_measured() -> None:
    found = versus([ran({"lr": 1}), ran({"lr": 3}), ran()])
    assert row(found, "params.lr").deltas(0) == (None, Delta(2, 2), None)
    assert row(found, "params.lr").deltas(1) == (Delta(-2, -2 / 3), None, None)
    seeds = versus([ran(), record(spec={"seed": 5})])
    assert row(seeds, "seed").deltas(0) == (None, None)


@pytest.mark.parametrize("many", [0, 1, MOST_RUNS + 1])
def test_from_two_runs_to_two_hundred_can_be_compared(many: int) -> None:
    with pytest.raises(UsageError, match=f"{many} of 2 to 200 runs"):
        versus([ran()] * many)
    assert len(versus([ran()] * MOST_RUNS).records) == MOST_RUNS


_VALUES = st.one_of(st.integers(), st.floats(), st.text(min_size=1), st.booleans())
_PARAMS = st.dictionaries(st.sampled_from("abc"), _VALUES)


@given(st.lists(_PARAMS, min_size=2, max_size=6))
def test_nothing_is_lost_and_equal_runs_differ_in_nothing(every: list[dict[str, Any]]) -> None:
    records = [ran(params) for params in every]
    found = versus(records)
    told = {row.name: row.values for row in found.rows if row.group == "params"}
    assert told.keys() == {name for params in every for name in params}
    for name, values in told.items():
        assert [repr(value) for value in values] == [repr(params.get(name, ABSENT)) for params in every]
    assert versus([records[0], records[0]]).differing == ()
