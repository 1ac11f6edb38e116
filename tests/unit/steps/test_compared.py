"""Reruns of a fake program: what is stored of how they differ from their reference."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from executor.engine.interface import LogSink
from executor.evidence.record import Comparison
from executor.evidence.trace import STRUCT, Row
from executor.run import Options, rerun, submit
from executor.steps import compared
from executor.store import layout
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
EQUAL = {"reference": "a", "observed": "a", "tensors": 1}
UNEQUAL = {"reference": "a", "observed": "b", "tensors": 1, "different_count": 1, "max_ulp": 3}


class Tool:
    """The tool `tensors`: what it is asked, what it sees, and what it answers."""

    def __init__(self, world: World, answer: Any = None) -> None:
        self.answer, self.asked, self.saw = answer, list[Any](), dict[str, bytes]()
        self.world = world
        world.engine.program = self

    def __call__(self, work: Path, log: LogSink) -> int:
        if work.parent.name != "tensors":
            return self.world.program(work, log)
        self.asked.append(json.loads((work / "control" / "plan.json").read_text())["tensors"])
        for mount in self.world.engine.plans[-1].request["HostConfig"]["Mounts"]:
            if mount["Target"].startswith("/data/"):
                self.saw[mount["Target"]] = (Path(mount["Source"]) / "model.pt").read_bytes()
        if isinstance(self.answer, OSError):
            raise self.answer
        if self.answer is not None:
            (work / "report" / "tensors.json").write_text(json.dumps({"files": self.answer}))
        return 0


def rows(gradients: int) -> bytes:
    """A trace of one step."""
    row = Row(0, 0, 2, 0, gradients=gradients, parameters=1)
    return STRUCT.pack(*row[:-1], int.from_bytes(sha256(STRUCT.pack(*row)).digest()[:8], "little"))


def again(world: World, before: dict[str, bytes], after: dict[str, bytes], **changes: Any) -> Comparison:
    """How a rerun that leaves `after` is held against a run that left `before`."""
    spec = a_spec(**changes)
    world.program = Program(outputs=before)
    submit(spec, world.site, Options())
    world.program = Program(outputs=after)
    found = rerun(spec.hash, world.site, Options()).record.comparison
    assert found is not None
    return found


def weights(world: World, answer: Any, **changes: Any) -> tuple[Comparison, Tool]:
    tool = Tool(world, answer)
    return again(world, {"model.pt": b"one"}, {"model.pt": b"other"}, **changes), tool


# Weights as tensors ------------------------------------------------------------------------------------------------


def test_weights_that_differ_as_files_are_compared_as_tensors(world: World) -> None:
    found, tool = weights(world, {"model.pt": UNEQUAL})
    assert (found.verdict, tool.asked) == ("different", [{"paths": ["model.pt"]}])
    assert tool.saw == {"/data/reference": b"one", "/data/observed": b"other"}
    assert found.files[0].tensors is not None
    assert found.files[0].tensors.max_ulp == 3


def test_equal_tensors_in_other_files_are_serialization(world: World) -> None:
    found, _ = weights(world, {"model.pt": EQUAL})
    assert found.divergence is not None
    assert (found.verdict, found.divergence.cause) == ("different", "serialization")


@pytest.mark.parametrize(("ulp", "verdict"), [(3, "close"), (2, "different")])
def test_values_within_the_bound_of_the_spec_are_close(world: World, ulp: int, verdict: str) -> None:
    outputs = {"weights": ["*.pt"], "ulp": ulp}
    found, _ = weights(world, {"model.pt": UNEQUAL}, outputs=outputs, determinism="warn")
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "answer",
    [None, [], 7, {}, {"other.pt": EQUAL}, {"model.pt": 7}, {"model.pt": {"tensors": "many"}}, OSError("full")],
)
def test_whatever_the_tool_answers_the_verdict_on_the_files_stands(world: World, answer: Any) -> None:
    found, _ = weights(world, answer)
    assert (found.verdict, found.files[0].tensors) == ("different", None)


def test_equal_weights_and_other_files_need_no_tool(world: World) -> None:
    tool = Tool(world)
    assert again(world, {"model.pt": b"one"}, {"model.pt": b"one"}).verdict == "identical"
    assert again(world, {"a.json": b"1"}, {"a.json": b"2"}, seed=2).verdict == "different"
    assert again(world, {"model.pt": b"one"}, {"new.pt": b"one"}, seed=3).verdict == "different"
    assert tool.asked == []


def test_an_image_without_python_has_no_tool(world: World) -> None:
    world.engine.has_python = False
    found, tool = weights(world, {"model.pt": EQUAL})
    assert (found.verdict, tool.asked) == ("different", [])


# Content -----------------------------------------------------------------------------------------------------------

A, B = {"a.json": b'{"a": 1}'}, {"a.json": b'{"a": 2}'}


def test_files_that_differ_are_looked_into(world: World) -> None:
    (file,) = again(world, A, B).files
    assert file.explanation is not None
    assert not file.explanation.same_values


def test_what_is_told_of_a_file_is_told_under_its_name(world: World) -> None:
    world.program = Program(outputs={"model.pt": b"weights", "metrics.jsonl": b'{"loss": 1}\n'})
    world.submit(SPEC)
    world.program = Program(outputs={"model.pt": b"weightz", "metrics.jsonl": b'{"loss": 2}\n'})
    record = world.rerun(SPEC).record
    assert record.comparison
    assert record.comparison.divergence
    assert record.comparison.divergence.file == "model.pt", "weights come first"
    assert "metrics.jsonl: line 1, loss: 1 → 2" in record.comparison.divergence.evidence


@pytest.mark.parametrize("sizes", [(8, 9), (9, 8)])
def test_a_file_that_is_too_large_on_either_side_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    monkeypatch.setattr(compared, "EXPLAINED", 8)
    before, after = ({"a.json": b"1" * size} for size in sizes)
    assert [file.explanation for file in again(world, before, after).files] == [None]


def test_only_so_many_are_looked_into(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "MOST_EXPLAINED", 1)
    files = again(world, A | {"b.json": b"1"}, B | {"b.json": b"2"}).files
    assert [file.explanation is None for file in files] == [False, True]


def test_a_reference_whose_file_is_lost_is_still_told_apart(world: World) -> None:
    world.program = Program(outputs=A)
    reference = world.submit(SPEC).record
    world.program = Program(outputs=B)
    run, lost = world.program, layout.blob(reference.outputs[0].digest)

    def program(work: Path, log: LogSink) -> int:
        world.store.contents[lost] = b"damaged"
        return run(work, log)

    world.engine.program = program
    found = world.rerun(SPEC).record.comparison
    assert found is not None
    assert (found.verdict, found.files[0].explanation) == ("different", None)


# Traces ------------------------------------------------------------------------------------------------------------


def traced(world: World, content: bytes, gradients: int) -> None:
    world.program = Program(outputs={"a.json": content})

    def program(work: Path, log: LogSink) -> int:
        (work / "report" / "trace-0.bin").write_bytes(rows(gradients))
        return world.program(work, log)

    world.engine.program = program


@pytest.mark.parametrize(
    ("content", "gradients", "verdict", "reason"),
    [
        (b"1", 1, "identical", "the only file is the same, bit for bit"),
        (b"1", 2, "identical", "the only file is the same, bit for bit, though the traces part at step 0 (gradient)"),
        (b"2", 2, "different", "1 of 1 file differs: a.json"),
    ],
)
def test_traces_that_part_are_told_even_when_no_file_differs(
    world: World, content: bytes, gradients: int, verdict: str, reason: str
) -> None:
    traced(world, b"1", 1)
    world.submit(SPEC)
    traced(world, content, gradients)
    found = world.rerun(SPEC).record.comparison
    assert found is not None
    assert (found.verdict, found.reason) == (verdict, reason)
    if verdict == "different":
        assert found.divergence is not None
        assert (found.divergence.step, found.divergence.kind) == (0, "gradient")
