"""The parameters of a point of a sweep, for people. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executor.spec.canonical import canonical_bytes


def label(values: Mapping[str, Any]) -> str:
    """The values of a point on one line, such as `lr=0.1 optimizer=adam`."""
    return " ".join(f"{short(name)}={written(value)}" for name, value in values.items())


def short(name: str) -> str:
    """A parameter's name without the word that all of them begin with."""
    return name.removeprefix("params.")


def written(value: Any) -> str:
    """A parameter's value as the program is given it."""
    return value if isinstance(value, str) else canonical_bytes(value).decode()
