import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import SpecError
from executor.spec.file import load_draft, load_spec, parse_draft, parse_spec
from executor.spec.model import Spec
from tests.unit.spec.bad import BASE, TABLE, Bad, said, table
from tests.unit.spec.fuzz import Fuzzer
from tests.unit.spec.strategies import SPECS, dressed


def complaint(text: str | bytes) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text if isinstance(text, bytes) else text.encode(), "s.yaml")
    return str(caught.value)


@pytest.mark.parametrize("bad", list(table()), ids=lambda bad: bad.name)
def test_every_broken_spec_is_told_exactly_what_is_wrong(bad: Bad) -> None:
    assert said(bad.text) == bad.said


def test_the_table_of_broken_specs_is_whole() -> None:
    names = [bad.name for bad in table()]
    assert len(set(names)) == len(names) >= 70
    assert said(BASE.encode()) == ("nothing",)
    assert all(bad.said for bad in table()), TABLE


@settings(max_examples=200)
@given(SPECS, st.integers(0, 2**32))
def test_order_quotes_comments_and_style_do_not_change_a_spec(plain: dict[str, Any], seed: int) -> None:
    first, second = (parse_spec(dressed(plain, random.Random(n)).encode(), "s") for n in (seed, seed + 1))
    expected = Spec.model_validate(plain)
    assert first.canonical() == second.canonical() == expected.canonical()
    assert first.hash == expected.hash
    assert first == second


@given(SPECS)
def test_json_is_yaml(plain: dict[str, Any]) -> None:
    escaped = json.dumps(plain, ensure_ascii=False)
    if escaped.isprintable():
        assert parse_spec(escaped.encode(), "s").canonical() == Spec.model_validate(plain).canonical()


@pytest.mark.parametrize("seed", range(4))
def test_mutants_never_crash_and_never_share_a_hash(seed: int) -> None:
    fuzzer = Fuzzer(random.Random(seed))
    for _ in range(1500):
        fuzzer.step()
    assert fuzzer.count["accepted"] > 50
    assert fuzzer.count["refused"] > 500


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text("{}[]:,- #&*!|>'\"%@?\n\ta1", max_size=60).map(str.encode)))
def test_noise_is_a_complaint(noise: bytes) -> None:
    assert complaint(noise)


def test_a_word_that_outgrows_the_kernel_is_refused() -> None:
    word = BASE.replace("--lr", '"' + "{params.x}" * 40 + '"').replace("lr: 1e-3", "lr: 1, x: " + "y" * 4000)
    assert complaint(word) == "s.yaml:7:29: command[2]: longer than 131071 bytes once its parameters are filled in"


def test_the_limit_of_size_is_exact() -> None:
    padding = 64 * 1024 - len(BASE) - 2
    assert parse_spec((BASE + "#" + "x" * padding + "\n").encode(), "s").name == "digits"
    assert "larger than" in complaint(BASE + "#" + "x" * (padding + 1) + "\n")


def test_deep_nesting_costs_nothing() -> None:
    assert "nested more than 20" in complaint("a: " + "[" * 60_000)


def test_complaints_are_in_the_order_of_the_file_and_end_somewhere() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec((BASE + "".join(f"x{n}: 1\n" for n in range(200))).encode(), "s")
    assert [issue.line for issue in caught.value.issues[:-1]] == list(range(11, 61))
    assert caught.value.issues[-1].message == "and 150 more problems"


def test_complaints_as_json_have_line_column_field_and_message() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(BASE.replace("seed: 7", "seed: x").encode(), "s.yaml")
    expected = "expected a whole number from 0 to 18446744073709551615, found 'x'"
    assert caught.value.as_json()["errors"] == [{"message": expected, "field": "seed", "line": 9, "column": 1}]


def test_a_draft_is_sent_to_lock() -> None:
    draft = (
        "version: 1\nname: x\nimage: torch:2\ncode: {branch: main}\ndata: {d: {source: ../d}}\ncommand: [x]\nseed: 1\n"
    )
    assert parse_draft(draft.encode(), "d.yaml").data["d"].source == "../d"
    with pytest.raises(SpecError) as caught:
        parse_spec(draft.encode(), "d.yaml")
    assert "`executor submit --lock`" in caught.value.advice
    assert {issue.field for issue in caught.value.issues} == {"image", "code.commit", "code.branch", "data.d.hash"}
    assert all("`executor lock`" in issue.message for issue in caught.value.issues)


def test_a_draft_with_other_mistakes_is_not_sent_to_lock() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(BASE.replace(f"@sha256:{'a' * 64}", "").replace("seed: 7", "seed: x").encode(), "d.yaml")
    assert caught.value.advice == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data: {d: {}}", "data.d: expected a hash, a source or both, found neither"),
        (f"code: {{commit: {'0' * 40}, branch: main}}", "code: expected a commit or a branch, found both"),
        ("code: {branch: ''}", "code.branch: expected text that is not empty, found ''"),
        ("code: {branch: --all}", "code.branch: expected a path or an address, found '--all'"),
        ("image: 'torch 2'", "image: expected an image such as"),
    ],
)
def test_broken_drafts(change: str, said: str) -> None:
    plain = {"version": "1", "name": "x", "image": "x", "command": "[x]", "seed": "1"}
    key, _, value = change.partition(": ")
    text = "\n".join(f"{key}: {value}" for key, value in (plain | {key: value}).items())
    with pytest.raises(SpecError) as caught:
        parse_draft(text.encode(), "d.yaml")
    assert said in str(caught.value)


def test_loading_makes_local_hints_absolute(tmp_path: Path) -> None:
    path = tmp_path / "digits.yaml"
    path.write_text(BASE)
    spec = load_spec(path)
    assert spec.code
    assert spec.code.repo == f"{tmp_path}/.."
    assert spec.data["digits"].source == "s3://acme/digits"
    draft = load_draft(path)
    assert draft.code
    assert draft.code.repo == f"{tmp_path}/.."


def test_a_missing_file_is_a_complaint_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: cannot be read: no such file or directory") as caught:
        load_spec(tmp_path / "none.yaml")
    assert "executor init" in caught.value.advice


def test_a_folder_is_a_complaint(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: is a directory"):
        load_draft(tmp_path)


def test_a_name_with_a_nul_is_a_complaint() -> None:
    with pytest.raises(SpecError, match="cannot be read: embedded null byte"):
        load_spec(Path("a\0b"))
