"""Where it is kept: a bucket or a folder, chosen by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from executor.errors import UsageError
from executor.store.interface import Store, StoreCheck
from executor.store.local import open_local

__all__ = ["SCHEMES", "Store", "StoreCheck", "open_store"]


def _open_s3(url: str, env: Mapping[str, str], journal: Path | None) -> Store:
    from executor.store.s3 import open_s3  # boto3 takes a quarter of a second to import

    return open_s3(url, env, journal=journal)


SCHEMES: dict[str, Callable[[str, Mapping[str, str], Path | None], Store]] = {"file": open_local, "s3": _open_s3}
"""What opens a store, by the scheme of its URL; a new backend is one line more."""


def open_store(url: str, env: Mapping[str, str], *, journal: Path | None = None) -> Store:
    """The store of a URL such as `s3://bucket/prefix` or `file:/path`; `env` has endpoint and credentials.

    A large upload that is cut off can go on later when there is a `journal`: a folder, made when it is needed.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in SCHEMES:
        path = not colon and url.startswith(("/", ".", "~"))
        known = f"file:{url}" if path else " or ".join(f"{name}:…" for name in SCHEMES)
        raise UsageError(f"{url!r} is not the URL of a store", advice=f"write {known}")
    return SCHEMES[scheme](url, env, journal)
