from __future__ import annotations

import json
from typing import Any

import pytest

from executor.evidence.record import Record
from executor.steps.difference import Difference, difference
from executor.store import layout
from tests.unit.sites import HOST, REPORTS, Program, World, a_spec

SPEC = a_spec()


def ran(world: World, content: bytes = b"weights", **changes: Any) -> Record:
    """A run whose weights are `content`, of a spec with `changes`."""
    world.program = Program(outputs={"model.pt": content})
    return world.submit(a_spec(**changes), force=True).record


def cause(found: Difference) -> tuple[str, str | None]:
    divergence = found.comparison.divergence
    assert divergence is not None
    return divergence.cause, divergence.setting


def test_an_attempt_does_not_differ_from_itself(world: World) -> None:
    record = ran(world)
    found = difference(world.store, record, record)
    assert (found.spec, found.environment, found.metrics) == ({}, {}, {})
    assert (found.comparison.verdict, found.comparison.divergence) == ("identical", None)


def test_fields_of_the_specs_are_named_in_full(world: World) -> None:
    found = difference(world.store, ran(world), ran(world, seed=2, cpu={"threads": 1}))
    assert found.spec == {"seed": (1, 2), "cpu.threads": (2, 1)}
    assert found.comparison.verdict == "identical", "other specs are compared all the same"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu": {"threads": 1}, "seed": 2}, ("threads", "cpu.threads")),
        ({"seed": 2, "command": ("false",)}, ("program", "seed")),
        ({"command": ("false",)}, ("program", "command")),
    ],
)
def test_what_was_asked_otherwise_explains_first(world: World, changes: dict[str, Any], said: tuple[str, str]) -> None:
    found = difference(world.store, ran(world), ran(world, b"others", **changes))
    assert cause(found) == said
    divergence = found.comparison.divergence
    assert divergence is not None
    assert divergence.reason.startswith(f"the specs differ: {said[1]} was ")
    assert divergence.evidence[0].startswith("spec: ")


def test_without_another_spec_the_environment_explains(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ran(world)
    monkeypatch.setattr("executor.environment.host.read", lambda *_: HOST.model_copy(update={"cpu_model": "another"}))
    found = difference(world.store, one, ran(world, b"others"))
    assert found.spec == {}
    assert found.environment["cpu_model"] == ("AMD EPYC 9654", "another")
    assert cause(found) == ("environment", "cpu_model")


def test_metrics_that_differ_or_that_one_lacks_are_told(world: World) -> None:
    world.program.outputs = {"metrics.jsonl": b'{"loss": 1, "same": 5, "old": 3}\n'}
    one = world.submit(SPEC).record
    world.program.outputs = {"metrics.jsonl": b'{"loss": 2, "same": 5}\n'}
    other = world.submit(SPEC, force=True).record
    assert difference(world.store, one, other).metrics == {"loss": (1, 2), "old": (3, None)}


def of_json(world: World, *values: Any) -> list[Record]:
    """Runs that each leave one of `values` as JSON."""
    records = []
    for value in values:
        world.program = Program(outputs={"a.json": json.dumps(value).encode()}, reports=dict(REPORTS))
        records.append(world.submit(SPEC, force=True).record)
    return records


def test_files_that_differ_are_looked_into(world: World) -> None:
    found = difference(world.store, *of_json(world, {"a": 1}, {"a": 2}))
    (file,) = found.comparison.files
    assert file.explanation is not None
    assert not file.explanation.same_values


def test_a_file_that_the_store_lost_or_only_one_has_is_not_looked_into(world: World) -> None:
    one, other = of_json(world, {"a": 1}, {"a": 2})
    del world.store.contents[layout.blob(one.outputs[0].digest)]
    assert [file.explanation for file in difference(world.store, one, other).comparison.files] == [None]
    found = difference(world.store, other, ran(world))
    assert {file.path: file.explanation for file in found.comparison.files} == {"a.json": None, "model.pt": None}
