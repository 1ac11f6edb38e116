import errno
import inspect
import json

import pytest

from executor import errors
from executor.errors import (
    CorruptObject,
    DiskFailed,
    DiskFull,
    EnvironmentMismatch,
    ExecutorError,
    InputMismatch,
    Issue,
    NotRepeatable,
    QueryError,
    SeveralErrors,
    SpecError,
    UncommittedChanges,
    Unpublished,
    Unreachable,
    UsageError,
    count,
)
from executor.facts import Finding

CODES = {
    "ExecutorError": 1, "SpecError": 2, "UsageError": 2, "QueryError": 2, "UncommittedChanges": 2, "NotFound": 2,
    "EnvironmentMismatch": 3, "InputMismatch": 3, "NotRepeatable": 4, "CorruptObject": 5, "Unreachable": 6,
    "StoreUnreachable": 6, "EngineUnreachable": 6, "RegistryUnreachable": 6, "SourceUnreachable": 6,
    "ImageNotFound": 6, "Interrupted": 130, "Untrusted": 5, "Retained": 6, "Unpublished": 6, "HeldElsewhere": 7,
    "DiskFailed": 6, "DiskFull": 6,
}  # fmt: skip
CLASSES = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ExecutorError)}
FINDING = Finding(field="cpu.isa", expected="avx2", observed="default", severity="refuse")


def test_every_error_has_the_exit_code_of_the_table() -> None:
    assert {name: kind.exit_code for name, kind in CLASSES.items() if name != "SeveralErrors"} == CODES


@pytest.mark.parametrize(
    "error",
    [
        ExecutorError("m", advice="a"),
        Unreachable("m"),
        SpecError([Issue("wrong", "seed", 3, 1)], path="s.yaml"),
        SeveralErrors([UsageError("m"), Unreachable("n", advice="a")]),
        UncommittedChanges("repo", ["a"]),
        QueryError("a = 1", 2, "expected `==`"),
        EnvironmentMismatch("m", findings=[FINDING]),
        InputMismatch("data.d.hash", expected="a", observed="b"),
        CorruptObject("k", expected="a", observed="b"),
        NotRepeatable("m", divergence={"step": 3}, advice="a"),
        Unpublished("m", spec_hash="a", attempt="b", folder="c", advice="a"),
        DiskFailed.of(OSError(errno.EIO, "Input/output error", "/x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_one_json_document(error: ExecutorError) -> None:
    document = json.loads(json.dumps(error.as_json()))
    assert "advice" in document
    assert document.get("errors") or document["error"] == type(error).__name__


def test_a_spec_error_says_where_and_says_everything() -> None:
    issues = [Issue("wrong", "seed", 3, 1), Issue("missing", "image"), Issue("empty")]
    error = SpecError(issues, path="s.yaml")
    assert str(error) == "s.yaml:3:1: seed: wrong\ns.yaml: image: missing\ns.yaml: empty"
    assert error.as_json()["errors"][0] == {"message": "wrong", "field": "seed", "line": 3, "column": 1}


def test_several_errors_end_with_the_code_of_the_first_and_advise_once() -> None:
    error = SeveralErrors([Unreachable("a", advice="x"), UsageError("b", advice="x"), UsageError("c", advice="y")])
    assert (error.exit_code, str(error), error.advice) == (6, "a\nb\nc", "x\ny")
    assert [one["message"] for one in error.as_json()["errors"]] == ["a", "b", "c"]


def test_uncommitted_changes_are_named_up_to_twenty() -> None:
    few, many = UncommittedChanges("r", ["a", "b"]), UncommittedChanges("r", [f"f{n}" for n in range(23)])
    assert str(few) == "r: uncommitted changes in 2 files:\n  a\n  b"
    assert str(UncommittedChanges("r", ["a"])) == "r: uncommitted changes in 1 file:\n  a"
    assert str(many).endswith("f19\n  … and 3 more")
    assert len(many.files) == 23


def test_a_mismatch_carries_its_findings_as_data() -> None:
    document = EnvironmentMismatch("m", findings=[FINDING]).as_json()
    assert (document["status"], document["findings"]) == ("refused", [FINDING.model_dump()])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_a_broken_one(number: int) -> None:
    full, broken = DiskFailed.of(OSError(number, "no room", "/x")), DiskFailed.of(OSError(errno.EIO, "broken"))
    assert (type(full), str(full), full.advice) == (DiskFull, "/x: no room", "make room on this disk")
    assert (type(broken), str(broken)) == (DiskFailed, "a disk of this machine: broken")


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_things_are_counted_as_people_do(number: int, text: str) -> None:
    assert count(number, "file") == text


def test_an_input_mismatch_says_both_sides() -> None:
    assert str(InputMismatch("code.commit", expected="a", observed="b")) == "code.commit: expected a, found b"
