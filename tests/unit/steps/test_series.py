from __future__ import annotations

from pathlib import Path

import pytest

from executor.evidence.series import known, read
from executor.facts import OutputFile, Role
from executor.spec.canonical import Digest
from executor.steps.series import Gathered, gather_series
from tests.unit.evidence.content.samples import as_events, event, simple

NAME = "events.out.tfevents.1767225600.host.17.0"


def file(folder: Path, path: str, data: bytes, role: Role = "file") -> OutputFile:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    return OutputFile(path=path, digest=Digest.of(data), size=len(data), role=role)


def gathered(folder: Path, *files: OutputFile) -> Gathered:
    found = gather_series(files, folder, folder / "series.parquet")
    with (folder / "series.parquet").open("rb") as table:
        assert known(table, "") == found.series
    return found


@pytest.fixture
def metrics(tmp_path: Path) -> OutputFile:
    return file(tmp_path, "metrics.jsonl", b'{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n', "metrics")


def test_metrics_files_are_read_and_other_files_are_not(tmp_path: Path, metrics: OutputFile) -> None:
    other = file(tmp_path, "other.jsonl", b'{"x": 1}\n')
    found = gathered(tmp_path, metrics, other)
    assert found.final == {"loss": 1.0}
    assert (found.series["loss"].lowest_step, found.tally.unreadable) == (2, 0)
    with (tmp_path / "series.parquet").open("rb") as table:
        assert [(name, list(one.steps), list(one.values)) for name, one in read(table, "")] == [
            ("loss", [1, 2], [2.0, 1.0])
        ]


def test_the_folder_of_all_event_files_is_not_in_the_names(tmp_path: Path) -> None:
    found = gathered(tmp_path, file(tmp_path, f"tb/run/{NAME}", as_events([0.5, 0.25]), "ignored"))
    assert found.final == {"loss": 0.25}


def test_event_files_of_several_folders_are_told_apart(tmp_path: Path) -> None:
    files = [file(tmp_path, f"logs/{part}/{NAME}", as_events([value])) for part, value in (("train", 1), ("val", 2))]
    assert gathered(tmp_path, *files).final == {"train/loss": 1.0, "val/loss": 2.0}
    files.append(file(tmp_path, NAME, as_events([3])))
    assert gathered(tmp_path, *files).final == {"loss": 3.0, "logs/train/loss": 1.0, "logs/val/loss": 2.0}


def test_event_files_of_one_folder_follow_each_other(tmp_path: Path) -> None:
    first, second = f"tb/{NAME}", f"tb/{NAME}.v2"
    files = [file(tmp_path, second, event(9, 5, simple("loss", 1))), file(tmp_path, first, as_events([3, 2]))]
    found = gathered(tmp_path, *files)
    assert (found.final, found.series["loss"].points, found.series["loss"].last_step) == ({"loss": 1.0}, 3, 5)


def test_a_name_of_two_sources_becomes_two_series(tmp_path: Path, metrics: OutputFile) -> None:
    printed = file(tmp_path, "stdout-metrics.jsonl", b'{"loss": 7.0, "acc": 0.5}\n', "metrics")
    events = file(tmp_path, NAME, as_events([9]))
    assert gathered(tmp_path, metrics, printed, events).final == {
        "loss": 1.0, "stdout-metrics.jsonl/loss": 7.0, "acc": 0.5, "events/loss": 9.0,
    }  # fmt: skip


def test_what_cannot_be_read_is_counted_over_all_files(tmp_path: Path) -> None:
    files = [file(tmp_path, "metrics.jsonl", b"oops\n", "metrics"), file(tmp_path, NAME, b"no events at all")]
    assert gathered(tmp_path, *files).tally.unreadable == 2


def test_a_run_without_numbers_has_no_table(tmp_path: Path) -> None:
    assert gather_series((file(tmp_path, "model.pt", b"1"),), tmp_path, tmp_path / "table").series == {}
    assert not (tmp_path / "table").exists()
