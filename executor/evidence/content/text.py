"""UTF-8 text, line by line, and SVG, whose random ids and date are told apart from what is drawn."""

from __future__ import annotations

import re

from executor.evidence.content.found import MOST_JUDGED, WIDEST, Explanation, Found, Limits, clean, reject
from executor.evidence.content.leaks import in_text

MOST_TEXT = 64 << 20
"""Bytes of a text that are read."""
MOST_TEXT_LINES = 2_000_000
_AROUND = 200
"""Characters before the first that differs, and after it, that are searched for what leaked."""

_SVG_ID = re.compile(r"""(\bid="|href="#|url\(#)([^")]{1,200})""")
_SVG_DATE = re.compile(r"<dc:date>[^<]{0,100}</dc:date>")


def explain_text(_path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two texts; unreadable when one is no UTF-8."""
    old, new = as_text(reference), as_text(observed)
    one, other = _lines(old), _lines(new)
    svg = "<svg" in old and "<svg" in new
    found = Found("svg" if svg else "text")
    if one == other:
        found.add("only line ends differ")
        return found.explanation(same=True)
    same = svg and _as_drawn(old) == _as_drawn(new)
    if same:
        found.add("only ids and the date differ")
    elif len(one) != len(other):
        found.add(f"number of lines: {len(one)} → {len(other)}")
    _compare(one, other, found, svg=svg)
    return found.explanation(same=same)


def as_text(data: bytes) -> str:
    """UTF-8 without NUL, with or without a byte order mark."""
    reject(len(data) > MOST_TEXT or b"\0" in data, "too long, or no text")
    reject(data.count(b"\n") + data.count(b"\r") > MOST_TEXT_LINES, "too many lines")
    return data.decode("utf-8-sig")


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


def _as_drawn(text: str) -> str:
    """An SVG with each id replaced by its place in the order in which they appear, and without its date."""
    places: dict[str, int] = {}
    return _SVG_ID.sub(lambda id_: f"{id_[1]}{places.setdefault(id_[2], len(places))}", _SVG_DATE.sub("", text))


def _compare(one: list[str], other: list[str], found: Found, *, svg: bool) -> None:
    for number, (old, new) in enumerate(zip(one, other, strict=False), 1):
        if old == new:
            continue
        apart = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        leaks = _leaks(old, new, apart, svg=svg) if found.count < MOST_JUDGED else ()
        found.add(f"line {number}: {_excerpts(old, new, apart)}" if found.open else "", leaks)


def _leaks(old: str, new: str, apart: int, *, svg: bool) -> frozenset[str]:
    window = slice(max(0, apart - _AROUND), apart + _AROUND)
    kinds = in_text(old[window], new[window])
    return kinds | {"random"} if svg and _only_ids(old, new) else kinds


def _excerpts(old: str, new: str, apart: int) -> str:
    """Both lines, from a little before the place where they part."""
    start = max(0, apart - WIDEST // 4) if max(len(old), len(new)) > WIDEST else 0
    return " → ".join(f"“{_excerpt(line, start)}”" for line in (old, new))


def _excerpt(line: str, start: int) -> str:
    end = start + WIDEST
    return "…" * (start > 0) + clean(line[start:end]) + "…" * (len(line) > end)


def _only_ids(old: str, new: str) -> bool:
    """Whether two lines of an SVG differ in nothing but their ids."""
    return _SVG_ID.sub(r"\1", old) == _SVG_ID.sub(r"\1", new)
