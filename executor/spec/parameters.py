"""How parameters reach the program: filled into words of the command, and as environment variables. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from executor.spec.canonical import canonical_bytes
from executor.spec.complaints import Place, complaint

_LONGEST_WORD = 131_071
"""Bytes: the kernel's limit for one argument."""

_PLACEHOLDER = re.compile(r"\{(\{?)(seed|params(?:\.[A-Za-z0-9_-]+)*)\}(\}?)")


def fill(word: str, params: Mapping[str, Any], seed: int) -> str:
    """Fill `{params.x}` and `{seed}` in one word of the command; every other brace stays as it is.

    Numbers are written as in the canonical bytes, lists and mappings as canonical JSON, text as it is. Raises a
    complaint when a parameter does not exist.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] and match[3]:
            return match[0][1:-1]
        path = match[2].split(".")
        found: Any = seed if path == ["seed"] else params
        for step in path[1:]:
            if not isinstance(found, Mapping) or step not in found:
                known = ", ".join(sorted(found)) if isinstance(found, Mapping) and found else "none"
                raise complaint(f"{match[0]} names no parameter; there is {known}")
            found = found[step]
        return match[1] + _written(found) + match[3]

    return _PLACEHOLDER.sub(value, word)


def unfilled(command: tuple[str, ...], params: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Words that name no parameter, or grow too long for the kernel; the widest seed stands for any."""
    found: list[tuple[Place, str]] = []
    for position, word in enumerate(command):
        try:
            if len(fill(word, params, 2**64 - 1).encode()) > _LONGEST_WORD:
                found.append(((position,), f"longer than {_LONGEST_WORD} bytes once its parameters are filled in"))
        except PydanticCustomError as error:
            found.append(((position,), error.message()))
    return found


def param_variables(params: Mapping[str, Any], prefix: str = "EXECUTOR_PARAM") -> dict[str, str]:
    """`EXECUTOR_PARAM_X` for every parameter, nested names joined by `_`; two that collide are a complaint."""
    found: dict[str, str] = {}
    for key, value in params.items():
        name = f"{prefix}_{key.upper().replace('-', '_')}"
        nested = param_variables(value, name) if isinstance(value, Mapping) else {}
        for variable, content in {name: _written(value), **nested}.items():
            if variable in found:
                raise complaint(f"two parameters become the same environment variable {variable}; rename one of them")
            found[variable] = content
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else canonical_bytes(value).decode()
