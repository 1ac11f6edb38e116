"""Everything that is stored of a run, read to the last byte and held against its signatures."""

from __future__ import annotations

from collections.abc import Iterator

from executor.errors import NotFound
from executor.evidence.record import Record
from executor.facts import Fact
from executor.spec.canonical import Digest
from executor.steps.keeping.audit import Audit, audit
from executor.steps.signed.attest import Standing, standing
from executor.steps.site import Site
from executor.store import layout


class Wrong(Fact):
    """One thing that is not what it must be."""

    role: str
    """Such as `output model.pt`, `record.json`, `signature`."""
    key: str
    """Where it is in the store."""
    kind: str
    """`damaged`, `missing`, `unreadable` or `untrusted`."""
    problem: str
    """One line."""


class VerifiedAttempt(Fact):
    """What was found of one attempt."""

    attempt: str
    status: str | None = None
    """None when its record cannot be read."""
    signature: Standing | None = None
    """None when its record cannot be read."""
    blobs: int = 0
    bytes: int = 0
    """Of the blobs that its record names."""
    wrong: tuple[Wrong, ...]


class Verified(Fact):
    """What was found of a run."""

    spec_hash: str
    wrong: tuple[Wrong, ...]
    """With what all its attempts share."""
    unfinished: tuple[str, ...]
    """Attempts that were signed and have no record: being stored, not stored whole, or their record was removed."""
    attempts: tuple[VerifiedAttempt, ...]

    @property
    def every(self) -> list[Wrong]:
        """All that is wrong."""
        return [*self.wrong, *(one for attempt in self.attempts for one in attempt.wrong)]


def verify(spec_hash: Digest, site: Site, *, attempt: str | None = None, require_signed: bool = False) -> Verified:
    """Verify a run, or one attempt of it; what is wrong is told and stops nothing.

    With `require_signed`, an attempt that no trusted key signed is wrong too. Raises `NotFound` when there is nothing
    to verify.
    """
    ended = site.store.attempts(spec_hash)
    if not ended or (attempt and attempt not in ended):
        there = ", ".join(ended) or "none has ended"
        raise NotFound(f"{spec_hash.hex[:12]}: no attempt {attempt or ''} to verify", advice=f"there is: {there}")
    found = audit(site, [spec_hash], attempt=attempt)
    gone = {hurt.attempt for fault in found.faults for hurt in fault.hurts if hurt.attempt}
    chosen = [attempt] if attempt else sorted(gone.union(ended))
    return Verified(
        spec_hash=spec_hash.hex,
        wrong=tuple(_wrong(found, "")),
        unfinished=tuple(_unfinished(site, spec_hash)),
        attempts=tuple(_attempt(found, site, spec_hash, one, require_signed=require_signed) for one in chosen),
    )


def _attempt(found: Audit, site: Site, spec_hash: Digest, attempt: str, *, require_signed: bool) -> VerifiedAttempt:
    wrong = list(_wrong(found, attempt))
    record = found.records.get((spec_hash, attempt))
    if record is None:
        return VerifiedAttempt(attempt=attempt, wrong=tuple(wrong))
    signature = _signature(record, site)
    kind = "damaged" if signature.wrong else "untrusted"
    known = any(one.role in ("provenance.json", "record.json") for one in wrong)
    if (signature.wrong and not known) or (require_signed and not signature.good):
        key = layout.provenance(spec_hash, attempt)
        wrong.insert(0, Wrong(role="signature", key=key, kind=kind, problem=signature.why))
    needed = record.blobs()
    return VerifiedAttempt(attempt=attempt, status=record.status, signature=signature, blobs=len(needed),
                           bytes=sum(needed.values()), wrong=tuple(wrong))  # fmt: skip


def _signature(record: Record, site: Site) -> Standing:
    data = site.store.get_record(record.spec_hash, record.attempt)
    return standing(record, data, site.store, site.keys.trusted())


def _wrong(found: Audit, attempt: str) -> Iterator[Wrong]:
    """What an attempt suffers from, or all of them alike."""
    for fault in found.faults:
        for hurt in fault.hurts:
            if hurt.attempt == attempt:
                yield Wrong(role=hurt.role, key=fault.key, kind=fault.kind, problem=fault.problem)


def _unfinished(site: Site, spec_hash: Digest) -> Iterator[str]:
    for attempt in site.store.live_attempts(spec_hash):
        if site.store.stat(layout.provenance(spec_hash, attempt)):
            yield attempt
