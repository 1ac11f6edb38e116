"""Which key everything lies under: version, kind, name. Pure: no I/O."""

from __future__ import annotations

import re

from executor.spec.canonical import Digest

RUNS, BLOBS, PROBES = "v1/runs", "v1/blobs/sha256", "v1/probes"
ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What an attempt id looks like: it becomes part of a key, so nothing that could mean another one."""


_PIN = re.compile(r"(?:^|/)archive/(image|data\.[A-Za-z0-9][A-Za-z0-9._-]*)/([0-9a-f]{64})$")
IMAGES, KEYS, GC = "v1/images/sha256", "v1/keys", "v1/gc"
"""Images that are kept for their own sake, public keys of those who sign, and what garbage collectors say."""
SWEEP, CANDIDATES = f"{GC}/sweep.json", f"{GC}/candidates.json"
"""Who sweeps now, and since when each blob has been known to be of no use."""


IMPORTED = "v1/imported"
"""Runs of other trackers: history, never evidence."""


EVIDENCE = ("spec.json", "record.json", "reference.json", "diagnosis.json", "provenance.json")
"""Names of the objects of a run that are written once and never again."""


def is_evidence(key: str) -> bool:
    """Whether a key is that of something that is written once and never again."""
    return key.startswith(f"{RUNS}/") and key.rpartition("/")[2] in EVIDENCE


def image(digest: Digest) -> str:
    """Key that says: an image is wanted for its own sake."""
    return f"{IMAGES}/{digest.hex}"


def imported(source: str, name: Digest) -> str:
    """Key of what another tracker said of a run; `name` is a digest of where it came from."""
    return f"{IMPORTED}/{source}/{name.hex}/run.json"


def imported_series(source: str, name: Digest, digest: Digest) -> str:
    """Key of every point of such a run."""
    return f"{IMPORTED}/{source}/{name.hex}/{digest.hex}.parquet"


def lease(spec_hash: Digest) -> str:
    """Key of the lease of a spec: who runs it now."""
    return f"{run(spec_hash)}/lease.json"


def intent(spec_hash: Digest, name: str) -> str:
    """Key of what an attempt is about to publish: the blobs that its record will need."""
    return f"{attempt(spec_hash, name)}/intent.json"


def provenance(spec_hash: Digest, name: str) -> str:
    """Key of the signed statement of an attempt."""
    return f"{attempt(spec_hash, name)}/provenance.json"


def pin(spec_hash: Digest, what: str, digest: Digest) -> str:
    """Key that says: `what` of a spec (`image`, or `data.<name>`), found from the blob of that digest, is wanted."""
    return f"{run(spec_hash)}/archive/{what}/{digest.hex}"


def pinned(key: str) -> tuple[str, Digest] | None:
    """What a key of that kind pins, given whole or without the run's own part; none for any other key."""
    match = _PIN.search(key)
    return (match[1], Digest(match[2])) if match else None


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
