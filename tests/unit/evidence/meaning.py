"""What an expression means, one row at a time: what the index must agree with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from executor.evidence.query import And, Compare, Expression, Not, holds


def comparisons(expression: Expression) -> Iterator[Compare]:
    """Every comparison in it."""
    if isinstance(expression, Compare):
        yield expression
    else:
        for one in (expression.of,) if isinstance(expression, Not) else expression.of:
            yield from comparisons(one)


def matches(expression: Expression, row: Mapping[str, Any]) -> bool:
    """Whether a row is one of those that are asked for; `expression` has been resolved."""
    if isinstance(expression, Compare):
        return holds(row.get(expression.name), expression.op, expression.value)
    if isinstance(expression, Not):
        return not matches(expression.of, row)
    every = isinstance(expression, And)
    return (all if every else any)(matches(one, row) for one in expression.of)
