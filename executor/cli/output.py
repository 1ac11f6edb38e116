"""How results are written: one JSON document on stdout for machines, a few plain lines for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from executor.text import cut as cut
from executor.text import duration as duration
from executor.text import number as number
from executor.text import plain as plain
from executor.text import size as size

F = TypeVar("F", bound=Callable[..., Any])

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout; messages on stderr."
)
store_option = click.option("--store", metavar="URL", help="s3://bucket/prefix or file:folder.  [env: EXECUTOR_STORE]")
allow_option = click.option(
    "--allow", multiple=True, metavar="FIELD", help="Accept that this field differs; the record keeps it. Repeatable."
)
MOST_OF_CELL = 500
"""Characters of a cell of a table for people; JSON and CSV have all of it."""
PARTS = ("image", "data")
"""What can be archived; the code always is."""


def _parts(_: click.Context, __: click.Parameter, text: str) -> frozenset[str]:
    parts = frozenset(part for part in text.split(",") if part)
    if unknown := sorted(parts.difference(PARTS)):
        raise click.BadParameter(f"{', '.join(unknown)} cannot be archived; there are {' and '.join(PARTS)}")
    return parts


archive_option = click.option(
    "--archive", metavar="PARTS", default="", callback=_parts,
    help="Keep these too, so that a rerun needs nothing but the store: image, data, or image,data.",
)  # fmt: skip
as_option = click.option(
    "--as",
    "who",
    metavar="NAME",
    help="Who submits it, a hint in the record: git's user by default.  [env: EXECUTOR_USER]",
)


def shared(function: F) -> F:
    """Options that every command has: `--json` and `--store`."""
    return as_json_option(store_option(function))


def emit(document: Any) -> None:
    """Write one JSON document to stdout, in ASCII: no name in it can be a terminal escape or half a character."""
    click.echo(json.dumps(document, indent=1))


def say(text: str) -> None:
    """A message for people, on stderr."""
    click.echo(plain(text), err=True)


def show(text: str) -> None:
    """A result for people, on stdout."""
    click.echo(plain(text))


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Left-aligned columns, two spaces apart; a cell that no screen holds is cut."""
    lines = [tuple(head), *(tuple(cut(plain(cell), MOST_OF_CELL) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


def findings(found: Sequence[Mapping[str, Any]], *, every: bool = False) -> str:
    """Findings that matter, one a line with its advice; `every` shows the good ones too."""
    marks = {"refuse": "✗", "warn": "!", "info": "✓"}
    lines = []
    for one in found:
        if one["severity"] == "info" and not every:
            continue
        mark = "~" if one["allowed"] else marks[one["severity"]]
        seen = one["observed"] if one["severity"] == "info" else f"expected {one['expected']}, found {one['observed']}"
        lines.append(f"  {mark} {one['field']}: {seen}{' (allowed)' if one['allowed'] else ''}")
        if one["advice"] and one["severity"] != "info":
            lines.append(f"      → {one['advice']}")
    return "\n".join(lines)
