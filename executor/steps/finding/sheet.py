"""Runs as a table for spreadsheets, and their values as JSON holds them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from executor.evidence.row import FIELDS, moment
from executor.text import plain


def plain_value(name: str, value: Any) -> Any:
    """A value as JSON holds it: NaN and infinity are texts, moments are ISO."""
    if name in FIELDS and FIELDS[name].kind == "time" and value is not None:
        return moment(value).isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value


def as_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """A line for each run, `spec` and `attempt` first; no cell begins with what a spreadsheet would run."""
    names = [name for name in names if name not in ("spec", "attempt")]
    cells = ([row["spec"], row["attempt"], *(plain_value(name, row.get(name)) for name in names)] for row in rows)
    return lines(["spec", "attempt", *names], cells)


def lines(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Any table as CSV, with its head; NaN and infinity are texts."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_safe(plain_value("", cell)) for cell in row] for row in (head, *rows))
    return text.getvalue()


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        value = plain(value)
        runs = value[:1] in ("=", "+", "-", "@", "\t") and value != "-Infinity"
        return f"'{value}" if runs else value
    return json.dumps(value) if isinstance(value, list | bool) else value
