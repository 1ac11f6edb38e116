from __future__ import annotations

import pytest

from executor.errors import CorruptObject, NotFound
from executor.steps.exports.intoto import envelope
from executor.store import layout
from tests.unit.sites import World, a_spec


def test_the_envelope_is_that_of_the_store_or_none(world: World) -> None:
    record = world.submit(a_spec()).record
    key = layout.provenance(record.spec_hash, record.attempt)
    assert envelope(record, world.store) == world.store.contents[key]
    world.store.contents[key] = b"{}"
    with pytest.raises(CorruptObject, match="a signed statement"):
        envelope(record, world.store)
    del world.store.contents[key]
    with pytest.raises(NotFound, match="it is not signed"):
        envelope(record, world.store)
