"""How the model complains: one sentence, at its place inside the value that is checked. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

Place: TypeAlias = tuple[str | int, ...]
"""Where in a value: keys and list positions from the outside in."""


def complaint(message: str) -> PydanticCustomError:
    """A validation error with exactly this message (braces are kept as they are)."""
    return PydanticCustomError("spec", "{text}", {"text": message})


def unpinned(message: str) -> PydanticCustomError:
    """A complaint about what a draft may leave open and a spec may not."""
    return PydanticCustomError("unpinned", "{text}", {"text": message})


def complaints(found: Sequence[tuple[Place, str]]) -> ValidationError:
    """Several complaints at once, each with its place inside the value that is being checked."""
    return ValidationError.from_exception_data(
        "spec", [{"type": complaint(message), "loc": place, "input": None} for place, message in found]
    )


def shown(value: object) -> str:
    """A value in a message: what it is, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else f"{value[:77]}...")
    if isinstance(value, (Mapping, Sequence)):
        return f"{'a' if value else 'an empty'} {'mapping' if isinstance(value, Mapping) else 'list'}"
    return type(value).__name__
