"""Logs by the page, cells, curves, graphs."""

from __future__ import annotations

import io
import math

import pytest

from executor.dashboard import logs
from executor.dashboard.cells import cell, short
from executor.dashboard.curves import picture
from executor.dashboard.graph import graph
from executor.dashboard.logs import page_of, shown
from executor.dashboard.serve import serve
from executor.errors import UsageError
from executor.evidence.thinning import Point
from tests.unit.dashboard.conftest import World


def test_pages_of_a_log_are_its_lines_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PAGE", 100)
    data = b"".join(b"line %d %s\n" % (number, b"x" * (number % 60)) for number in range(200))
    pages = page_of(io.BytesIO(data), len(data), 1).pages
    assert pages > 50
    found = [page_of(io.BytesIO(data), len(data), number).text for number in range(1, pages + 1)]
    assert "".join(found).encode() == data
    assert page_of(io.BytesIO(data), len(data), 0).text == found[-1]
    assert page_of(io.BytesIO(data), len(data), 999).number == pages


def test_a_line_that_is_longer_than_a_page_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PAGE", 10)
    data = b"y" * 35 + b"\nend"
    found = [page_of(io.BytesIO(data), len(data), number).text for number in range(1, 5)]
    assert "".join(found).encode() == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\r\n", "a\nb\n"),
        (b" 1%\r 2%\r100%\n", "100%\n"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J", "red ]0;title \ufffd2J"),
        ("a\u202eb\u2066c\u200fd".encode(), "abcd"),
        (b"\xff\x00\t.", "\ufffd\t."),
        (b"", ""),
    ],
)
def test_a_log_is_text_that_can_do_nothing(data: bytes, text: str) -> None:
    assert shown(data) == text


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (None, "", ""), (math.nan, "metrics.x", "NaN"), (math.inf, "", "∞"), (-math.inf, "", "−∞"),
        (0.1 + 0.2, "", "0.3"), (True, "rerun", "true"), ([1, 2], "", "[1, 2]"),
        (12.34, "runtime_s", "12.3 s"),
        (1_767_225_600_000_000, "created", "2026-01-01 00:00"), (3, "", "3"), ("é", "", "é"),
    ],
)  # fmt: skip
def test_a_cell_is_short(value: object, name: str, text: str) -> None:
    assert cell(value, name) == text


def test_hashes_alone_are_cut() -> None:
    assert short("sha256:" + "a" * 64) == short("a" * 40) == "a" * 12
    assert short("a" * 63) == "a" * 63


def test_a_curve_breaks_where_it_is_no_number() -> None:
    values = (1.0, math.nan, 3.0, 2.0)
    drawn = picture("loss", [Point(at, at, value) for at, value in enumerate(values)])
    assert drawn.path == "M0.0 96.0 M213.3 0.0 L320.0 48.0"
    assert (drawn.lowest, drawn.highest, drawn.final, drawn.broken) == (1.0, 3.0, 2.0, 1)


@pytest.mark.parametrize("values", [(5.0,), (5.0, 5.0), (math.nan,), (-1.7e308, 1.7e308), (math.inf, -math.inf)])
def test_every_series_is_a_picture(values: tuple[float, ...]) -> None:
    drawn = picture("x", [Point(at, at, value) for at, value in enumerate(values)])
    assert "nan" not in drawn.path
    assert "inf" not in drawn.path


def test_the_graph_counts_who_shares_an_input_or_an_output(world: World) -> None:
    made = world.ran(("same.txt", "same"), ("own.txt", "own"))
    world.ran(("same.txt", "same"), seed=2)
    drawn = world.desk.library.ask(lambda view: graph(made, view))
    assert [(one.label[:5], one.others) for one in drawn.inputs] == [("code ", 1), ("image", 1), ("data ", 1)]
    assert [(one.label, one.others) for one in drawn.outputs] == [("own.txt", 0), ("same.txt", 1)]
    assert len(drawn.lines) == 5
    assert all(0 <= one.y < drawn.height for one in drawn.nodes)


def test_outputs_that_do_not_fit_are_counted(world: World) -> None:
    made = world.ran(*((f"{number}.txt", "x") for number in range(14)))
    assert world.desk.library.ask(lambda view: graph(made, view)).more == 4


def test_a_port_that_is_taken_is_told() -> None:
    def ready(port: int) -> None:
        with pytest.raises(UsageError, match=f"port {port}: Address already in use"):
            serve(None, port, lambda _: None)  # type: ignore[arg-type]
        raise KeyError  # enough

    with pytest.raises(KeyError):
        serve(None, 0, ready)  # type: ignore[arg-type]
