from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import QueryError
from executor.evidence.grammar import parse
from executor.evidence.query import Compare, Expression
from executor.evidence.resolve import Resolver
from executor.evidence.row import microseconds
from tests.unit.evidence.meaning import comparisons, matches

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
KNOWN = {
    "metrics.accuracy": {"number"}, "metrics.loss": {"number"}, "params.loss": {"text"}, "params.lr": {"number"},
    "params.optimizer": {"text"}, "params.hidden": {"list"}, "params.amp": {"flag"}, "params.mixed": {"number", "text"},
    "labels.team": {"text"}, "data.train": {"text"}, "params.model.depth": {"number"},
}  # fmt: skip
RESOLVER = Resolver(KNOWN, NOW)


def resolved(text: str) -> Expression:
    return RESOLVER.expression(parse(text), text)


def names(text: str) -> list[str]:
    return [one.name for one in comparisons(resolved(text))]


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("accuracy", "metrics.accuracy"),
        ("metrics.accuracy", "metrics.accuracy"),
        ("optimizer", "params.optimizer"),
        ("model.depth", "params.model.depth"),
        ("team", "labels.team"),
        ("train", "data.train"),
        ("status", "status"),
        ("seed", "seed"),
    ],
)
def test_a_name_is_found_in_the_fields_the_metrics_the_parameters_and_then_elsewhere(name: str, whole: str) -> None:
    assert RESOLVER.name(name) == whole


@pytest.mark.parametrize(
    ("text", "at", "problem", "advice"),
    [
        ("acuracy > 1", 0, "no run has acuracy", "there is metrics.accuracy"),
        ("seed == 1 and params.optimiser == 'a'", 14, "no run has params.optimiser", "there is params.optimizer"),
        ("statu == 'x'", 0, "no run has statu", "there is status"),
        ("zzzzzz == 1", 0, "no run has zzzzzz", "`executor find --names` lists what there is"),
        ("loss > 1", 0, "loss can be metrics.loss or params.loss: write which", ""),
        ("status == 'suceeded'", 10, "status is one of succeeded, failed, interrupted; not suceeded", ""),
        ("status in ('failed', 'bad')", 10, "not bad", ""),
        ("accuracy == 'high'", 12, "metrics.accuracy is a number, never a text", ""),
        ("optimizer == 3", 13, "params.optimizer is a text, never a number", ""),
        ("optimizer in ('a', 3)", 13, "never a number", ""),
        ("accuracy ~ 'x'", 11, "never a text", ""),
        ("hidden == 3", 10, "params.hidden is a list, never a number", ""),
        ("lr == [1]", 6, "never a list", ""),
        ("rerun == 'yes'", 9, "rerun is a flag, never a text", ""),
        ("lr < null", 5, "null has no order", ""),
        ("lr > 7d", 5, "params.lr is no time: 7d goes with created, runtime_s", ""),
        ("name == 2026-01-01", 8, "name is no time", ""),
        ("created > 5", 10, "expected a date such as", ""),
        ("created > 'yesterday'", 10, "expected a date such as", ""),
        ("created > 2026-13-01", 10, "no such date", ""),
        ("created > 2026-01-01T25:00", 10, "no such date", ""),
        ("created > 9999999w", 10, "longer than there are dates", ""),
    ],
)
def test_what_no_run_can_be_is_told_with_its_place(text: str, at: int, problem: str, advice: str) -> None:
    with pytest.raises(QueryError) as caught:
        resolved(text)
    assert problem in caught.value.problem
    assert (caught.value.at, caught.value.advice) == (at, advice)


@pytest.mark.parametrize(
    "text",
    [
        "amp == true", "amp == 1", "lr == true", "mixed == 'a'", "mixed > 1", "hidden == [1, 'a']", "lr == null",
        "optimizer in ('a', null)", "verdict == null", "verdict in (null, 'identical')", "rerun == true",
        "name ~ 'x'", "runtime_s > 3", "created in (2026-01-01, 2026-01-02)", "created == null", "hidden != null",
    ],
)  # fmt: skip
def test_what_can_be_may_be_asked(text: str) -> None:
    assert names(text)


def test_a_length_of_time_beside_seconds_is_so_many() -> None:
    assert [(one.name, one.value) for one in comparisons(resolved("runtime_s >= 1.5h"))] == [("runtime_s", 5400.0)]


DAY = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-01-31", DAY, DAY + timedelta(days=1)),
        ("'2026-01-31'", DAY, DAY + timedelta(days=1)),
        ("2026-01-31T12:30", DAY + timedelta(hours=12.5), DAY + timedelta(hours=12.5, minutes=1)),
        ("2026-01-31T12:30:05Z", DAY + timedelta(hours=12.5, seconds=5), DAY + timedelta(hours=12.5, seconds=6)),
        ("2026-01-31T12:30:05.25", DAY + timedelta(hours=12.5, seconds=5.25),
         DAY + timedelta(hours=12.5, seconds=5.26)),
        ("2d", NOW - timedelta(days=2), NOW - timedelta(days=2) + timedelta(microseconds=1)),
    ],
)  # fmt: skip
def test_a_date_is_the_whole_of_it(text: str, first: datetime, last: datetime) -> None:
    start, end = microseconds(first), microseconds(last)
    moments = {"before": start - 1, "start": start, "end": end - 1, "after": end}
    wanted = {
        "==": {"start", "end"}, "!=": {"before", "after"}, "<": {"before"}, "<=": {"before", "start", "end"},
        ">": {"after"}, ">=": {"start", "end", "after"},
    }  # fmt: skip
    for op, expected in wanted.items():
        expression = resolved(f"created {op} {text}")
        assert {name for name, at in moments.items() if matches(expression, {"created": at})} == expected
    among = resolved(f"created in ({text}, 1999-01-01)")
    assert {name for name, at in moments.items() if matches(among, {"created": at})} == {"start", "end"}


def test_a_resolved_expression_has_plain_values_alone() -> None:
    found = list(comparisons(resolved("created > 7d and runtime_s < 2m and created != 2026-01-01")))
    assert all(isinstance(one.value, int | float) for one in found)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_a_name_is_known_or_refused(name: str) -> None:
    try:
        found = RESOLVER.expression(Compare(name, "!=", None), name)
    except QueryError:
        return
    assert [one.name in KNOWN or "." not in one.name for one in comparisons(found)] == [True]
