from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor.engine.outputs import Collected, Refused
from executor.facts import Fingerprint, Outcome
from executor.steps.prepare import Inputs, observe
from executor.steps.publish import Ended, hints_of, publish, read_metrics, status_of
from executor.steps.workspace import Workspace, open_workspace
from tests.fakes import NOON
from tests.unit.evidence.samples import file
from tests.unit.sites import World, a_spec

SPEC = a_spec()
NOTHING = Collected((), ())
DONE = Outcome(exit_code=0, started=NOON, finished=NOON)


def ended(world: World, **changes: Any) -> Ended:
    seen: Fingerprint = observe(world.site)
    known = Ended(SPEC, "a", DONE, seen, (), Inputs(None, ()), frozenset(), None, rerun=False)
    return replace(known, **changes)


@pytest.mark.parametrize(
    ("changes", "collected", "status"),
    [
        ({}, NOTHING, "succeeded"),
        ({"exit_code": 1}, NOTHING, "failed"),
        ({"exit_code": None}, NOTHING, "failed"),
        ({"timed_out": True}, NOTHING, "failed"),
        ({"oom_killed": True}, NOTHING, "failed"),
        ({}, Collected((), (Refused("link", "a symbolic link"),)), "failed"),
        ({"interrupted": True}, NOTHING, "interrupted"),
        ({"interrupted": True, "exit_code": None}, NOTHING, "interrupted"),
    ],
)
def test_success_is_a_clean_end_with_everything_kept(changes: Any, collected: Collected, status: str) -> None:
    assert status_of(DONE.model_copy(update=changes), collected) == status


def test_hints_are_what_is_no_identity() -> None:
    spec = a_spec(
        code={"commit": "1" * 40, "repo": "https://example.org/x.git"}, labels={"team": "vision"},
        data={"d": {"hash": f"sha256:{'2' * 64}", "source": "s3://bucket/d"}},
    )  # fmt: skip
    hints = hints_of(spec)
    assert (hints.name, hints.image) == ("digits", "registry.example.org/ml/torch")
    assert (hints.repo, hints.sources) == ("https://example.org/x.git", {"d": "s3://bucket/d"})
    assert hints.labels == {"team": "vision"}


def test_metrics_of_the_log_are_added_to_those_of_the_file(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    space.staging.mkdir()
    (space.staging / "metrics.jsonl").write_text('{"loss": 1, "acc": 0.5}\n')
    space.log.write_text("loss 2\nloss nan?\n")
    spec = a_spec(metrics={"stdout": r"^loss (?P<loss>\S+)"})
    found = read_metrics(spec, Collected((file("metrics.jsonl", "", "metrics"),), ()), space)
    assert (found.final, found.unreadable) == ({"loss": 2.0, "acc": 0.5}, 1)


def test_everything_that_the_record_names_is_in_the_store(world: World) -> None:
    with open_workspace(world.site.home, "a") as space:
        (space.outputs / "model.pt").write_bytes(b"weights")
        (space.outputs / "same.pt").write_bytes(b"weights")
        space.log.write_bytes(b"log\n")
        record = publish(ended(world), space, world.site)
    assert world.store.missing_blobs(record.blobs()) == []
    assert record == world.records(SPEC)[0]
    assert world.watcher.moved[-1] == ("upload", 18, 18)
    assert (record.code, record.manifests, record.created.tzinfo is not None) == (None, {}, True)


def test_a_reference_that_appeared_during_the_run_is_compared_with(world: World) -> None:
    first = world.submit(SPEC).record
    with open_workspace(world.site.home, "b") as space:
        (space.outputs / "model.pt").write_bytes(b"other weights")
        space.log.touch()
        record = publish(ended(world, attempt="b"), space, world.site)
    assert record.comparison is not None
    assert (record.comparison.reference, record.comparison.verdict) == (first.attempt, "different")
    assert world.store.reference(SPEC.hash) == first.attempt


def test_a_failure_is_neither_compared_nor_named(world: World) -> None:
    failed = DONE.model_copy(update={"exit_code": 1})
    with open_workspace(world.site.home, "b") as space:
        space.log.touch()
        record = publish(ended(world, outcome=failed), space, world.site)
    assert (record.status, record.comparison, world.store.reference(SPEC.hash)) == ("failed", None, None)
