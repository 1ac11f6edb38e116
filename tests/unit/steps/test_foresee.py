from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from executor.engine.how import How
from executor.engine.interface import LogSink
from executor.errors import EngineUnreachable
from executor.evidence.predict import Prediction
from executor.run import Options, rerun
from executor.spec.model import Spec
from executor.steps import foresee
from executor.steps.foresee import suspects
from tests.unit.engine.repos import commit_all, make_repo
from tests.unit.sites import HOST, REPORTS, Program, World, a_spec

PROBE = {"matmul": "aa", "sum": "bb"}


def coded(tmp_path: Path, source: str = "print(1)\n", **changes: Any) -> Spec:
    """A spec whose code is `source`."""
    repo = make_repo(tmp_path / "repo", **{"train.py": source})
    code = {"commit": commit_all(repo), "repo": str(repo)}
    return a_spec(code=code, command=("python3", "train.py"), **changes)


def probed(world: World, here: dict[str, str] | None) -> list[Path]:
    """From now on the reference reports `PROBE`, and the tool `here`, or cannot run; folders in which the tool ran."""
    program, benches = Program(reports={**REPORTS, "probe.json": {"probe": PROBE}}), list[Path]()

    def run(work: Path, log: LogSink) -> int:
        if work.parent.name != "numeric":
            return program(work, log)
        benches.append(work)
        if here is None:
            raise EngineUnreachable("gone")
        (work / "report" / "probe.json").write_text(json.dumps({"probe": here}))
        return 0

    world.engine.program = run
    return benches


def foreseen(world: World, spec: Spec, options: Options | None = None) -> Prediction:
    """What was predicted of a rerun, as its record keeps it."""
    said = rerun(spec.hash, world.site, options or Options()).record.prediction
    assert said is not None
    return said


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Options:
    """Another CPU from now on, and what the user says to it."""
    monkeypatch.setattr("executor.environment.host.read", lambda *_: HOST.model_copy(update={"cpu_model": "another"}))
    return Options(allow=frozenset({"cpu_model"}))


def test_a_proven_program_without_suspects_will_be_identical_and_the_user_hears_it(
    world: World, tmp_path: Path
) -> None:
    spec = coded(tmp_path)
    world.submit(spec)
    said = foreseen(world, spec)
    assert (said.value, said.rule) == ("identical", "contract")
    assert f"prediction: identical ({said.why})" in world.watcher.stages


def test_it_is_said_before_the_program_runs_and_only_of_reruns(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path)
    assert world.submit(spec).record.prediction is None
    world.watcher.stages.clear()
    world.rerun(spec)
    said = [at for at, text in enumerate(world.watcher.stages) if text.startswith("prediction: ")]
    ran = [at for at, text in enumerate(world.watcher.stages) if text.startswith("running, ")]
    assert said < ran


def test_nothing_is_said_when_nobody_asks(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path)
    world.submit(spec)
    assert rerun(spec.hash, world.site, Options(predict=False)).record.prediction is None


def test_what_the_code_does_makes_it_unknown(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path, "import time\nprint(time.time())\n")
    world.submit(spec)
    said = foreseen(world, spec)
    assert (said.value, said.rule) == ("unknown", "screen")
    assert "train.py:2" in said.why


def test_a_reference_that_proves_nothing_makes_it_unknown(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path)
    world.program.reports = {"launch.json": REPORTS["launch.json"]}
    world.submit(spec)
    said = foreseen(world, spec)
    assert (said.value, said.rule) == ("unknown", "unproven")


def test_a_spec_that_is_not_strict_makes_it_unknown(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path, determinism="warn")
    world.submit(spec)
    assert foreseen(world, spec).rule == "not-strict"


# History -----------------------------------------------------------------------------------------------------------


def test_what_differed_here_before_will_differ_again(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path)
    world.submit(spec)
    world.program.outputs = {"model.pt": b"others"}
    world.rerun(spec)
    said = foreseen(world, spec)
    assert (said.value, said.rule, said.why) == ("different", "history", "1 of 2 attempts already differed here")


