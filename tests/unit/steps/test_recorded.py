from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.engine.outputs import Collected, Refused
from executor.evidence.metrics import Metrics
from executor.facts import Outcome
from executor.steps.recorded import (
    NOTHING,
    PRINTED,
    beside,
    completed,
    drafted,
    hints_of,
    read_metrics,
    remarks,
    status_of,
    with_printed,
)
from executor.steps.workspace import Workspace
from tests.fakes import NOON
from tests.unit.evidence.samples import file
from tests.unit.sites import World, a_spec, a_workspace, an_end

DONE = Outcome(exit_code=0, started=NOON, finished=NOON)


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


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    space = Workspace(tmp_path)
    space.staging.mkdir()
    space.printed.touch()
    return space


def test_what_was_found_in_the_log_is_an_output_and_counts(space: Workspace) -> None:
    space.printed.write_text('{"loss": 2.0}\n')
    (found,) = with_printed(NOTHING, space).files
    assert (found.path, found.role, found.size) == (PRINTED, "metrics", 14)
    assert read_metrics((found,), space).final == {"loss": 2.0}


def test_nothing_found_is_no_output(space: Workspace) -> None:
    assert with_printed(NOTHING, space) == NOTHING


def test_a_file_of_that_name_that_the_program_left_stays(space: Workspace) -> None:
    space.printed.write_text('{"loss": 2.0}\n')
    own = Collected((file(PRINTED, "mine"),), ())
    assert with_printed(own, space) == own


def test_metrics_of_all_files_count(space: Workspace) -> None:
    (space.staging / "metrics.jsonl").write_text('{"loss": 1, "acc": 0.5}\noops\n')
    (space.staging / PRINTED).write_text('{"loss": 2.0}\n')
    found = read_metrics((file("metrics.jsonl", "", "metrics"), file(PRINTED, "", "metrics")), space)
    assert (found.final, found.unreadable) == ({"loss": 2.0, "acc": 0.5}, 1)


def test_a_user_is_told_what_would_be_found_out_too_late() -> None:
    spec = a_spec(metrics={"stdout": r"^loss (?P<loss>\S+)"})
    ignored = Collected((file("tb/x", "1", "ignored"),), ())
    assert [remark.field for remark in remarks(spec, ignored, Metrics(unreadable=2))] == [
        "outputs", "metrics", "metrics.stdout",
    ]  # fmt: skip
    whole = Collected((file("model.pt", "1"), file(PRINTED, "1", "metrics")), ())
    assert remarks(spec, whole, Metrics()) == []


def test_a_draft_becomes_a_record_with_its_outputs(world: World) -> None:
    with a_workspace(world, "a") as space:
        ended = an_end(world, "a")
        kept = beside(ended, space)
        draft = drafted(ended, kept, world.site)
    assert (draft.status, draft.outputs, draft.trace, draft.code) == ("succeeded", (), None, None)
    assert draft.log is not None
    refused = Collected((file("model.pt", "1"),), (Refused("link", "a symbolic link"),))
    record = completed(draft, a_spec(), refused, Metrics({"loss": 1.0}, unreadable=2))
    assert (record.status, record.metrics, record.unreadable_metrics) == ("failed", {"loss": 1.0}, 2)
    assert record.refused_outputs == {"link": "a symbolic link"}
    assert [one.field for one in record.findings if one not in draft.findings] == ["metrics"]
