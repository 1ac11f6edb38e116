"""Which run is meant by the first digits of its spec hash."""

from __future__ import annotations

from executor.errors import NotFound, UsageError
from executor.spec.canonical import Digest
from executor.store.interface import Store


def find_run(store: Store, text: str) -> Digest:
    """The spec hash that `text` (at least 6 digits of it) names in the store."""
    digits = text.removeprefix("sha256:").lower()
    if len(digits) < 6 or any(c not in "0123456789abcdef" for c in digits) or len(digits) > 64:
        raise UsageError(f"not a spec hash: {text!r}", advice="give at least 6 of its hexadecimal digits")
    found = sorted(store.spec_hashes(digits))
    if not found:
        raise NotFound(f"{text}: no run of this hash in {store.url}", advice="`executor ls` shows what there is")
    if len(found) > 1:
        raise UsageError(f"{text}: {len(found)} runs begin so: {', '.join(d.hex[:12] for d in found[:5])}",
                         advice="give more digits")  # fmt: skip
    return found[0]
