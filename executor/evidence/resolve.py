"""An expression in the words of people to one in the names of rows: which value is meant, and can it be asked so. Pure.

What can never be true of any run is an error here, not an empty answer: an unknown name, a text where there are only
numbers, a status that does not exist.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from executor.errors import QueryError
from executor.evidence.query import And, Compare, Date, Expression, Not, Op, Or, Span
from executor.evidence.row import FAMILIES, FIELDS, microseconds

Known = Mapping[str, Collection[str]]
"""Every name that rows have, and what is held under it: of `number`, `text`, `flag`, `list`."""
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?(\.\d{1,6})?Z?)?")
_KINDS = {"text": "text", "number": "number", "seconds": "number", "time": "number", "flag": "flag"}
_FIRST = ("metrics", "params")
"""Families in which a name without a dot is looked for."""


@dataclass(frozen=True)
class Resolver:
    """Says what is meant, for the runs of one place."""

    known: Known
    now: datetime
    """What `7d` counts back from."""

    def expression(self, expression: Expression, text: str) -> Expression:
        """The same with whole names and plain values; raises `QueryError` that points into `text`."""
        if isinstance(expression, Compare):
            name = self.name(expression.name, text, expression.at)
            return self._compare(replace(expression, name=name), text)
        if isinstance(expression, Not):
            return Not(self.expression(expression.of, text))
        return type(expression)(tuple(self.expression(one, text) for one in expression.of))

    def name(self, name: str, text: str = "", at: int = 0) -> str:
        """The whole name of what is meant by `name`; raises `QueryError` for one that no run has."""
        if name in FIELDS or name in self.known:
            return name
        found = [whole for family in _FIRST if (whole := f"{family}.{name}") in self.known]
        found = found or [whole for family in FAMILIES if (whole := f"{family}.{name}") in self.known]
        if len(found) == 1:
            return found[0]
        problem = f"{name} can be {' or '.join(found)}: write which" if found else f"no run has {name}"
        near = [] if found else self._near(name)
        advice = f"there is {', '.join(near)}" if near else "`executor find --names` lists what there is"
        raise QueryError(text or name, at, problem, advice="" if found else advice)

    def _near(self, name: str) -> list[str]:
        """Names that may have been meant, the nearest first."""
        family, _, rest = name.partition(".")
        short = rest if family in FAMILIES and rest else name
        ends: dict[str, list[str]] = {}
        for whole in (*FIELDS, *self.known):
            ends.setdefault(whole.partition(".")[2] or whole, []).append(whole)
        near = difflib.get_close_matches(short, ends, n=3, cutoff=0.7)
        return [whole for end in near for whole in ends[end]][:3]

    def _compare(self, one: Compare, text: str) -> Expression:
        field = FIELDS.get(one.name)
        kind = field.kind if field else ""
        values = one.value if isinstance(one.value, tuple) else (one.value,)
        if kind == "time" and one.op != "~":
            return self._moments(one, text)
        if kind == "seconds":
            values = tuple(value.seconds if isinstance(value, Span) else value for value in values)
        held = frozenset({_KINDS[kind]}) if kind else frozenset(self.known[one.name])
        listed = one.op not in ("in", "not in") and isinstance(one.value, tuple)
        for value in ("list",) if listed else values:
            self._fits(one, value, held, text, listed=listed)
        if field and field.among and one.op in ("==", "!=", "in", "not in"):
            for value in values:
                if value is not None and value not in field.among:
                    raise QueryError(text, one.value_at, f"{one.name} is one of {', '.join(field.among)}; not {value}")
        return replace(one, value=values if isinstance(one.value, tuple) else values[0])

    def _fits(self, one: Compare, value: Any, held: frozenset[str], text: str, *, listed: bool) -> None:
        """Whether any run could hold a value of this kind."""
        if value is None:
            if one.op in ("==", "!=", "in", "not in"):
                return
            raise QueryError(text, one.value_at, "null has no order: compare with `==` or `!=`")
        if isinstance(value, Date | Span):
            times = ", ".join(name for name, field in FIELDS.items() if field.kind in ("time", "seconds"))
            raise QueryError(text, one.value_at, f"{one.name} is no time: {value.text} goes with {times}")
        kind = "list" if listed else _kind(value)
        fits = held | ({"number"} if "flag" in held else set()) | ({"flag"} if "number" in held else set())
        if kind not in fits:
            raise QueryError(text, one.value_at, f"{one.name} is a {' or a '.join(sorted(held))}, never a {kind}")

    def _moments(self, one: Compare, text: str) -> Expression:
        """A comparison with a stretch of time is one with its ends."""
        if one.value is None:
            return one
        if one.op in ("in", "not in"):
            op: Op = "==" if one.op == "in" else "!="
            every = tuple(self._moments(replace(one, op=op, value=value), text) for value in one.value)
            return Or(every) if one.op == "in" else And(every)
        start, end = self._stretch(one, text)
        at_least, before = replace(one, op=">=", value=start), replace(one, op="<", value=start)
        after, up_to = replace(one, op=">=", value=end), replace(one, op="<", value=end)
        by_op: Mapping[str, Expression] = {
            "==": And((at_least, up_to)), "!=": Or((before, after)), "<": before, "<=": up_to, ">": after,
            ">=": at_least,
        }  # fmt: skip
        return by_op[one.op]

    def _stretch(self, one: Compare, text: str) -> tuple[int, int]:
        """First microsecond, and the one after the last."""
        if isinstance(one.value, Span):
            try:
                start = microseconds(self.now - timedelta(seconds=one.value.seconds))
            except OverflowError:
                raise QueryError(text, one.value_at, f"{one.value.text} is longer than there are dates") from None
            return start, start + 1
        written = one.value.text if isinstance(one.value, Date) else one.value
        match = _DATE.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise QueryError(text, one.value_at, "expected a date such as 2026-01-31 or 2026-01-31T12:00, or 7d for "
                                                 "7 days ago")  # fmt: skip
        day, minute, second, fraction = match.groups(default="")
        try:
            start = microseconds(datetime.fromisoformat(f"{day}T{minute or '00:00'}").replace(tzinfo=UTC))
            start += microseconds(datetime(1970, 1, 1, 0, 0, int(second[1:] or 0), tzinfo=UTC))
        except ValueError as error:
            raise QueryError(text, one.value_at, f"no such date: {error}") from None
        length = 86_400 if not minute else 1 if second else 60
        if not fraction:
            return start, start + length * 1_000_000
        start += int(fraction[1:].ljust(6, "0"))
        return start, start + 10 ** (7 - len(fraction))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "flag"
    return "text" if isinstance(value, str) else "number"
