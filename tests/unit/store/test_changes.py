from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from executor.errors import StoreUnreachable
from executor.spec.canonical import Digest
from executor.store.changes import Change, Key, announce, announced, earlier
from tests.fakes import NOON, MemoryStore

A, B = Digest("a" * 64), Digest("b" * 64)


def feed(store: MemoryStore, *entries: tuple[Digest, str, datetime]) -> None:
    for spec_hash, attempt, now in entries:
        announce(store, spec_hash, attempt, now)


def test_an_announcement_is_an_empty_object_whose_key_says_all() -> None:
    store = MemoryStore()
    announce(store, A, "a1", NOON)
    announce(store, A, "a1", NOON + timedelta(minutes=5))
    assert store.contents == {f"v1/changes/20260101/12/{A.hex}/a1": b""}


def test_what_was_announced_comes_hour_by_hour() -> None:
    store = MemoryStore()
    feed(store, (B, "b1", NOON), (A, "a1", NOON + timedelta(days=1)), (A, "a0", NOON - timedelta(days=400)))
    assert announced(store) == [
        Change("20241127/12", Key(A.hex, "a0")),
        Change("20260101/12", Key(B.hex, "b1")),
        Change("20260102/12", Key(A.hex, "a1")),
    ]


@pytest.mark.parametrize(
    ("since", "expected"),
    [("20260101/12", [10, 11, 12, 13]), ("20260101/13", [11, 12, 13]), ("20260102/01", []), ("20251231/23", range(14))],
)
def test_a_reader_looks_two_hours_back(since: str, expected: list[int]) -> None:
    store = MemoryStore()
    midnight = NOON.replace(hour=0)
    feed(store, *((A, f"a{hour}", midnight + timedelta(hours=hour)) for hour in range(14)))
    assert sorted(int(one.key.attempt[1:]) for one in announced(store, since)) == list(expected)


def test_only_days_that_count_are_listed() -> None:
    store = MemoryStore()
    feed(store, *((A, f"a{day}", NOON + timedelta(days=day)) for day in range(30)))
    store.requests.clear()
    assert [one.key.attempt for one in announced(store, "20260129/12")] == ["a28", "a29"]
    assert store.requests == [
        "list v1/changes/", "list v1/changes/20260129/", "list v1/changes/20260129/12/", "list v1/changes/20260130/",
    ]  # fmt: skip


def test_what_lies_there_and_is_none_of_ours_is_left_out() -> None:
    store = MemoryStore()
    announce(store, A, "a1", NOON)
    for key in ("note.txt", "20260101/note", "20260101/12/zz/a1", f"20260101/12/{A.hex}/../x", "yesterday/12/x/y"):
        store.contents[f"v1/changes/{key}"] = b""
    assert [one.key for one in announced(store)] == [Key(A.hex, "a1")]


def test_what_is_no_attempt_id_is_not_announced() -> None:
    with pytest.raises(ValueError, match="not an attempt id"):
        announce(MemoryStore(), A, "../x", NOON)


def test_a_store_that_does_not_answer_is_told() -> None:
    store = MemoryStore()
    store.down = True
    with pytest.raises(StoreUnreachable):
        announce(store, A, "a1", NOON)


def test_hours_are_counted_back_over_days() -> None:
    assert earlier("20260101/01", timedelta(hours=2)) == "20251231/23"
