"""Before a record is told to others: its spec is one, and the one of its hash."""

from __future__ import annotations

from executor.errors import CorruptObject
from executor.evidence.record import Record
from executor.spec.model import Spec
from executor.steps.history import spec_expected
from executor.store.interface import Store


def genuine(record: Record, store: Store) -> None:
    """Raise `CorruptObject` for a record whose spec is none, or another: a store can be written to by others."""
    with spec_expected(store, record):
        observed = Spec.of_identity(record.spec, record.hints.model_dump()).hash
    if observed != record.spec_hash:
        where = store.attempt_url(record.spec_hash, record.attempt)
        raise CorruptObject(where, expected=f"the spec {record.spec_hash}", observed=str(observed))
