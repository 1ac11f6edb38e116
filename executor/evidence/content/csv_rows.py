"""CSV and TSV, cell by cell. Row 1 is the first of the file, the header where there is one, as spreadsheets count."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, zip_longest

from executor.evidence.content.found import MOST_JUDGED, Explanation, Found, Limits, names, reject, short, shown
from executor.evidence.content.leaks import leaked
from executor.evidence.content.text import as_text

Row = list[str]
Column = tuple[str, int, int]
"""Name, and place on each side."""


def explain_csv(path: str, reference: bytes, observed: bytes, _limits: Limits) -> Explanation:
    """Two tables; cells are text, so that `1` and `1.0` differ."""
    found = Found("csv")
    old, new = as_text(reference), as_text(observed)
    separator = _separator(path, old)
    one, other = (csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) for text in (old, new))
    header, changed = next(one, []), next(other, [])
    reject(not header or not changed, "no rows")
    columns = _by_name(header, changed)
    if columns:
        if header != changed:
            found.add(f"columns: {names(header, 8)} → {names(changed, 8)}")
        _compare(one, other, columns, found, start=2, ragged=header == changed)
    else:
        width = max(len(header), len(changed))
        numbered = [(str(at + 1), at, at) for at in range(width)]
        _compare(chain([header], one), chain([changed], other), numbered, found, start=1, ragged=True)
    same = not found.count
    if same:
        found.add("the same cells; only quoting or line ends differ")
    return found.explanation(same=same)


def _separator(path: str, text: str) -> str:
    return "\t" if path.lower().endswith(".tsv") else max(",;\t", key=text.partition("\n")[0].count)


def _by_name(header: Row, changed: Row) -> list[Column]:
    """The columns that both headers name; none when one is no header."""
    if not all(len(set(row)) == len(row) and not any(map(_is_number, row)) for row in (header, changed)):
        return []
    places = {name: at for at, name in enumerate(changed)}
    return [(name, at, places[name]) for at, name in enumerate(header) if name in places]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _compare(
    one: Iterator[Row], other: Iterator[Row], columns: list[Column], found: Found, *, start: int, ragged: bool
) -> None:
    """Rows in order; `ragged` says that a row which differs beyond its columns is a difference too."""
    counts = [start - 1, start - 1]
    for number, (old, new) in enumerate(zip_longest(one, other), start):
        counts = [counts[0] + (old is not None), counts[1] + (new is not None)]
        if old is not None and new is not None and old != new:
            before = found.count
            _cells(number, old, new, columns, found)
            if ragged and found.count == before:
                found.add(f"row {number}: {len(old)} → {len(new)} cells")
    if counts[0] != counts[1]:
        found.lead(f"number of rows: {counts[0]} → {counts[1]}")


def _cells(number: int, old: Row, new: Row, columns: list[Column], found: Found) -> None:
    for name, left, right in columns:
        one = old[left] if left < len(old) else None
        other = new[right] if right < len(new) else None
        if one != other:
            leaks = leaked(name, one, other) if found.count < MOST_JUDGED else ()
            line = f"row {number}, column {short(name)}: {_shown(one)} → {_shown(other)}" if found.open else ""
            found.add(line, leaks)


def _shown(cell: str | None) -> str:
    """A cell; a number stands without quotes."""
    return "missing" if cell is None else short(cell) if _is_number(cell) else shown(cell)
