from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from executor.engine.how import How
from executor.engine.interface import LogSink
from executor.errors import EnvironmentMismatch, NotRepeatable
from executor.evidence.trace import STRUCT, Row
from executor.run import Options, submit
from executor.twin import attempt, twins
from tests.unit.sites import LAUNCH, REPORTS, Program, World, a_spec

SPEC = a_spec()


def leaves(world: World, outputs: Callable[[int], bytes], gradients: Callable[[int], int] | None = None) -> list[Any]:
    """Run number → its output, and the gradients of its steps if it takes any; how each run was watched."""
    watched: list[Any] = []

    def run(work: Path, log: LogSink) -> int:
        number = len(watched)
        how = json.loads((work / "control" / "plan.json").read_text())["trace"]
        watched.append(how)
        if gradients is not None:
            _trace(work / "report", how["stop_after"] or 0, gradients(number))
        return Program(outputs={"model.pt": outputs(number)})(work, log)

    world.engine.program = run
    return watched


def _trace(report: Path, last: int, gradients: int) -> None:
    packed, chain = b"", 0
    for step in range(last + 1):
        row = Row(step, 0, 2, 0, gradients=gradients, parameters=step)
        chain = int.from_bytes(sha256(STRUCT.pack(*row[:-1], chain)).digest()[:8], "little")
        packed += STRUCT.pack(*row[:-1], chain)
    (report / "trace-0.bin").write_bytes(packed)
    (report / "trace-0.json").write_text('{"problem": "", "names": []}')


def same(_: int) -> bytes:
    return b"weights"


def other(run: int) -> bytes:
    return b"weights of run %d" % run


# Twins -------------------------------------------------------------------------------------------------------------


def test_a_program_that_repeats_itself_passes_after_two_runs_of_its_first_steps(world: World) -> None:
    watched = leaves(world, same, gradients=lambda _: 1)
    twins(SPEC, world.site, Options(), 4)
    assert watched == [{"level": "tensors", "stop_after": 3, "capture": None}] * 2
    assert world.watcher.stages[0] == "twin probe: 4 steps, twice"


def test_steps_that_differ_are_told_with_where(world: World) -> None:
    leaves(world, same, gradients=lambda run: run)
    with pytest.raises(NotRepeatable, match="the program does not repeat itself: the same data") as caught:
        twins(SPEC, world.site, Options(), 4)
    assert (caught.value.divergence["step"], caught.value.divergence["kind"]) == (0, "gradient")
    assert "--twin" in caught.value.advice


def test_a_program_without_steps_is_judged_by_what_it_leaves(world: World) -> None:
    leaves(world, other)
    with pytest.raises(NotRepeatable) as caught:
        twins(SPEC, world.site, Options(), 4)
    assert (caught.value.divergence["step"], caught.value.divergence["file"]) == (None, "model.pt")
    leaves(world, same)
    twins(SPEC, world.site, Options(), 4)


def test_what_a_program_with_steps_leaves_when_it_is_cut_does_not_count(world: World) -> None:
    leaves(world, other, gradients=lambda _: 1)
    twins(SPEC, world.site, Options(), 4)


def test_outputs_that_are_ignored_do_not_count(world: World) -> None:
    leaves(world, other)
    twins(a_spec(outputs={"weights": [], "ignore": ["*.pt"]}), world.site, Options(), 4)


def test_twins_are_varied_as_the_run_will_be(world: World) -> None:
    leaves(world, same)
    twins(SPEC, world.site, Options(how=How(varied={"TZ": "Asia/Tokyo"})), 4)
    assert all("TZ=Asia/Tokyo" in plan.request["Env"] for plan in world.engine.plans)


def test_a_program_that_does_not_repeat_itself_is_not_run(world: World) -> None:
    watched = leaves(world, other)
    with pytest.raises(NotRepeatable):
        submit(SPEC, world.site, Options(twin=4))
    assert (len(watched), world.records(SPEC), world.left) == (2, [], [])


def test_one_that_does_is_run_whole_and_its_twins_are_no_attempts(world: World) -> None:
    watched = leaves(world, same)
    record = submit(SPEC, world.site, Options(twin=4)).record
    assert [one["stop_after"] for one in watched] == [3, 3, None]
    assert world.records(SPEC) == [record]


# One trial ---------------------------------------------------------------------------------------------------------


def test_a_trial_keeps_nothing(world: World) -> None:
    leaves(world, same, gradients=lambda _: 1)
    trial = attempt(SPEC, world.site, Options(), How(stop_after=1))
    assert trial.trace is not None
    assert (trial.trace.steps, trial.log, list(trial.result)) == (2, "training\n", ["model.pt"])
    assert (world.stored, world.left) == ([], [])


def test_the_results_of_a_trial_are_what_counts(world: World) -> None:
    world.program.outputs = {"model.pt": b"weights", "log.tmp": b"1"}
    spec = a_spec(outputs={"weights": ["*.pt"], "ignore": ["*.tmp"]})
    trial = attempt(spec, world.site, Options(), How())
    assert [file.path for file in trial.outputs.files] == ["log.tmp", "model.pt"]
    assert list(trial.result) == ["model.pt"]


def test_operations_are_those_of_the_process_that_was_asked_for(world: World) -> None:
    line = {"op": "aten.add", "in": [], "out": [], "args": [], "where": "", "at": [], "to": [], "wrote": []}
    world.program.reports = REPORTS | {"operations-0.1.jsonl": line, "operations-0.jsonl": line | {"op": "aten.mm"}}
    trial = attempt(SPEC, world.site, Options(), How(capture=0), process="0.1")
    assert [one.name for one in trial.operations] == ["aten.add"]
    assert attempt(SPEC, world.site, Options(), How(), process="0.1").operations == ()


def test_a_trial_that_is_refused_from_inside_says_so(world: World) -> None:
    line = {"field": "cpu.isa", "expected": "avx2", "observed": "default", "severity": "refuse"}
    world.program = Program(reports={"launch.json": LAUNCH, "refusal.json": {"findings": [line]}}, code=97)
    with pytest.raises(EnvironmentMismatch, match=r"cpu\.isa"):
        attempt(SPEC, world.site, Options(), How())
    assert world.left == []
