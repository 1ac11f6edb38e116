"""A fake program that leaves traces and operations as the inside room does, and goes another way when told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from executor.diagnose import diagnosed
from executor.engine.how import How
from executor.engine.interface import LogSink
from executor.evidence.divergence import Divergence
from executor.evidence.record import Record
from executor.evidence.trace import STRUCT, Row
from executor.run import Options, rerun
from tests.unit.sites import HOST, REPORTS, World, a_spec

SPEC = a_spec()
MATMUL = {"op": "aten.mm", "in": ["a", "b"], "out": ["c"], "args": [], "where": "train.py:7", "at": [1, 2], "to": [3],
          "wrote": []}  # fmt: skip
READ = {"kind": "entropy", "what": "os.urandom", "file": "train.py", "line": 5, "count": 1, "first": 3, "last": 3}


@dataclass
class Training:
    """Six optimizer steps; from step 3 on its gradients are other ones when `goes_astray` says so.

    That is asked with the number of the run, from 0, and its environment.
    """

    world: World
    goes_astray: Callable[[int, list[str]], bool]
    operation: dict[str, Any] = field(default_factory=lambda: MATMUL | {"out": ["other"]})
    """What step 3 does then."""
    reads: list[dict[str, Any]] = field(default_factory=list)
    traced: bool = True
    runs: list[dict[str, Any]] = field(default_factory=list)
    """How each run was asked to be watched."""

    def __call__(self, work: Path, log: LogSink) -> int:
        if work.parent.name == "tensors":  # a tool, which finds none
            return 1
        how = json.loads((work / "control" / "plan.json").read_text())["trace"]
        astray = self.goes_astray(len(self.runs), self.world.engine.plans[-1].request["Env"])
        self.runs.append(how)
        ending = REPORTS | {"process-0.json": {"process": "0", "settings": {}, "entropy": self.reads}}
        for name, document in ending.items():
            (work / "report" / name).write_text(json.dumps(document))
        if self.traced and how["level"] != "off":
            self._trace(work / "report", how["stop_after"], astray)
        if how["capture"] is not None:
            done = self.operation if astray and how["capture"] == 3 else MATMUL
            (work / "report" / "operations-0.jsonl").write_text(json.dumps(done) + "\n")
        if how["stop_after"] is not None and self.traced:
            return 98
        (work / "outputs" / "model.pt").write_bytes(b"other weights" if astray else b"weights")
        return 0

    def _trace(self, report: Path, stop: int | None, astray: bool) -> None:
        packed, chain = b"", 0
        for step in range(6 if stop is None else stop + 1):
            row = Row(step, 0, 2, 0, inputs=100 + step, samples=200 + step, gradients=300 + step, parameters=400 + step)
            if astray and step >= 3:
                row = row._replace(gradients=7, parameters=500 + step)
            chain = int.from_bytes(sha256(STRUCT.pack(*row[:-1], chain)).digest()[:8], "little")
            packed += STRUCT.pack(*row[:-1], chain)
        (report / "trace-0.bin").write_bytes(packed)
        (report / "trace-0.json").write_text(json.dumps({"names": ["weight"], "problem": ""}))


def every_second(run: int, _: list[str]) -> bool:
    return run % 2 == 1


def train(world: World, goes_astray: Callable[[int, list[str]], bool], **changes: Any) -> Training:
    program = Training(world, goes_astray, **changes)
    world.engine.program = program
    return program


def diagnose(world: World, options: Options | None = None) -> tuple[Record, Divergence]:
    """Run, run again, and ask why the two differ."""
    world.submit(SPEC)
    record = rerun(SPEC.hash, world.site, options or Options()).record
    return record, diagnosed(SPEC.hash, record.attempt, world.site, Options())


def vary(**varied: str) -> Options:
    return Options(how=How(varied=varied))


# A program that does not repeat itself -----------------------------------------------------------------------------


def test_an_operation_that_gives_other_values_from_the_same_ones_is_the_cause(world: World) -> None:
    train(world, every_second)
    _, found = diagnose(world)
    assert (found.step, found.kind, found.cause) == (3, "gradient", "nondeterministic-operation")
    assert (found.operation, found.where, found.confirmed) == ("aten.mm", "train.py:7", True)
    assert found.reason == "aten.mm at train.py:7 gave other values from the same ones"
    assert "operation 0, aten.mm at train.py:7: equal inputs, unequal outputs" in found.evidence


def test_both_sides_run_up_to_the_step_and_no_further(world: World) -> None:
    program = train(world, every_second)
    diagnose(world)
    assert program.runs[2:4] == [{"level": "tensors", "stop_after": 3, "capture": 3}] * 2
    assert {one["stop_after"] for one in program.runs[2:]} == {3}


def test_the_diagnosis_is_kept_beside_the_record_and_nothing_else_is(world: World) -> None:
    train(world, every_second)
    record, found = diagnose(world)
    key = next(key for key in world.stored if "diagnosis" in key)
    assert record.attempt in key
    assert Divergence.model_validate_json(world.store.contents[key]) == found
    assert len(world.records(SPEC)) == 2
    assert world.records(SPEC)[1] == record
    assert world.left == []


def test_a_setting_under_which_it_repeats_itself_is_named(world: World) -> None:
    train(world, lambda run, env: run % 2 == 1 and "OMP_NUM_THREADS=1" not in env)
    _, found = diagnose(world)
    assert found.reason.endswith("gave other values from the same ones; with threads=1 it repeats itself")


def test_a_setting_that_is_in_force_already_is_no_remedy(world: World) -> None:
    program = train(world, every_second)
    diagnose(world)
    assert len(program.runs) == 2 + 2 + 2 * 2  # `threads` and `fill`, not `determinism`


def test_entropy_that_is_read_at_the_step_is_the_cause(world: World) -> None:
    train(world, every_second, reads=[READ], operation=MATMUL | {"in": ["a", "z"]})
    _, found = diagnose(world)
    assert (found.cause, found.where, found.confirmed) == ("entropy", "train.py:5", True)
    assert found.reason == "os.urandom, read at train.py:5, reached aten.mm at train.py:7"


def test_a_generator_that_stood_elsewhere_is_entropy(world: World) -> None:
    train(world, every_second, operation=MATMUL | {"rng": "moved"})
    _, found = diagnose(world)
    assert (found.cause, found.where) == ("entropy", "train.py:7")
    assert "the generator that aten.mm at train.py:7 draws from" in found.reason


def test_a_number_that_came_otherwise_is_the_program_s_own(world: World) -> None:
    train(world, every_second, operation=MATMUL | {"args": ["0.5"]})
    _, found = diagnose(world)
    assert (found.cause, found.confirmed) == ("program", False)
    assert found.reason == "aten.mm at train.py:7 got another number: nothing against 0.5"


@pytest.mark.parametrize("again", [3, 4, 5])
def test_a_difference_that_does_not_always_come_is_tried_a_few_times(world: World, again: int) -> None:
    train(world, lambda run, _: run in (1, again))
    _, found = diagnose(world)
    assert (found.cause, found.confirmed) == ("nondeterministic-operation", True)


def test_a_difference_that_does_not_come_again_stays_a_suspicion(world: World) -> None:
    program = train(world, lambda run, _: run == 1)
    record, found = diagnose(world)
    assert record.comparison is not None
    assert record.comparison.divergence is not None
    said = "4 trials gave what the reference gave: the difference does not always come"
    assert found.evidence == (said, *record.comparison.divergence.evidence)
    assert (found.cause, found.confirmed) == (record.comparison.divergence.cause, False)
    assert len(program.runs) == 6


def test_trials_that_all_give_what_this_run_gave_do_not_blame_the_program(world: World) -> None:
    train(world, lambda run, _: run > 0)
    _, found = diagnose(world)
    assert found.evidence[0] == "4 trials agree with each other and not with the reference: it does not always come"
    assert not found.confirmed


def test_trials_on_another_machine_show_that_it_is_the_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(world, lambda run, _: run > 0)
    world.submit(SPEC)
    monkeypatch.setattr("executor.environment.host.read", lambda *_: HOST.model_copy(update={"cpu_model": "another"}))
    options = Options(allow=frozenset({"cpu_model"}))
    record = rerun(SPEC.hash, world.site, options).record
    found = diagnosed(SPEC.hash, record.attempt, world.site, options)
    assert (found.cause, found.setting, found.confirmed) == ("environment", "cpu_model", True)
    assert "the machine is the difference" in found.evidence[0]


# A run that was varied ---------------------------------------------------------------------------------------------


def test_the_setting_that_was_varied_is_the_cause(world: World) -> None:
    train(world, lambda _, env: "MKL_CBWR=COMPATIBLE" in env)
    _, found = diagnose(world, vary(MKL_CBWR="COMPATIBLE"))
    assert (found.cause, found.setting, found.where, found.confirmed) == ("isa", "MKL_CBWR", "train.py:7", True)
    assert found.reason == ("MKL_CBWR was varied to COMPATIBLE, and aten.mm gives other values from the same ones")


def test_of_two_settings_the_guilty_one_is_found(world: World) -> None:
    train(world, lambda _, env: "OMP_WAIT_POLICY=ACTIVE" in env)
    _, found = diagnose(world, vary(LANG="de", OMP_WAIT_POLICY="ACTIVE"))
    assert (found.cause, found.setting, found.confirmed) == ("threads", "OMP_WAIT_POLICY", True)


def test_two_settings_that_differ_only_together_are_told_together(world: World) -> None:
    train(world, lambda _, env: {"LANG=de", "OMP_WAIT_POLICY=ACTIVE"} <= {*env})
    _, found = diagnose(world, vary(LANG="de", OMP_WAIT_POLICY="ACTIVE"))
    assert (found.confirmed, found.reason) == (True, "LANG=de OMP_WAIT_POLICY=ACTIVE together make the difference")


def test_a_program_that_does_not_repeat_itself_without_the_variation_clears_it(world: World) -> None:
    train(world, lambda run, _: run in (1, 3, 4))
    _, found = diagnose(world, vary(LANG="de"))
    assert (found.cause, found.confirmed) == ("nondeterministic-operation", True)
    assert found.setting != "LANG"
    assert "it does not repeat itself without the variation either" in found.evidence


# Without a step that differs ---------------------------------------------------------------------------------------


def test_without_steps_whole_runs_show_the_setting(world: World) -> None:
    train(world, lambda _, env: "TZ=Asia/Tokyo" in env, traced=False)
    _, found = diagnose(world, vary(LANG="de", TZ="Asia/Tokyo"))
    assert (found.cause, found.setting, found.confirmed) == ("environment", "TZ", True)
    assert "with TZ=Asia/Tokyo alone the difference comes, without it it does not" in found.evidence


def test_without_steps_a_program_that_does_not_repeat_itself_blames_no_setting(world: World) -> None:
    train(world, every_second, traced=False)
    _, found = diagnose(world, vary(TZ="Asia/Tokyo"))
    assert "it does not repeat itself without the variation either" in found.evidence
    assert not found.confirmed


def test_without_steps_and_variation_nothing_is_run_again(world: World) -> None:
    program = train(world, every_second, traced=False)
    record, found = diagnose(world)
    assert record.comparison is not None
    assert found == record.comparison.divergence
    assert len(program.runs) == 2


def test_what_does_not_differ_has_no_diagnosis(world: World) -> None:
    train(world, lambda *_: False)
    with pytest.raises(ValueError, match="does not differ from its reference"):
        diagnose(world)
