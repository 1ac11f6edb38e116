from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.engine.outputs import Collected, Refused
from executor.evidence.record import Blob
from executor.evidence.series import Series, Tally
from executor.facts import Outcome
from executor.spec.canonical import Digest
from executor.steps.recorded import (
    NOTHING,
    PRINTED,
    beside,
    completed,
    drafted,
    hints_of,
    remarks,
    status_of,
    with_printed,
)
from executor.steps.series import Gathered
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


def test_nothing_found_is_no_output(space: Workspace) -> None:
    assert with_printed(NOTHING, space) == NOTHING


def test_a_file_of_that_name_that_the_program_left_stays(space: Workspace) -> None:
    space.printed.write_text('{"loss": 2.0}\n')
    own = Collected((file(PRINTED, "mine"),), ())
    assert with_printed(own, space) == own


def test_a_user_is_told_what_would_be_found_out_too_late() -> None:
    spec = a_spec(metrics={"stdout": r"^loss (?P<loss>\S+)"})
    ignored = Collected((file("tb/x", "1", "ignored"),), ())
    assert [remark.field for remark in remarks(spec, ignored, Gathered({}, Tally(unreadable=2)))] == [
        "outputs", "metrics", "metrics.stdout",
    ]  # fmt: skip
    whole = Collected((file("model.pt", "1"), file(PRINTED, "1", "metrics")), ())
    assert remarks(spec, whole, Gathered({}, Tally())) == []


def test_a_draft_becomes_a_record_with_its_outputs(world: World) -> None:
    with a_workspace(world, "a") as space:
        ended = an_end(world, "a")
        kept = beside(ended, space)
        draft = drafted(ended, kept, world.site)
    assert (draft.status, draft.outputs, draft.trace, draft.code) == ("succeeded", (), None, None)
    assert draft.log is not None
    refused = Collected((file("model.pt", "1"),), (Refused("link", "a symbolic link"),))
    loss = Series(points=2, final=1.0, last_step=1, lowest=0.5, lowest_step=0, highest=1.0, highest_step=1)
    table = Blob(digest=Digest.of(b"table"), size=5)
    record = completed(draft, a_spec(), refused, Gathered({"loss": loss}, Tally(2, left_out=3)), table)
    assert (record.status, record.metrics, record.unreadable_metrics) == ("failed", {"loss": 1.0}, 2)
    assert record.refused_outputs == {"link": "a symbolic link"}
    assert (record.lowest, record.highest, record.series) == ({"loss": 0.5}, {"loss": 1.0}, table)
    assert table.digest in record.blobs()
    assert [one.field for one in record.findings if one not in draft.findings] == ["metrics", "metrics"]
