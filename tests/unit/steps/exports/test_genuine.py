from __future__ import annotations

from typing import Any

import pytest

from executor.errors import CorruptObject
from executor.steps.exports.genuine import genuine
from tests.unit.sites import World, a_spec


@pytest.mark.parametrize("spec", [{}, {"seed": 1}, {"image": 7, "code": None, "data": []}, a_spec(seed=2).identity()])
def test_a_record_has_the_spec_of_its_hash(world: World, spec: dict[str, Any]) -> None:
    record = world.submit(a_spec()).record
    genuine(record, world.store)
    with pytest.raises(CorruptObject):
        genuine(record.model_copy(update={"spec": spec}), world.store)
