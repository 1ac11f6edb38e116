"""The recipe of a pinned image: a folder with what to install, and locks that say what that was last time.

`recipe.toml` is written by people; `debian.lock` (package=version sha256), `requirements.lock` (pip's hash-checking
format) and `digest` (of the last manifest built) are written by the build.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.errors import UsageError
from executor.spec.canonical import Digest

_WHEEL_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_FIELDS: Mapping[str, type] = {
    "name": str, "suite": str, "architecture": str, "glibc": str, "python": str,
    "source_date_epoch": int, "packages": list, "env": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What an image is made of."""

    folder: Path
    name: str
    suite: str
    """Debian release, such as `bookworm`."""
    architecture: str
    """As Debian and registries spell it: `amd64`."""
    glibc: str
    """Version of the suite's C library, such as `2.36`: decides which manylinux wheels fit."""
    python: str
    """Version of the suite's Python, such as `3.11`."""
    source_date_epoch: int
    """Seconds since 1970: the latest time that any file in the image has."""
    packages: tuple[str, ...]
    """Debian packages beside the essential ones."""
    env: Mapping[str, str]
    """Environment variables that the image sets."""
    debian_lock: str
    """Text of `debian.lock`; empty before the first build."""
    requirements_lock: str
    digest: Digest | None
    """Manifest digest of the last build; none before the first."""

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """Read a recipe folder; raises `UsageError` when a file or a field is missing or wrong."""
        fields = _fields(folder / "recipe.toml")
        digest = _optional(folder / "digest").strip()
        return cls(
            folder=folder,
            **fields | {"packages": tuple(sorted(fields["packages"]))},
            debian_lock=_optional(folder / "debian.lock"),
            requirements_lock=_text(folder / "requirements.lock"),
            digest=Digest.parse(digest) if digest else None,
        )

    @property
    def wheel_hashes(self) -> frozenset[str]:
        """Hex sha256 of every wheel that the lock allows."""
        return frozenset(_WHEEL_HASH.findall(self.requirements_lock))

    def pin(self, debian_lock: str, digest: Digest) -> None:
        """Write what was built as the new lock."""
        (self.folder / "debian.lock").write_text(debian_lock, encoding="utf-8")
        (self.folder / "digest").write_text(f"{digest}\n", encoding="utf-8")


def changes(locked: str, found: str) -> tuple[str, ...]:
    """The packages in which two `debian.lock` texts differ, one line each."""
    before, after = (dict(line.split("=", 1) for line in text.splitlines()) for text in (locked, found))
    return tuple(
        f"{name}: locked {before.get(name, 'nothing')}, found {after.get(name, 'nothing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    wrong = [f"{name} must be there, a {kind.__name__}" for name, kind in _FIELDS.items()
             if not isinstance(fields.get(name), kind)]  # fmt: skip
    wrong += [f"{name} is not a field of a recipe" for name in fields.keys() - _FIELDS.keys()]
    if wrong:
        raise UsageError(f"{path}: " + "; ".join(wrong), advice="see images/README.md")
    return fields


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", advice="see images/README.md") from None


def _optional(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
