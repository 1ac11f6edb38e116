from __future__ import annotations

import pytest

from executor.errors import NotFound, StoreUnreachable
from tests.fakes import MemoryStore


def test_probe_tells_whether_conditions_are_kept_and_leaves_nothing() -> None:
    for conditional in (True, False):
        store = MemoryStore(conditional=conditional)
        assert store.probe() is conditional
        assert store.contents == {}


def test_probe_of_a_store_that_is_down() -> None:
    store = MemoryStore()
    store.down = True
    with pytest.raises(StoreUnreachable):
        store.probe()


def test_every_object_is_listed_and_readable() -> None:
    store = MemoryStore()
    store.contents = {"a/b": b"1", "c": b"22"}
    assert {one.key: one.size for one in store.objects()} == {"a/b": 1, "c": 2}
    with store.open_object("c") as stream:
        assert stream.read() == b"22"
    with pytest.raises(NotFound):
        store.open_object("d")


def test_a_single_writer_is_still_told_that_conditions_are_ignored() -> None:
    store = MemoryStore(conditional=False)
    store.single_writer = True
    assert not store.probe()
    assert store.create("a", b"first") == store.create("a", b"second") == b"first"


def test_what_the_store_says_of_a_put_is_not_made_sense_of() -> None:
    store = MemoryStore()
    assert [store.put_if_absent("a", data) for data in (b"1", b"1")] == [True, False]
    stat = store.stat("a")
    assert stat
    assert [store.put_if_version("a", data, stat.version) for data in (b"2", b"2")] == [True, False]
    assert (store.place, store.trials()) == ("memory:", {})
