"""Tables that a notebook shows: plain rows, and HTML in which every text of others is escaped. Pure: no I/O."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from executor.text import number, plain

MOST_SHOWN = 100
"""Rows of a table that are shown; the table has them all."""
_TABLE = "border-collapse:collapse;color:inherit;font-size:90%"
_LINE = "border-bottom:1px solid rgba(128,128,128,.35);padding:.2em .7em;text-align:left;vertical-align:top"
"""Grey lines and the notebook's own colours: right on light and on dark."""


@dataclass(frozen=True)
class Table(Sequence[Mapping[str, Any]]):
    """Rows that were found, as plain mappings, such as `pandas.DataFrame(list(table))` takes."""

    columns: tuple[str, ...]
    """Names in the order in which they are shown."""
    rows: tuple[Mapping[str, Any], ...]
    """What each has by name; what it does not have is left out."""
    total: int
    """How many there are, also beyond those that were asked for."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return Table(self.columns, self.rows[at], self.total) if isinstance(at, slice) else self.rows[at]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def column(self, name: str) -> list[Any]:
        """What every row has under a name; None where it has nothing."""
        return [row.get(name) for row in self.rows]

    def __repr__(self) -> str:
        return f"<{len(self.rows)} of {self.total} rows: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        more = f"{min(len(self), MOST_SHOWN)} of {self.total}" if self.total > min(len(self), MOST_SHOWN) else ""
        cells = [[_short(name, row.get(name)) for name in self.columns] for row in self.rows[:MOST_SHOWN]]
        return table(self.columns, cells, more)


def _short(name: str, value: Any) -> Any:
    """The first digits of a spec hash say which it is."""
    return value[:12] if name == "spec" and isinstance(value, str) else value


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """Rows under a head as HTML; `note` stands below."""
    lines = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    names = "".join(f'<th style="{_LINE}">{_text(name)}</th>' for name in head)
    below = f'<div style="opacity:.7;font-size:85%">{_text(note)}</div>' if note else ""
    return f'<table style="{_TABLE}"><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>{below}'


def facts(title: str, known: Mapping[str, Any]) -> str:
    """One thing as HTML: its title, and a line for each fact that there is."""
    rows = "".join(f'<tr><th style="{_LINE}">{_text(name)}</th>{_cell(value)}</tr>'
                   for name, value in known.items() if value not in (None, ""))  # fmt: skip
    return f'<div><strong>{_text(title)}</strong><table style="{_TABLE}"><tbody>{rows}</tbody></table></div>'


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _cell(value: Any) -> str:
    return f'<td style="{_LINE}">{_text(shown(value))}</td>'


def _text(text: str) -> str:
    return html.escape(plain(text))
