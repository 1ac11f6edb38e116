from __future__ import annotations

import pytest

from executor.errors import NotFound, UsageError
from executor.spec.canonical import Digest
from executor.steps.finding.named import find_run
from tests.fakes import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for digits in ("a" * 64, "a" * 8 + "b" * 56, "c" * 64):
        store.put_log(Digest(digits), "x", 0, b"")
    return store


@pytest.mark.parametrize("text", ["cccccc", "CCCCCCCC", "sha256:cccccc", "c" * 64])
def test_a_unique_beginning_is_enough(store: MemoryStore, text: str) -> None:
    assert find_run(store, text) == Digest("c" * 64)


@pytest.mark.parametrize("text", ["", "ccccc", "c" * 65, "digits", "../../etc", "cccccc\n", "c" * 7 + "*"])
def test_what_is_no_hash_is_refused(store: MemoryStore, text: str) -> None:
    with pytest.raises(UsageError, match="not a spec hash"):
        find_run(store, text)


def test_a_beginning_that_two_share_asks_for_more(store: MemoryStore) -> None:
    with pytest.raises(UsageError, match=r"2 runs begin so: aaaaaaaaaaaa, aaaaaaaabbbb"):
        find_run(store, "aaaaaa")
    assert find_run(store, "aaaaaaaab") == Digest("a" * 8 + "b" * 56)


def test_a_run_that_is_not_there_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="no run of this hash in memory:"):
        find_run(store, "dddddd")
