"""The story of `run.py`: what is asked, what runs, what is kept, and in which order."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from executor.engine.interface import LogSink
from executor.errors import (
    EngineUnreachable,
    EnvironmentMismatch,
    ImageNotFound,
    InputMismatch,
    Interrupted,
    NotFound,
    SourceUnreachable,
    StoreUnreachable,
    Unpublished,
)
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.spec.tree import scan
from executor.steps.history import finished
from executor.steps.report import BARE, SILENT
from executor.steps.workspace import UNPUBLISHED
from executor.store import layout
from executor.store.transfer import verified
from tests.unit.engine.repos import commit_all, make_repo
from tests.unit.environment import samples
from tests.unit.sites import HOST, LAUNCH, PROVEN, Program, World, a_spec

SPEC = a_spec()
REFUSAL = {
    "field": "cpu.isa", "expected": "avx2", "observed": "default", "severity": "refuse", "advice": "another host",
}  # fmt: skip


# The answer --------------------------------------------------------------------------------------------------------


def test_a_first_run_is_recorded_and_becomes_the_reference(world: World) -> None:
    result = world.submit(SPEC)
    assert (result.cached, result.record.status, result.record.comparison) == (False, "succeeded", None)
    assert [file.path for file in result.record.outputs] == ["model.pt"]
    assert world.store.reference(SPEC.hash) == result.record.attempt
    assert result.url == world.store.attempt_url(SPEC.hash, result.record.attempt)
    assert world.left == []


def test_a_finished_spec_is_answered_without_the_engine(world: World) -> None:
    first = world.submit(SPEC)
    world.site = world.without_engine()
    again = world.submit(SPEC)
    assert again.cached
    assert (again.record, again.url) == (first.record, first.url)


def test_force_runs_again_and_the_first_success_stays_the_reference(world: World) -> None:
    first = world.submit(SPEC)
    again = world.submit(SPEC, force=True)
    assert not again.cached
    assert again.record.attempt != first.record.attempt
    assert again.record.comparison is not None
    assert (again.record.comparison.verdict, again.record.rerun) == ("identical", False)
    assert world.store.reference(SPEC.hash) == first.record.attempt
    assert [one.attempt for one in world.records(SPEC)] == [first.record.attempt, again.record.attempt]


def test_another_spec_is_another_run(world: World) -> None:
    world.submit(SPEC)
    assert not world.submit(a_spec(seed=2)).cached
    assert world.submit(a_spec(name="a-label-is-no-identity")).cached


def test_a_failing_program_is_a_record_and_no_reference_and_runs_again(world: World) -> None:
    world.program = Program(prints=b"Traceback\nboom\n", code=3)
    failed = world.submit(SPEC).record
    assert (failed.status, failed.outcome.exit_code, failed.outcome.log_tail) == ("failed", 3, "Traceback\nboom\n")
    assert world.store.reference(SPEC.hash) is None
    world.program = Program()
    again = world.submit(SPEC)
    assert (again.cached, again.record.status) == (False, "succeeded")
    assert world.store.reference(SPEC.hash) == again.record.attempt


@pytest.mark.parametrize("name", ["weights", "log"])
def test_a_result_with_a_missing_blob_is_no_hit(world: World, name: str) -> None:
    record = world.submit(SPEC).record
    assert record.log is not None
    gone = record.log.digest if name == "log" else record.outputs[0].digest
    del world.store.contents[layout.blob(gone)]
    again = world.submit(SPEC)
    assert not again.cached
    assert world.store.has_blob(gone)
    assert world.submit(SPEC).cached


def test_a_reference_whose_record_is_gone_is_no_hit(world: World) -> None:
    record = world.submit(SPEC).record
    del world.store.contents[f"{layout.attempt(SPEC.hash, record.attempt)}/record.json"]
    assert not world.submit(SPEC).cached
    assert world.submit(SPEC).cached


def test_what_a_killed_executor_left_goes_even_when_the_answer_is_in_the_store(world: World) -> None:
    record = world.submit(SPEC).record
    (world.site.home.attempts / "old").mkdir()
    assert world.submit(SPEC).cached
    assert (world.engine.removed, world.left) == ([record.attempt, "old"], [])


def test_a_container_that_the_engine_does_not_remove_costs_no_result_and_goes_at_the_next_start(world: World) -> None:
    world.engine.stuck = ("",)
    record = world.submit(SPEC).record
    assert (record.status, world.engine.removed, world.left) == ("succeeded", [], [record.attempt])
    assert any("device or resource busy" in text for text in world.watcher.stages)
    world.engine.stuck = ()
    assert world.submit(SPEC).cached
    assert (world.engine.removed, world.left) == ([record.attempt], [])


def test_an_executor_killed_before_it_named_the_reference_has_finished_all_the_same(world: World) -> None:
    first = world.submit(SPEC).record
    del world.store.contents[f"{layout.run(SPEC.hash)}/reference.json"]
    assert world.submit(SPEC).cached
    assert world.store.reference(SPEC.hash) == first.attempt
    world.submit(SPEC, force=True)
    assert world.store.reference(SPEC.hash) == first.attempt


# The environment ---------------------------------------------------------------------------------------------------


def test_a_refused_environment_stops_before_anything_runs_or_is_stored(world: World) -> None:
    with pytest.raises(EnvironmentMismatch) as caught:
        world.submit(a_spec(cpu={"threads": 3, "isa": "avx512"}, resources={"memory": "2TiB"}))
    assert caught.value.exit_code == 3
    assert {one.field for one in caught.value.findings if one.severity == "refuse"} == {"memory"}
    assert "--allow" not in caught.value.advice
    assert (world.engine.plans, world.stored, world.left) == ([], [], [])


def test_what_the_user_allows_is_recorded(world: World) -> None:
    spec = a_spec(resources={"memory": "2TiB"})
    record = world.submit(spec, allow=("memory",)).record
    assert record.allowed == ("memory",)
    assert [one.field for one in record.findings if one.allowed] == ["memory"]


def test_an_image_that_is_nowhere_is_said_so(world: World) -> None:
    world.engine.digests.clear()
    with pytest.raises(ImageNotFound, match=r"nowhere.*the store does not hold it"):
        world.submit(SPEC)
    assert world.stored == []


def test_an_image_that_a_registry_has_is_pulled_by_digest(world: World) -> None:
    world.engine.registry, world.engine.digests = world.engine.digests, set()
    record = world.submit(SPEC).record
    assert world.engine.pulled == [str(SPEC.image)]
    assert record.fingerprint.image is not None
    assert record.fingerprint.image.source == "registry.example.org/ml/torch"


def test_a_refusal_from_inside_is_stored_nowhere(world: World) -> None:
    world.program = Program(reports={"launch.json": LAUNCH, "refusal.json": {"findings": [REFUSAL]}}, code=97)
    with pytest.raises(EnvironmentMismatch, match=r"cpu.isa: expected avx2, found default") as caught:
        world.submit(SPEC)
    assert caught.value.advice == "another host"
    assert caught.value.findings[-1].field == "cpu.isa"
    assert [key for key in world.stored if "/log/" not in key] == []
    assert world.left == []


def test_the_container_is_part_of_the_fingerprint(world: World) -> None:
    seen = world.submit(SPEC).record.fingerprint.container
    assert seen == samples.container()


def test_what_is_found_only_after_the_run_warns(world: World) -> None:
    world.program.reports = {**PROVEN, "launch.json": LAUNCH | {"threads": 1}}
    record = world.submit(SPEC).record
    assert record.status == "succeeded"
    assert [(one.field, one.severity) for one in record.findings if one.severity != "info"] == [("cpu.threads", "warn")]


def test_an_image_without_python_runs_and_the_record_says_so(world: World) -> None:
    world.engine.has_python, world.program.reports = False, {}
    seen = world.submit(SPEC).record.fingerprint.container
    assert seen is not None
    assert (seen.checked, seen.reason) == (False, BARE)


# What the program says of itself is not trusted ---------------------------------------------------------------------


def _replace(work: Path, make: str) -> None:
    target = work / "report" / "launch.json"
    secret = work.parent / "secret.json"
    secret.write_text('{"python": "stolen"}')
    if make == "link":
        target.symlink_to(secret)
    elif make == "fifo":
        os.mkfifo(target)
    elif make == "folder":
        target.mkdir()
    elif make == "huge":
        with target.open("wb") as file:
            file.truncate(1 << 33)


@pytest.mark.parametrize("make", ["link", "fifo", "folder", "huge"])
def test_a_report_that_is_no_plain_file_is_no_report(world: World, make: str) -> None:
    def program(work: Path, log: LogSink) -> int:
        _replace(work, make)
        return 0

    world.engine.program = program
    seen = world.submit(SPEC).record.fingerprint.container
    assert seen is not None
    assert (seen.checked, seen.reason) == (False, SILENT)


DEEP: Any = []
for _ in range(400):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "said",
    [
        [], 7, None, "text", {}, {"findings": 7}, {"findings": None}, {"findings": {"a": 1}}, {"findings": [7]},
        {"findings": "abc"}, {"cpus": "all"}, {"threads": 1e400}, {"settings": {"a": "\ud800"}}, {"settings": DEEP},
        {"settings": {"\ud800": 1}}, {"settings": {"deep": DEEP}}, {"settings": {"nan": float("nan")}},
        {"distributions": {"a": 7}}, {"python": "\ud800"}, {"gpus": [{}]}, {"torch_cuda": "??"}, {"isa": "\x1b[2J"},
        {"checked": False, "reason": "do not look"}, {"threads": 10**30}, {"unknown": 1},
    ],
)  # fmt: skip
def test_reports_of_any_shape_end_in_a_record(world: World, said: Any) -> None:
    for name in ("launch.json", "torch.json", "refusal.json"):
        world.program.reports = {"launch.json": LAUNCH, name: said}
        result = world.submit(SPEC, force=True)
        assert result.record.status == "succeeded"
        assert finished(world.store, SPEC.hash) is not None


def test_metrics_that_no_record_can_hold_end_in_a_record(world: World) -> None:
    world.program.outputs = {"metrics.jsonl": b'{"\\ud800": 1, "loss": 2}\n{"loss": NaN}\n[1]\n\xff\n'}
    record = world.submit(SPEC).record
    assert (list(record.metrics), record.unreadable_metrics) == (["loss"], 3)


def test_outputs_that_cannot_be_kept_fail_the_run(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        (work / "outputs" / "link").symlink_to("/etc/passwd")
        (work / "outputs" / "model.pt").write_bytes(b"weights")
        return 0

    world.engine.program = program
    record = world.submit(SPEC).record
    assert (record.status, record.outcome.exit_code) == ("failed", 0)
    assert record.refused_outputs == {"link": "a symbolic link, not a regular file"}
    assert [file.path for file in record.outputs] == ["model.pt"]


# Inputs ------------------------------------------------------------------------------------------------------------


def with_code(tmp_path: Path, **changes: Any) -> tuple[Spec, Path]:
    repo = make_repo(tmp_path / "repo", **{"train.py": "print(1)\n"})
    return a_spec(code={"commit": commit_all(repo), "repo": str(repo)}, **changes), repo


def test_code_is_kept_and_a_rerun_needs_no_repository(world: World, tmp_path: Path) -> None:
    spec, repo = with_code(tmp_path)
    seen: list[str] = []

    def program(work: Path, log: LogSink) -> int:
        seen.append((work / "code" / "train.py").read_text())
        (work / "code" / "train.py").write_text("scribbled over")
        return Program()(work, log)

    world.engine.program = program
    first = world.submit(spec).record
    assert first.code is not None
    shutil.rmtree(repo)
    shutil.rmtree(world.site.home.code)
    again = world.rerun(spec).record
    assert again.comparison is not None
    assert (again.comparison.verdict, again.code) == ("identical", first.code)
    assert seen == ["print(1)\n"] * 2


def test_code_that_is_damaged_on_its_way_from_the_store_is_read_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, repo = with_code(tmp_path)
    code = world.submit(spec).record.code
    assert code is not None
    shutil.rmtree(repo)
    shutil.rmtree(world.site.home.code)
    opened, times = world.store.open_blob, iter([True])

    def damaged(digest: Digest) -> BinaryIO:
        if digest == code.digest and next(times, False):
            return verified(io.BytesIO(b"other bytes"), "code", digest)
        return opened(digest)

    monkeypatch.setattr(world.store, "open_blob", damaged)
    assert world.rerun(spec).record.status == "succeeded"
    assert next(times, None) is None


def test_code_that_is_nowhere_stops_the_run(world: World, tmp_path: Path) -> None:
    spec, repo = with_code(tmp_path)
    shutil.rmtree(repo)
    with pytest.raises(SourceUnreachable):
        world.submit(spec)
    assert (world.engine.plans, world.stored, world.left) == ([], [], [])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "train.csv").write_text("1,2,3\n")
    return folder


def with_data(folder: Path) -> Spec:
    return a_spec(data={"digits": {"hash": str(scan(folder).hash), "source": str(folder)}})


def test_data_are_mounted_and_their_manifest_is_kept(world: World, data: Path) -> None:
    record = world.submit(with_data(data)).record
    mounts = world.engine.plans[0].request["HostConfig"]["Mounts"]
    assert {m["Source"]: m["ReadOnly"] for m in mounts if m["Target"] == "/data/digits"} == {str(data): True}
    manifest = world.store.read_blob(record.manifests["digits"].digest, 1000)
    assert b"train.csv" in manifest


def test_other_data_stop_the_run_with_a_finding(world: World, data: Path) -> None:
    spec = with_data(data)
    (data / "train.csv").write_text("1,2,4\n")
    with pytest.raises(InputMismatch) as caught:
        world.submit(spec)
    assert [one.field for one in caught.value.findings] == ["data.digits.hash"]
    assert (world.engine.plans, world.stored, world.left) == ([], [], [])


def test_data_that_change_during_the_run_are_a_finding(world: World, data: Path) -> None:
    def program(work: Path, log: LogSink) -> int:
        (data / "train.csv").write_text("9,9,9,9\n")
        return Program()(work, log)

    world.engine.program = program
    warned = [one for one in world.submit(with_data(data)).record.findings if one.severity == "warn"]
    assert [one.field for one in warned] == ["data.digits.hash"]


# Reruns ------------------------------------------------------------------------------------------------------------


def test_a_rerun_of_the_same_bits_is_identical(world: World) -> None:
    first = world.submit(SPEC).record
    again = world.rerun(SPEC).record
    assert again.comparison is not None
    assert (again.comparison.verdict, again.comparison.reference) == ("identical", first.attempt)
    assert again.rerun
    assert world.store.reference(SPEC.hash) == first.attempt


def test_a_rerun_of_other_bits_differs_and_both_are_kept(world: World) -> None:
    first = world.submit(SPEC).record
    world.program = Program(outputs={"model.pt": b"other weights"})
    again = world.rerun(SPEC).record
    assert again.comparison is not None
    assert again.comparison.verdict == "different"
    assert [file.path for file in again.comparison.files if not file.same] == ["model.pt"]
    assert world.store.reference(SPEC.hash) == first.attempt
    assert len(world.records(SPEC)) == 2


def test_a_rerun_of_nothing_is_incomparable(world: World) -> None:
    world.program = Program(outputs={})
    world.submit(SPEC)
    again = world.rerun(SPEC).record
    assert again.comparison is not None
    assert again.comparison.verdict == "incomparable"


def test_a_rerun_that_fails_has_no_verdict(world: World) -> None:
    world.submit(SPEC)
    world.program = Program(code=1)
    again = world.rerun(SPEC).record
    assert (again.status, again.comparison, again.rerun) == ("failed", None, True)


def test_a_rerun_of_what_never_succeeded_is_not_found(world: World) -> None:
    world.program = Program(code=1)
    world.submit(SPEC)
    with pytest.raises(NotFound, match="no attempt of this spec has succeeded"):
        world.rerun(SPEC)
    with pytest.raises(NotFound):
        world.rerun(a_spec(seed=9))


def test_a_rerun_on_another_cpu_is_refused_unless_allowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.submit(SPEC)
    other = HOST.model_copy(update={"cpu_model": "another CPU"})
    monkeypatch.setattr("executor.environment.host.read", lambda *_: other)
    with pytest.raises(EnvironmentMismatch, match="cpu_model: expected AMD EPYC 9654, found another CPU"):
        world.rerun(SPEC)
    again = world.rerun(SPEC, "cpu_model").record
    assert again.allowed == ("cpu_model",)
    assert len(world.records(SPEC)) == 2


def test_a_rerun_in_another_container_says_what_differs(world: World) -> None:
    world.submit(SPEC)
    world.program.reports = {"launch.json": LAUNCH | {"torch": "2.99"}}
    findings = world.rerun(SPEC).record.findings
    assert [(one.expected, one.observed) for one in findings if one.field == "torch"] == [("2.13.0", "2.99")]


def test_a_submit_is_not_held_against_the_environment_of_the_reference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.submit(SPEC)
    other = HOST.model_copy(update={"cpu_model": "another CPU"})
    monkeypatch.setattr("executor.environment.host.read", lambda *_: other)
    assert world.submit(SPEC, force=True).record.status == "succeeded"


# Order, and what goes wrong in between ------------------------------------------------------------------------------


def test_contents_come_first_then_the_record_then_the_reference(world: World, data: Path) -> None:
    record = world.submit(with_data(data)).record
    run = layout.run(record.spec_hash)
    puts = [request.removeprefix("put ") for request in world.store.requests if request.startswith("put v1/")]
    puts = [key for key in puts if not key.startswith("v1/probes/") and "/log/" not in key and "/lease." not in key]
    attempt = layout.attempt(record.spec_hash, record.attempt)
    assert puts[:2] == [layout.intent(record.spec_hash, record.attempt), f"{run}/spec.json"]
    blobs = {layout.blob(digest) for digest in record.blobs()}
    assert blobs <= {*puts[2 : 2 + len(blobs)]}
    announced = f"v1/changes/20260101/12/{record.spec_hash.hex}/{record.attempt}"
    assert puts[-4:] == [f"{attempt}/provenance.json", announced, f"{attempt}/record.json", f"{run}/reference.json"]
    assert f"delete {puts[0]}" in world.store.requests


def test_a_store_that_fails_while_the_result_is_kept_leaves_it_on_this_machine(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        world.store.down = True
        return Program()(work, log)

    world.engine.program = program
    with pytest.raises(Unpublished, match="nothing answers; the run has ended, and its result is kept") as caught:
        world.submit(SPEC)
    (attempt,) = world.left
    folder = world.site.home.attempts / attempt
    assert (caught.value.exit_code, caught.value.spec_hash, caught.value.attempt) == (6, SPEC.hash.hex, attempt)
    assert caught.value.folder == str(folder)
    assert "`executor publish --pending`" in caught.value.advice
    assert (folder / UNPUBLISHED).exists()
    assert (folder / "staging" / "model.pt").read_bytes() == b"weights"
    world.store.down = False
    del world.store.contents[layout.lease(SPEC.hash)]  # as if its process had ended
    assert world.records(SPEC) == []
    world.engine.program = Program()
    assert world.submit(SPEC).record.status == "succeeded"
    assert world.left == [attempt]


def test_an_unreachable_store_is_never_taken_for_an_empty_one(world: World) -> None:
    world.submit(SPEC)
    world.store.down = True
    with pytest.raises(StoreUnreachable):
        world.submit(SPEC)
    assert len(world.engine.plans) == 1


def test_a_lost_engine_leaves_nothing(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        raise EngineUnreachable("gone")

    world.engine.program = program
    with pytest.raises(EngineUnreachable):
        world.submit(SPEC)
    assert (world.stored, world.left) == ([], [])
    assert world.engine.removed == [world.engine.plans[0].attempt]


def test_a_wish_to_stop_during_the_run_is_recorded(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        world.site.stop.ask()
        return Program(code=143)(work, log)

    world.engine.program = program
    record = world.submit(SPEC).record
    assert (record.status, record.outcome.interrupted) == ("interrupted", True)
    assert world.store.reference(SPEC.hash) is None
    assert not world.site.stop.deferred


def test_a_second_wish_leaves_at_once(world: World) -> None:
    def program(work: Path, log: LogSink) -> int:
        world.site.stop.ask()
        world.site.stop.ask()
        return 0

    world.engine.program = program
    with pytest.raises(KeyboardInterrupt):
        world.submit(SPEC)
    assert (world.records(SPEC), world.left) == ([], [])


def test_a_second_wish_while_the_result_is_kept_says_where_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_blobs(*_: object) -> None:
        world.site.stop.ask()
        world.site.stop.ask()

    monkeypatch.setattr(world.store, "put_blobs", put_blobs)
    with pytest.raises(Interrupted) as caught:
        world.submit(SPEC)
    assert world.left[0] in caught.value.advice


def test_what_a_killed_executor_left_goes_first(world: World) -> None:
    (world.site.home.attempts / "old").mkdir()
    record = world.submit(SPEC).record
    assert (world.engine.removed, world.left) == (["old", record.attempt], [])


# Those who watch ---------------------------------------------------------------------------------------------------


def test_whoever_watches_sees_the_steps_and_the_log(world: World) -> None:
    world.submit(SPEC)
    assert [stage.split(",")[0].split(" ")[0] for stage in world.watcher.stages] == [
        "checking", "first", "inputs", "running", "keeping",
    ]  # fmt: skip
    assert world.watcher.printed == b"training\n"
    assert world.watcher.moved[-1][0] == "upload"
    assert world.watcher.moved[-1][1] == world.watcher.moved[-1][2]


def test_the_log_is_kept_and_can_be_followed_from_elsewhere(world: World) -> None:
    record = world.submit(SPEC).record
    assert record.log is not None
    assert world.store.read_blob(record.log.digest, 100) == b"training\n"
    assert b"".join(world.store.log_segments(SPEC.hash, record.attempt)) == b"training\n"
