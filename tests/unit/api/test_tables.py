from __future__ import annotations

import math
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from executor.api import tables
from executor.api.tables import Table, shown

ROWS = tuple({"spec": "ab" * 32, "x": number / 2} for number in range(5))


class Cells(HTMLParser):
    """Collects the texts of cells, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_table_is_a_sequence_of_mappings() -> None:
    table = Table(("spec", "x"), ROWS, 9)
    assert (len(table), table[1]["x"], list(table), table.column("x")[2]) == (5, 0.5, list(ROWS), 1.0)
    assert (len(table[1:3]), table[1:3].total, table.column("y")) == (2, 9, [None] * 5)
    assert repr(table) == "<5 of 9 rows: spec, x>"


def test_html_has_every_cell_and_no_markup_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_SHOWN", 2)
    rows = ({"spec": "ab" * 32, "<x>": "<img src=x onerror=alert(1)>"}, {"<x>": 'a"b'}, {"<x>": "third"})
    found = Cells(Table(("spec", "<x>"), rows, 3)._repr_html_())
    assert found.tags == {"table", "thead", "tbody", "tr", "th", "td", "div"}
    assert found.texts == ["spec", "<x>", "abababababab", "<img src=x onerror=alert(1)>", 'a"b', "2 of 3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.1, "0.1"), (math.nan, "nan"), (3, "3"), (True, "true"), ([1, "é"], '[1, "é"]'), ("x", "x"),
     (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05")],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text
