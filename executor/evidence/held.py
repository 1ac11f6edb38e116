"""What one run holds in one field, next to other runs that may not have it. Pure: no I/O.

Values are told apart as in specs: `1`, `1.0` and `true` are three values; NaN is equal to NaN.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from executor.evidence.row import Value


class _Absent:
    """What a run has under a name that it does not have."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
Held: TypeAlias = "Value | _Absent"
"""What one run holds in one field."""


def kept_apart(value: Held) -> str:
    """A text that is equal for two values only when they count as equal."""
    return repr(value)


def is_number(value: Held) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
