"""The last part of the sentence: a result is safe on this machine, then in the store, contents first, the record last.

Whatever happens on the way, nothing is taken back and nothing is lost: the next try finds the same bytes here and puts
them under the same keys. What became of a request whose answer was lost need not be known for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.evidence.compare import compare
from executor.evidence.record import Record
from executor.evidence.trace import Trace, from_parquet
from executor.log import get_logger
from executor.spec.canonical import sealed
from executor.steps.compared import hold
from executor.steps.history import finished, read
from executor.steps.keeping.sweeping import wait_for_sweep
from executor.steps.prepare import counter
from executor.steps.recorded import Ended, beside
from executor.steps.secrets import cleaned
from executor.steps.signed.attest import attest
from executor.steps.site import Site
from executor.steps.staging import Parcel, Staged, commit, committed, stage
from executor.steps.tool import Bench
from executor.steps.workspace import Workspace
from executor.store import layout
from executor.store.changes import announce


def publish(ended: Ended, space: Workspace, site: Site) -> Record:
    """Stage what a run left in `space`, and deliver it; returns the record that is stored."""
    kept = beside(ended, space)
    staged = stage(ended, kept, space, site)
    return deliver(staged, space, site, ended.reference, kept.trace, ended.bench)


def deliver(
    staged: Staged, space: Workspace, site: Site, reference: Record | None = None, trace: Trace | None = None,
    bench: Bench | None = None,
) -> Record:  # fmt: skip
    """Bring a staged result to the store, as often as it takes: a second time changes nothing.

    It is compared with its reference first, unless its record has been settled before. `reference` and `trace` are read
    where they are not given; without a `bench` weights are compared as files alone.
    """
    found = committed(space)
    if found is None:
        record = _compared(staged, space, site, reference, trace, bench)
        record = cleaned(record, site.secrets.known(record.hints.secrets))  # contents that differ are told
        found = record, commit(record, space)
    record, data = found
    parcels = [(space.folder / one.path, one.digest, one.size) for one in staged.parcels]
    with _announced(record, staged.parcels, site):
        site.store.put_spec(record.spec_hash, staged.spec.canonical())
        site.store.put_blobs(parcels, counter(site, "upload", sum(size for _, _, size in parcels)))
        attest(record, data, site)
        announce(site.store, record.spec_hash, record.attempt, site.now())
        site.store.put_record(record.spec_hash, record.attempt, data)
        if record.status == "succeeded" and (record.comparison or not record.varied):
            first = record.comparison.reference if record.comparison else record.attempt
            site.store.put_reference(record.spec_hash, first)
        site.store.put_blobs(parcels)  # again, for what was counted on and collected before the record protected it
    return record


def _compared(
    staged: Staged, space: Workspace, site: Site, reference: Record | None, trace: Trace | None, bench: Bench | None
) -> Record:
    record = staged.record
    if record.status != "succeeded":
        return record
    reference = reference or _reference(staged, site)
    if reference is None:
        return record
    try:
        held = hold(staged.spec, reference, record, trace or _trace(staged, space), bench, space, site)
    except CorruptObject as error:  # of the reference: the digests in its record are sealed
        get_logger("publish").warning("files are compared by their digests alone", problem=error.message)
        held = compare(reference, record)
    return record.model_copy(update={"comparison": held})


def _reference(staged: Staged, site: Site) -> Record | None:
    """What a result is held against: the attempt that was named when it ran, or whichever is the reference now."""
    if staged.reference:
        with suppress(NotFound):
            return read(site.store, staged.record.spec_hash, staged.reference)
    return None if staged.require_signed else finished(site.store, staged.record.spec_hash)


def _trace(staged: Staged, space: Workspace) -> Trace | None:
    wanted = staged.record.trace
    path = next((Path(one.path) for one in staged.parcels if wanted and one.digest == wanted.digest), None)
    return from_parquet((space.folder / path).read_bytes(), str(path)) if path else None


@contextmanager
def _announced(record: Record, parcels: tuple[Parcel, ...], site: Site) -> Iterator[None]:
    """Say which blobs will be counted on before any is looked for; a sweep that began earlier is waited for."""
    key = layout.intent(record.spec_hash, record.attempt)
    blobs = sorted({parcel.digest.hex for parcel in parcels})
    site.store.overwrite(key, sealed({"blobs": blobs, "executor": site.version}))
    wait_for_sweep(site.store)
    yield
    try:
        site.store.remove(key)
    except StoreUnreachable as error:  # the record protects them now, and a collector removes what is left over
        get_logger("publish").warning("an intent is left in the store", key=key, problem=error.message)
