from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from executor.inside import report, tensors, weights
from executor.inside.leaves import Unreadable, flatten, frame, plain


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("reference", "observed"):
        (tmp_path / name).mkdir()
    return tmp_path / "reference", tmp_path / "observed"


@pytest.fixture
def trees(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What files hold, by the name of their folder, in place of files that only torch could read."""
    held: dict[str, Any] = {}

    def read(path: str) -> dict[str, Any]:
        value = held[os.path.basename(os.path.dirname(path))]
        return flatten(value() if callable(value) else value)

    monkeypatch.setattr(weights, "read", read)
    return held


def compared(trees: dict[str, Any], ours: Any, theirs: Any) -> dict[str, Any]:
    trees.update(reference=ours, observed=theirs)
    found = tensors.compare("/d/reference", "/d/observed", ["w.pt"])
    assert list(found) == ["files"]
    result = found["files"]["w.pt"]
    assert isinstance(result, dict)
    return result


def test_the_digest_is_what_the_document_says(trees: dict[str, Any]) -> None:
    result = compared(trees, {"b": 3, "a": "é"}, {"a": "é", "b": 3})
    tag = b"executor/tensors/v1"
    parts = (tag, b"a", b"python.str", b"", "é".encode(), b"b", b"python.int", b"", b"3")
    expected = hashlib.sha256(b"".join(struct.pack("<Q", len(part)) + part for part in parts)).hexdigest()
    assert result == {
        "reference": expected,
        "observed": expected,
        "tensors": 0,
        "different": [],
        "different_count": 0,
        "only": {"reference": [], "observed": []},
        "max_ulp": 0,
        "problem": "",
    }
    assert frame(*parts) == b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def test_the_worst_comes_first_and_twenty_are_shown(trees: dict[str, Any]) -> None:
    ours = {f"n{number:02}": float(number) for number in range(1, 30)}
    theirs = {name: value + number * 2**-40 for number, (name, value) in enumerate(ours.items())}
    result = compared(trees, {**ours, "epoch": 3}, {**theirs, "epoch": 4})
    assert (result["different_count"], len(result["different"])) == (29, 20)
    assert [entry["name"] for entry in result["different"][:2]] == ["epoch", "n15"]
    distances = [entry["max_ulp"] for entry in result["different"]]
    assert distances[0] is None
    assert distances[1:] == sorted(distances[1:], reverse=True)
    assert result["max_ulp"] is None
    assert compared(trees, ours, theirs)["max_ulp"] == distances[1]


def test_another_type_and_missing_names_are_told(trees: dict[str, Any]) -> None:
    result = compared(trees, {"x": 1, "l": [1, 2], "old": 0}, {"x": 1.0, "l": [1], "new": 0})
    assert result["only"] == {"reference": ["l.1", "old"], "observed": ["new"]}
    by_name = {entry["name"]: entry for entry in result["different"]}
    assert by_name["x"] == {
        "name": "x", "dtype": "python.int → python.float", "shape": [], "count": 1, "elements": 1,
        "max_ulp": None, "max_relative": None, "first_index": [],
    }  # fmt: skip
    assert by_name["l"]["shape"] == "[2] → [1]"
    assert result["max_ulp"] is None


@pytest.mark.parametrize(
    ("hostile", "problem"),
    [
        (lambda: os._exit(7), "the process that compared the files ended too soon"),
        (lambda: os.kill(os.getpid(), 9), "the process that compared the files was killed by signal 9"),
        (lambda: sys.exit(3), "the files cannot be compared: it raises SystemExit"),
        (lambda: [][1], "the files cannot be compared: list index out of range"),
    ],
)
def test_what_a_file_does_to_its_process_is_a_problem_of_that_file(
    trees: dict[str, Any], hostile: object, problem: str
) -> None:
    result = compared(trees, hostile, {"a": 1})
    assert (result["problem"], result["reference"], result["max_ulp"]) == (problem, None, None)


def test_what_one_side_holds_is_read_though_the_other_cannot_be(trees: dict[str, Any]) -> None:
    result = compared(trees, {"a": object()}, {"a": 1})
    assert result["problem"].startswith("the reference file holds an object of the type builtins.object at a")
    assert result["reference"] is None
    assert result["observed"] == compared(trees, {"a": 1}, {"a": 1})["observed"]
    assert result["only"] == {"reference": [], "observed": []}


def test_the_plan_s_paths_are_compared_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_HOME", str(tmp_path))
    (tmp_path / "report").mkdir()
    (tmp_path / "plan.json").write_text(json.dumps({"tensors": {"paths": ["a.pt", "sub/b.npz"]}}))
    monkeypatch.setattr(tensors, "REFERENCE", str(tmp_path))
    assert tensors.main([]) == 0
    document = json.loads((tmp_path / "report" / "tensors.json").read_text())
    assert list(document["files"]) == ["a.pt", "sub/b.npz"]
    problem = "the reference file is not there; the observed file is not there"
    assert document["files"]["a.pt"]["problem"] == problem


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello, world", "is in none of the formats torch, safetensors, npz and npy"),
        (b"PK\3\4 and no more", "is a zip file that is damaged or cut short"),
        (b"\x93NUMPY\1\0", "npy"),
        (b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch"),
        (struct.pack("<Q", 2) + b"{}", "safetensors"),
    ],
)
def test_the_format_is_told_from_the_content(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content)
    assert formats(path) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["archive/data.pkl", "archive/data/0"], "torch"),
        (["a.npy", "b.npy"], "npz"),
        (["word/document.xml"], "is a zip file of neither torch nor numpy"),
    ],
)
def test_zip_files_are_told_from_their_members(tmp_path: Path, members: list[str], expected: str) -> None:
    path = tmp_path / "weights.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, b"")
    assert formats(path) == expected


def formats(path: Path) -> str:
    try:
        return weights._format(str(path))
    except Unreadable as error:
        return str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("bad thing. \nmore\n"), "bad thing"),
        (KeyError("dtype"), "'dtype' is missing"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "it raises SystemExit"),
        (ValueError("x" * 300), "x" * 200 + "…"),
    ],
)
def test_an_error_becomes_a_few_words(error: BaseException, expected: str) -> None:
    assert weights.sentence(error) == expected


@pytest.mark.parametrize(("number", "shape", "index"), [(0, [], []), (5, [2, 3], [1, 2]), (7, [2, 2, 2], [1, 1, 1])])
def test_a_place_is_a_row_major_index(number: int, shape: list[int], index: list[int]) -> None:
    assert tensors._place(number, shape) == index


def test_containers_are_no_plain_values() -> None:
    assert plain([1]) is None
