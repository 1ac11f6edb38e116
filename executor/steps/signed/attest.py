"""An attempt is signed before its record is stored; whose signature a stored attempt bears, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from executor.errors import NotFound, Untrusted, UsageError
from executor.evidence.provenance import disagreements, payload
from executor.evidence.record import Record
from executor.facts import Fact
from executor.spec.canonical import Digest
from executor.steps.history import results
from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey, fetch, offer
from executor.steps.site import Site
from executor.store import layout
from executor.store.interface import Store
from executor.store.objects import DOCUMENT_LIMIT
from executor.store.transfer import read_at_most

State = Literal["trusted", "unknown key", "unsigned", "bad signature"]


class Standing(Fact):
    """Whose signature an attempt bears, and whether what was signed is what is stored."""

    state: State
    key: str = ""
    """Name under which the key that signed is trusted."""
    keyids: tuple[str, ...] = ()
    """Ids of the keys that are said to have signed."""
    problem: str = ""
    """What is wrong with the signature."""
    disagreements: tuple[str, ...] = ()
    """What was signed otherwise than it is stored."""

    @property
    def good(self) -> bool:
        """Whether a trusted key signed just this."""
        return self.state == "trusted" and not self.disagreements

    @property
    def wrong(self) -> bool:
        """Whether something was changed, by accident or on purpose."""
        return self.state == "bad signature" or bool(self.disagreements)

    @property
    def why(self) -> str:
        """One line."""
        if self.disagreements:
            return f"what was signed is not what is stored: {'; '.join(self.disagreements)}"
        if self.state == "unsigned":
            return "it is not signed"
        if self.state == "unknown key":
            return f"it is signed by a key that is not trusted here: {', '.join(self.keyids)}"
        return self.problem or f"it is signed by {self.key}"


# Before the record is stored --------------------------------------------------------------------------------------


def ready_to_sign(site: Site) -> None:
    """Called before a run: a signer that the environment names and that cannot sign is told now, not afterwards."""
    if site.keys.elsewhere:
        _ = site.keys.signer


def attest(record: Record, data: bytes, site: Site) -> bytes:
    """Sign the statement about an attempt whose record is `data`, and store it where the record will follow.

    The first signature stays: Ed25519 gives the same bytes again, another signer may not. Returns what is stored.
    """
    envelope = signing.signed(payload(record, Digest.of(data)), site.keys.signer)
    offer(site.store, site.keys.own)
    return site.store.create(layout.provenance(record.spec_hash, record.attempt), envelope)


# Afterwards ---------------------------------------------------------------------------------------------------------


def envelope_of(store: Store, spec_hash: Digest, attempt: str) -> bytes:
    """The signed statement of an attempt as it is stored; raises `NotFound` when it is not signed."""
    key = layout.provenance(spec_hash, attempt)
    with store.open_object(key) as stream:
        return read_at_most(stream, f"{store.url}/{key}", DOCUMENT_LIMIT)


def standing(record: Record, data: bytes, store: Store, trusted: Sequence[NamedKey]) -> Standing:
    """Look at the signature of an attempt whose record is stored as `data`."""
    try:
        envelope = signing.opened(envelope_of(store, record.spec_hash, record.attempt))
    except NotFound:
        return Standing(state="unsigned")
    except (signing.BadEnvelope, UsageError) as error:
        return Standing(state="bad signature", problem=str(error))
    found = _signer(envelope, store, trusted)
    says = tuple(disagreements(envelope.statement, record, Digest.of(data)))
    return found.model_copy(update={"keyids": envelope.keyids, "disagreements": says})


def _signer(envelope: signing.Opened, store: Store, trusted: Sequence[NamedKey]) -> Standing:
    """Who signed: a trusted key, or one of which only the id is known, as far as the store has it."""
    mine = [one for one in trusted if envelope.names(one.key)]
    for one in mine:
        if envelope.signed_by(one.key):
            return Standing(state="trusted", key=one.name)
    known = mine or [other for keyid in envelope.keyids if (other := fetch(store, keyid))]
    for one in known:
        if not envelope.signed_by(one.key):
            return Standing(state="bad signature", problem=f"the signature is not by {one.name}, whose id it bears")
    return Standing(state="unknown key")


def trusted_result(site: Site, spec_hash: Digest, *, needed: bool) -> Record | None:
    """The result that counts where only those count that a trusted key signed: the reference, or the oldest other.

    None when nothing is stored, or when nothing is trusted and a result is not `needed`; else raises `Untrusted`.
    """
    trusted, first = site.keys.trusted(), None
    for record in results(site.store, spec_hash):
        found = standing(record, site.store.get_record(spec_hash, record.attempt), site.store, trusted)
        if found.good:
            return record
        first = first or Untrusted(
            f"{spec_hash.hex[:12]}/{record.attempt}: {found.why}",
            advice=f"`executor verify {spec_hash.hex[:12]}` looks at all of it; `executor key trust` takes a key that "
            "you trust; `submit --force` runs it again, and compares it with nothing that is not trusted",
        )
    if first and needed:
        raise first
    return None
