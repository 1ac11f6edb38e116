"""Folders of this machine that are no data, whatever a spec says: no run is shown keys, devices or a socket."""

from __future__ import annotations

from pathlib import Path

from executor.errors import UsageError

SYSTEM = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/lib/docker", "/var/lib/containers", "/var/run")
"""Folders that belong to the system, with all below them."""
MEDIA = "/run/media"
"""Where disks of users are mounted."""
KEYS = frozenset({".aws", ".azure", ".docker", ".gnupg", ".kube", ".ssh"})
"""Names of folders that hold keys."""


def require_data(name: str, place: Path) -> None:
    """Raises `UsageError` when `place`, links resolved, is such a folder or lies in one, or is the root."""
    found = place.resolve()
    system = any(found.is_relative_to(Path(folder).resolve()) for folder in SYSTEM) and not found.is_relative_to(MEDIA)
    if system or found == Path("/") or KEYS & set(found.parts):
        raise UsageError(f"data.{name}: {found} belongs to this machine and is no data",
                         advice="copy what the run needs to a folder of its own")  # fmt: skip
