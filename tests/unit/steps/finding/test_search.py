from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.runs import START, records
from executor.errors import QueryError
from executor.evidence.grammar import parse
from executor.evidence.row import row
from executor.steps.finding.indexing import ANNOUNCED
from executor.steps.finding.search import Found, askable, find, meant, resolver
from executor.store import columns
from executor.store import index as index_module
from executor.store import view as view_module
from executor.store.index import Index, batch_of
from tests.unit.evidence.meaning import matches

RECORDS = list(records(120, seed=3))
RECORDS[7] = RECORDS[7].model_copy(update={"metrics": {"loss": math.nan, "accuracy": 0.5}})
ROWS = [row(record) for record in RECORDS]
NOW = START + timedelta(minutes=30)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        for module in (index_module, view_module):
            patched.setattr(module, "BLOCK", 32)
        made = Index(tmp_path_factory.mktemp("index") / "x.sqlite", 1)
        for start in range(0, len(ROWS), 25):
            made.add(batch_of(ROWS[start : start + 25]))
        yield made


def asked(index: Index, text: str = "", **how: Any) -> Found:
    with index.view() as view:
        return find(view, text, NOW, **how)


def attempts(found: Found) -> list[str]:
    return [one["attempt"] for one in found.rows]


NUMBERS = ("accuracy", "loss", "params.lr", "layers", "seed", "gpus", "runtime_s", "params.nested.rate", "exit_code")
WORDS = ("status", "optimizer", "name", "gpu", "host", "labels.team", "verdict")
TEXTS = {
    "status": ("succeeded", "failed"), "optimizer": ("adam", "sgd", "x"), "name": ("family-3", "family-77", ""),
    "gpu": ("NVIDIA A100-SXM4-80GB",), "host": ("node01", "node2"), "labels.team": ("vision",),
    "verdict": ("identical", "different"),
}  # fmt: skip
ORDER = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBER = st.one_of(st.integers(-2, 100), st.floats(0, 2).map(lambda value: round(value, 2)), st.sampled_from(
    ["nan", "inf", "-inf", "null"])).map(str)  # fmt: skip


@st.composite
def comparison(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["number", "between", "word", "pattern", "among", "flag", "list", "time", "null"]))
    if kind == "number":
        value = draw(NUMBER)
        op = draw(st.sampled_from(["==", "!="]) if value == "null" else ORDER)
        return f"{draw(st.sampled_from(NUMBERS))} {op} {value}"
    if kind == "between":
        return f"{draw(st.integers(0, 9))} <= seed < {draw(st.integers(0, 9))}"
    if kind == "flag":
        return f"params.amp == {draw(st.sampled_from(['true', 'false', '1', 'null']))}"
    if kind == "list":
        return f"hidden {draw(st.sampled_from(['==', '!=']))} [128, {draw(st.sampled_from([64, 128, 5]))}]"
    if kind == "time":
        at = draw(st.sampled_from(["20m", "1d", "2026-01-01", "2026-01-01T00:10", "2025-12-31"]))
        return f"created {draw(ORDER)} {at}"
    name = draw(st.sampled_from(WORDS))
    if kind == "null":
        return f"{name} {draw(st.sampled_from(['==', '!=']))} null"
    if kind == "pattern":
        return f"{name} ~ '{draw(st.sampled_from(['^f', '[0-9]+$', 'a|d', '', 'ily-1']))}'"
    words = [f"'{word}'" for word in TEXTS[name] if word or name == "name"]
    if kind == "word":
        allowed = ORDER if name not in ("status", "verdict") else st.sampled_from(["==", "!="])
        return f"{name} {draw(allowed)} {draw(st.sampled_from(words))}"
    listed = draw(st.lists(st.sampled_from([*words, "null"]), max_size=3))
    return f"{name} {draw(st.sampled_from(['in', 'not in']))} ({', '.join(listed)})"


