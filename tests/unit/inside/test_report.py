from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from executor.facts import Finding
from executor.inside import report


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "_HOME", str(tmp_path))
    (tmp_path / "report").mkdir()
    return tmp_path / "report"


def test_the_first_free_name_is_taken_and_nothing_else_is_left(folder: Path) -> None:
    for document in range(3):
        report.publish(["a.json", "b.json"], document)
    assert {path.name: json.loads(path.read_text()) for path in folder.iterdir()} == {"a.json": 0, "b.json": 1}


def test_numbers_go_on_where_they_are_free(folder: Path) -> None:
    (folder / "process-0.json").touch()
    assert list(islice(report.numbered("process"), 2)) == ["process-1.json", "process-2.json"]


def test_a_finding_has_the_shape_of_the_executor_s() -> None:
    line = report.finding("cpu.isa", "avx2", None, "advice")
    assert Finding.model_validate(line).model_dump() == line


def test_what_is_not_allowed_is_refused_aloud(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [report.finding("torch", 1, 2, "use that"), report.finding("cpu.isa", 1, 2, "", severity="warn")]
    assert report.judge(findings, []) is True
    assert capsys.readouterr() == ("", "executor: torch: expected 1, found 2: use that\n")
    assert json.loads((folder / "refusal.json").read_text()) == {"findings": findings}


def test_what_is_allowed_is_marked_and_runs(folder: Path) -> None:
    findings = [report.finding("torch", 1, 2, "use that")]
    assert report.judge(findings, ["torch"]) is False
    assert findings[0]["allowed"] is True
    assert list(folder.iterdir()) == []
