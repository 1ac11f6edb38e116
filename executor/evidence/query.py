"""What `find` is asked, as a value: comparisons joined by and, or, not; and what they mean. Pure: no I/O.

- A comparison is true or false: of a name that a run does not have it is false, whatever the operator, but for
  `== null`. `not` is the opposite of what stands after it.
- Numbers are compared as numbers (`true` is 1), texts by their characters; a number is never equal to a text.
- `~` finds a regular expression anywhere in a text. `== nan` finds NaN, which no order has a place for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Op = Literal["==", "!=", "<", "<=", ">", ">=", "~", "in", "not in"]


@dataclass(frozen=True)
class Date:
    """A day, a minute, a second: from its first microsecond up to the one after its last."""

    text: str


@dataclass(frozen=True)
class Span:
    """A length of time; beside a moment it is that long ago."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Compare:
    """One comparison."""

    name: str
    op: Op
    value: Any
    """A literal: null, a number, a text, `Date`, `Span`; a tuple of them for a list."""
    at: int = 0
    """Where the name stands in the expression, from 0."""
    value_at: int = 0
    """Where the value stands."""


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: Expression


@dataclass(frozen=True)
class And:
    """All of them; none at all is true."""

    of: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """At least one of them; none at all is false."""

    of: tuple[Expression, ...]


Expression: TypeAlias = "Compare | Not | And | Or"


def holds(value: Any, op: Op, literal: Any) -> bool:
    """What a comparison says of one value; `value` is None for a name that a run does not have."""
    if op == "in":
        return any(holds(value, "==", one) for one in literal)
    if value is None or literal is None:
        return (value is literal) if op == "==" else value is not None and op in ("!=", "not in")
    if op == "not in":
        return not any(holds(value, "==", one) for one in literal)
    if op == "~":
        return isinstance(value, str) and re.search(literal, value) is not None
    if op in ("==", "!="):
        return _equal(value, literal) == (op == "==")
    if _is_number(value) != _is_number(literal) or isinstance(value, list | tuple):
        return False
    return bool({"<": value < literal, "<=": value <= literal, ">": value > literal, ">=": value >= literal}[op])


def _equal(value: Any, literal: Any) -> bool:
    if isinstance(value, float) and isinstance(literal, float) and math.isnan(literal):
        return math.isnan(value)
    if isinstance(literal, tuple):
        return isinstance(value, list | tuple) and list(value) == list(literal)
    return _is_number(value) == _is_number(literal) and bool(value == literal)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
