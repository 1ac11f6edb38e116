"""The signed statement of an attempt as it is stored: one line of JSON, an envelope (DSSE) for in-toto's tools."""

from __future__ import annotations

from executor.errors import CorruptObject, NotFound
from executor.evidence.record import Record
from executor.steps.signed.attest import envelope_of
from executor.steps.signed.signing import BadEnvelope, opened
from executor.store.interface import Store


def envelope(record: Record, store: Store) -> bytes:
    """The whole file; raises `NotFound` for an attempt that is not signed, and `CorruptObject`."""
    try:
        data = envelope_of(store, record.spec_hash, record.attempt)
        opened(data)
    except NotFound as error:
        raise NotFound(f"{record.spec_hash.hex[:12]}/{record.attempt}: it is not signed",
                       advice="an attempt is signed when it is stored: run it again") from error  # fmt: skip
    except BadEnvelope as error:
        where = store.attempt_url(record.spec_hash, record.attempt)
        raise CorruptObject(where, expected="a signed statement", observed=str(error)) from error
    return data
