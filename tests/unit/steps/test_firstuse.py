from __future__ import annotations

import json
from dataclasses import replace

import pytest

from executor.errors import StoreUnreachable
from executor.steps.firstuse import faults
from executor.store.probe import FIRST_USE
from tests.fakes import MemoryStore
from tests.unit.sites import World


def probes(world: World) -> int:
    """How often the store was asked below the prefix of probes since the last time."""
    asked = sum("v1/probes/" in request for request in world.store.requests)
    world.store.requests.clear()
    return asked


def test_a_store_is_tried_once_from_each_home(world: World) -> None:
    assert faults(world.site) == ()
    assert probes(world) > 0
    assert faults(world.site) == ()
    assert probes(world) == 0
    assert json.loads(world.site.home.stores.read_bytes()) == {"memory:": list(FIRST_USE)}
    assert world.watcher.stages == ["first use of memory:: trying what it can do"]


def test_it_is_tried_again_when_told_to(world: World) -> None:
    faults(world.site)
    probes(world)
    faults(world.site, again=True)
    assert probes(world) > 0


def test_another_store_is_another(world: World) -> None:
    faults(world.site)
    other = MemoryStore()
    other.url = "memory:other"
    faults(replace(world.site, store=other))
    assert other.requests
    assert len(json.loads(world.site.home.stores.read_bytes())) == 2


def test_a_fault_is_told_each_time_and_never_remembered(world: World) -> None:
    world.site = replace(world.site, store=MemoryStore(conditional=False))
    for _ in range(2):
        assert [one.field for one in faults(world.site)] == ["store.create", "store.race", "store.swap"]
    assert not world.site.home.stores.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"memory:": ["create"]}', '{"memory:": 1}', "\xff"])
def test_a_memory_that_does_not_hold_it_all_is_none(world: World, text: str) -> None:
    world.site.home.stores.write_text(text, "latin-1")
    faults(world.site)
    assert probes(world) > 0
    assert json.loads(world.site.home.stores.read_bytes()) == {"memory:": list(FIRST_USE)}


def test_a_store_that_does_not_answer_is_not_remembered(world: World) -> None:
    world.store.down = True
    with pytest.raises(StoreUnreachable):
        faults(world.site)
    assert not world.site.home.stores.exists()