JOIN = st.sampled_from(["and", "or"])
EXPRESSIONS = st.recursive(
    comparison(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, JOIN, inner).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
        st.tuples(inner, JOIN, inner).map(lambda parts: " ".join(parts)),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(text=EXPRESSIONS)
def test_the_index_finds_the_rows_that_an_expression_is_true_of(index: Index, text: str) -> None:
    with index.view() as view:
        mask, _ = meant(view, text, NOW)
        expression = resolver(view, NOW).expression(parse(text), text)
    expected = [matches(expression, one.values) for one in ROWS]
    assert [value for part in mask for value in part.to_pylist()] == expected


@pytest.mark.parametrize("name", ["accuracy", "loss", "name", "verdict", "params.hidden", "amp", "seed", "gpu"])
@pytest.mark.parametrize("ascending", [True, False])
def test_runs_are_sorted_by_what_they_have(index: Index, name: str, ascending: bool) -> None:
    found = asked(index, sort=name, ascending=ascending, limit=200)
    whole = found.used[-1]

    def key(values: Any) -> tuple[Any, ...]:
        value = values.get(whole)
        group = 3 if value is None else 2 if value != value else 0 if isinstance(value, int | float) else 1
        return group, json.dumps(value) if group == 1 and isinstance(value, list) else value

    groups = [key(one)[0] for one in found.rows]
    assert groups == sorted(groups)
    for group in (0, 1):
        values = [key(one)[1] for one in found.rows if key(one)[0] == group]
        assert values == sorted(values, reverse=not ascending)
    assert sorted(attempts(found)) == sorted(one.attempt for one in ROWS)


def test_without_an_order_the_newest_come_first(index: Index) -> None:
    found = asked(index, limit=7)
    assert attempts(found) == [one.attempt for one in reversed(ROWS)][:7]
    assert found.total == len(ROWS)


def test_an_order_goes_with_an_expression_and_a_limit(index: Index) -> None:
    found = asked(index, "optimizer == 'adam' and accuracy > 0", sort="accuracy", limit=3)
    adam = [run for run in reversed(RECORDS) if run.spec["params"]["optimizer"] == "adam" and run.metrics]
    expected = sorted(adam, key=lambda run: -run.metrics["accuracy"])
    assert attempts(found) == [one.attempt for one in expected[:3]]
    assert found.used == ("params.optimizer", "metrics.accuracy")
    assert all(one["params.optimizer"] == "adam" and one["metrics.accuracy"] > 0.8 for one in found.rows)


@pytest.mark.parametrize("sort", ["", "seed", "rerun", "status", "loss"])
def test_parts_of_an_answer_join_to_the_whole_also_among_equals(index: Index, sort: str) -> None:
    whole = attempts(asked(index, sort=sort, limit=120))
    parts = [attempts(asked(index, sort=sort, limit=7, skip=skip)) for skip in range(0, 120, 7)]
    assert [one for part in parts for one in part] == whole
    assert len(set(whole)) == 120


def test_columns_are_told_by_their_whole_names(index: Index) -> None:
    found = asked(index, "seed == 3", show=("accuracy", "hidden", "verdict"), limit=100)
    assert found.columns == ("metrics.accuracy", "params.hidden", "verdict")
    by_attempt = {one.attempt: one for one in ROWS}
    for one in found.rows:
        values = by_attempt[one["attempt"]].values
        assert {name: repr(one.get(name)) for name in found.columns} == {
            name: repr(values.get(name)) for name in found.columns
        }
        assert one["spec"] == by_attempt[one["attempt"]].spec


def test_what_can_be_asked_is_listed_without_what_only_the_index_needs(index: Index) -> None:
    index.add(batch_of([]))
    with index.view() as view:
        names = askable(view)
    assert names["metrics.accuracy"] == {"number"}
    assert names["labels.team"] == {"text"}
    assert names["params.hidden"] == {"flag", "list", "number"}
    assert not {ANNOUNCED, "spec", "seed"} & names.keys()


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("seed == 1 and name ~ '(?=a)'", 21, "no look-around"),
        ("seed == 1 and nam == 'x'", 14, "no run has nam"),
        ("seed == ", 8, "expected a value"),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_place(index: Index, text: str, at: int, problem: str) -> None:
    with pytest.raises(QueryError) as caught:
        asked(index, text)
    assert caught.value.at == at
    assert problem in caught.value.problem


@pytest.mark.parametrize("how", [{"sort": "nothing"}, {"show": ("nothing",)}])
def test_a_column_that_no_run_has_is_told(index: Index, how: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match="no run has nothing"):
        asked(index, **how)


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    with Index(tmp_path / "x.sqlite", 1).view() as view:
        found = find(view, "status == 'failed' or not seed > 3", NOW, sort="created")
        assert (found.rows, found.total) == ((), 0)
        assert columns.total(columns.every(view.lengths)) == 0


def test_numbers_that_are_none_come_back_as_they_are(index: Index) -> None:
    found = asked(index, "loss == nan or loss == inf", limit=200)
    values = [one["metrics.loss"] for one in found.rows]
    assert any(map(math.isnan, values))
    assert all(math.isnan(value) or value == math.inf for value in values)
