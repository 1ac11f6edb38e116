"""The values that one parameter takes in a sweep: a list, or a range that is counted exactly. Pure: no I/O.

What is written in decimal comes out in decimal: the third of 0.1, 0.2, … is 0.3, not 0.30000000000000004. A range of
whole numbers gives whole numbers, any other gives floats, because `1` and `1.0` are two specs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from executor.spec.complaints import Place, complaint, complaints, shown
from executor.spec.freeze import freeze

Number: TypeAlias = int | float
_MOST_WHOLE = 2**64 - 1
_KEYS = ("from", "to", "step", "num", "scale")
_EXACT, _KEPT = Context(prec=60), Context(prec=40)
"""Powers are worked out to 60 digits, the same on every machine, and the last 20 are dropped."""
_MOST_POWERS = 1000
EXAMPLE = "a list of values or a range such as {from: 0.1, to: 0.5, step: 0.1}"


@dataclass(frozen=True)
class Listed:
    """Values as they were written; each may be anything that a parameter may be."""

    items: tuple[Any, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@dataclass(frozen=True)
class Range:
    """Numbers from one to another, both among them when the steps lead there."""

    low: Number
    """The first."""
    high: Number
    """The last, or what the last does not go beyond."""
    count: int = 0
    """How many there are; 0 for every number between the two, which only a sampler can choose from."""
    stride: Fraction = Fraction(0)
    """From each to the next, when they are evenly spaced."""
    log: bool = False
    """Whether each is the same multiple of the one before."""

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int) and self.stride.denominator == 1

    def __getitem__(self, index: int) -> Number:
        exact = self._power(index) if self.log else fraction(self.low) + index * self.stride
        return int(exact) if self.whole else float(exact)

    def _power(self, index: int) -> Fraction:
        if index in (0, self.count - 1):
            return fraction(self.high if index else self.low)
        start, stop = (_EXACT.ln(Decimal(repr(end))) for end in (self.low, self.high))
        part = _EXACT.divide(_EXACT.multiply(_EXACT.subtract(stop, start), index), self.count - 1)
        return Fraction(_KEPT.plus(_EXACT.exp(_EXACT.add(start, part))))


Axis: TypeAlias = Listed | Range


def values(axis: Axis) -> Iterator[Any]:
    """Every value of an axis, in order."""
    return (axis[index] for index in range(axis.count))


def fraction(number: Number) -> Fraction:
    """The number that people mean by the shortest text of a float: 1/10 for 0.1."""
    return Fraction(repr(number))


def axis(value: object, *, open_ended: bool = False) -> Axis:
    """Read a list, or `{from, to, step}`, or `{from, to, num}` with `scale: log` where steps are to be multiples.

    `open_ended` allows `{from, to}` alone, for a sampler. Raises complaints, each with its place inside the value.
    """
    if isinstance(value, list):
        if not value:
            raise complaint(f"expected {EXAMPLE}, found an empty list")
        return Listed(freeze(value))
    if isinstance(value, Mapping):
        return _range(value, open_ended=open_ended)
    advice = "" if isinstance(value, str) or value is None else f"; write [{shown(value)}] for one value"
    raise complaint(f"expected {EXAMPLE}, found {shown(value)}{advice}")


def _range(value: Mapping[str, Any], *, open_ended: bool) -> Range:
    if found := _misfits(value, open_ended=open_ended):
        raise complaints(found)
    low, high, log = value["from"], value["to"], value.get("scale") == "log"
    if "num" in value:
        return _numbered(low, high, value["num"], log=log)
    if "step" not in value:
        return Range(low, high, log=log)
    step = value["step"]
    stride, span = fraction(step), fraction(high) - fraction(low)
    if not all(isinstance(number, int) for number in (low, high, step)):
        low, high = float(low), float(high)
    return Range(low, high, int(span / stride) + 1, stride)


def _numbered(low: Number, high: Number, num: int, *, log: bool) -> Range:
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if log:
        found = Range(low, high, num, log=True)
        if isinstance(low, int) and not _all_whole(found):
            raise complaint(_not_whole(low))
        return found
    stride = (fraction(high) - fraction(low)) / (num - 1)
    if isinstance(low, int) and stride.denominator != 1:
        raise complaint(_not_whole(low))
    return Range(low, high, num, stride)


def _not_whole(low: Number) -> str:
    return f"not all of its numbers are whole: write `from: {low}.0` for numbers with a point, or list the values"


def _all_whole(powers: Range) -> bool:
    if powers.count > _MOST_POWERS:
        return False
    return all(powers._power(index).denominator == 1 for index in range(powers.count))


def _misfits(value: Mapping[str, Any], *, open_ended: bool) -> list[tuple[Place, str]]:
    """What is wrong with the fields of a range, each by itself first, then together."""
    found: list[tuple[Place, str]] = []
    listed = ", ".join(f"`{key}`" for key in _KEYS)
    found += [((str(key),), f"unknown field; a range has {listed}") for key in value if key not in _KEYS]
    for key in ("from", "to"):
        if key not in value:
            found.append(((), f"`{key}` is missing: expected {EXAMPLE}"))
    for key in ("from", "to", "step"):
        if key in value and not _is_number(value[key]):
            found.append(((key,), f"expected a number, found {shown(value[key])}"))
    num = value.get("num", 2)
    if type(num) is not int or num < 2:
        found.append((("num",), f"expected a whole number from 2 up, found {shown(num)}"))
    if value.get("scale", "linear") not in ("linear", "log"):
        found.append((("scale",), f"expected `linear` or `log`, found {shown(value['scale'])}"))
    return found or list(_mismatches(value, open_ended=open_ended))


def _mismatches(value: Mapping[str, Any], *, open_ended: bool) -> Iterator[tuple[Place, str]]:
    low, high, log = value["from"], value["to"], value.get("scale") == "log"
    if "step" in value and "num" in value:
        yield ("num",), "expected `step` or `num`, found both; leave one of them out"
    elif "step" in value and log:
        yield ("step",), "a logarithmic range has no step; say with `num` how many numbers it has"
    elif "step" in value and value["step"] == 0:
        yield ("step",), "a step of 0 leads nowhere"
    elif "step" in value and low != high and (value["step"] > 0) != (high > low):
        yield ("step",), f"{shown(value['step'])} does not lead from {shown(low)} to {shown(high)}"
    elif not open_ended and not value.keys() & {"step", "num"}:
        yield (), "say with `step` or `num` which numbers between the two; only a sampler can choose from all of them"
    elif open_ended and low >= high:
        yield ("to",), f"expected more than {shown(low)}, found {shown(high)}"
    elif "num" in value and low == high:
        yield ("to",), f"the range has one number only; write [{shown(low)}]"
    if log and (low <= 0 or high <= 0):
        yield ("from" if low <= 0 else "to",), "a logarithmic range has positive numbers only"


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _MOST_WHOLE)
