"""Which key everything lies under: version, kind, name. Pure: no I/O."""

from __future__ import annotations

import re

from executor.spec.canonical import Digest

RUNS, BLOBS, PROBES = "v1/runs", "v1/blobs/sha256", "v1/probes"
ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What an attempt id looks like: it becomes part of a key, so nothing that could mean another one."""


IMAGES, KEYS, GC = "v1/images/sha256", "v1/keys", "v1/gc"
"""Images that are kept for their own sake, public keys of those who sign, and what garbage collectors say."""


def lease(spec_hash: Digest) -> str:
    """Key of the lease of a spec: who runs it now."""
    return f"{run(spec_hash)}/lease.json"


def intent(spec_hash: Digest, name: str) -> str:
    """Key of what an attempt is about to publish: the blobs that its record will need."""
    return f"{attempt(spec_hash, name)}/intent.json"


def provenance(spec_hash: Digest, name: str) -> str:
    """Key of the signed statement of an attempt."""
    return f"{attempt(spec_hash, name)}/provenance.json"


def blob(digest: Digest) -> str:
    """Key of a blob."""
    return f"{BLOBS}/{digest.hex[:2]}/{digest.hex}"


def run(spec_hash: Digest) -> str:
    """Common start of the keys of everything about one spec, without a `/` at its end."""
    return f"{RUNS}/{spec_hash.hex}"


def attempt(spec_hash: Digest, name: str) -> str:
    """Common start of the keys of one attempt; a `ValueError` for what is not an attempt id."""
    if not ATTEMPT.fullmatch(name):
        raise ValueError(f"not an attempt id: {name!r}")
    return f"{run(spec_hash)}/attempts/{name}"


def log(spec_hash: Digest, name: str, segment: int) -> str:
    """Key of one log segment of an attempt."""
    return f"{attempt(spec_hash, name)}/log/{segment:08d}"