def test_failed_and_varied_attempts_are_no_history(world: World, tmp_path: Path) -> None:
    spec = coded(tmp_path)
    world.submit(spec)
    world.program.outputs = {"model.pt": b"others"}
    rerun(spec.hash, world.site, Options(how=How(varied={"torch": "off"})))
    world.program.code = 1
    world.rerun(spec)
    assert foreseen(world, spec).value == "identical"


def test_attempts_on_another_cpu_are_no_history(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = coded(tmp_path)
    world.submit(spec)
    with monkeypatch.context() as there:
        options = elsewhere(there)
        world.program.outputs = {"model.pt": b"others"}
        rerun(spec.hash, world.site, options)
    assert foreseen(world, spec).value == "identical"


# The probe ---------------------------------------------------------------------------------------------------------


def test_no_probe_is_taken_where_nothing_changed(world: World, tmp_path: Path) -> None:
    spec, benches = coded(tmp_path), probed(world, {})
    world.submit(spec)
    assert foreseen(world, spec).value == "identical"
    assert benches == []


def test_another_machine_with_other_numbers_will_differ(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, benches = coded(tmp_path), probed(world, PROBE | {"sum": "cc"})
    world.submit(spec)
    said = foreseen(world, spec, elsewhere(monkeypatch))
    assert (said.value, said.rule) == ("different", "probe")
    assert said.why == "cpu_model differ, and so do 1 operations of the numeric probe, sum first"
    assert len(benches) == 1


def test_another_machine_with_the_same_numbers_is_unknown(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _ = coded(tmp_path), probed(world, PROBE)
    world.submit(spec)
    said = foreseen(world, spec, elsewhere(monkeypatch))
    assert (said.value, said.why) == ("unknown", "cpu_model differ; the numeric probe agrees")


def test_a_variation_is_probed_as_it_is_varied(world: World, tmp_path: Path) -> None:
    spec, benches = coded(tmp_path), probed(world, {"matmul": "zz"})
    world.submit(spec)
    said = foreseen(world, spec, Options(how=How(varied={"MKL_CBWR": "COMPATIBLE"})))
    assert (said.rule, len(benches)) == ("probe", 1)
    plan = next(one for one in world.engine.plans if "numeric" in one.request["Entrypoint"])
    assert "MKL_CBWR=COMPATIBLE" in plan.request["Env"]


def test_a_probe_that_cannot_be_taken_stops_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, benches = coded(tmp_path), probed(world, None)
    world.submit(spec)
    said = foreseen(world, spec, elsewhere(monkeypatch))
    assert (said.value, said.why) == ("unknown", "cpu_model differ; the numeric probe was not taken")
    assert len(benches) == 1


# Suspects ----------------------------------------------------------------------------------------------------------


def test_a_program_in_the_image_is_a_suspect_itself(tmp_path: Path) -> None:
    (found,) = suspects(a_spec(), tmp_path)
    assert (found.source, found.file) == ("unreadable", "the image")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)\n")
    return folder


def test_a_plain_program_is_none(code: Path, tmp_path: Path) -> None:
    assert suspects(coded(tmp_path), code) == ()


def test_what_the_command_cannot_reach_is_none(code: Path, tmp_path: Path) -> None:
    (code / "plot.py").write_text("import time\ntime.time()\n")
    assert suspects(coded(tmp_path), code) == ()
    (code / "train.py").write_text("import plot\n")
    assert [(one.source, one.file, one.line) for one in suspects(coded(tmp_path / "2"), code)] == [
        ("clock", "plot.py", 2)
    ]


def test_a_source_that_is_too_large_is_a_suspect(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresee, "SOURCE_LIMIT", 20)
    (code / "large.py").write_text("#" * 21)
    (code / "LICENSE").write_text("x" * 21)
    (code / "data.csv").write_text("x" * 21)
    assert [(one.source, one.file) for one in suspects(coded(tmp_path), code)] == [("unreadable", "large.py")]


def test_too_many_sources_are_a_suspect(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresee, "MOST_SOURCES", 1)
    (code / "a.py").write_text("")
    assert "more than 1 source files" in [one.text for one in suspects(coded(tmp_path), code)]
