"""How results are written: one JSON document on stdout for machines, a few plain lines for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout; messages on stderr."
)
store_option = click.option("--store", metavar="URL", help="s3://bucket/prefix or file:folder.  [env: EXECUTOR_STORE]")
allow_option = click.option(
    "--allow", multiple=True, metavar="FIELD", help="Accept that this field differs; the record keeps it. Repeatable."
)
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
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Terminal escapes, control characters, and those that turn the direction of text or end a line unseen."""


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


def plain(text: str) -> str:
    """Text that others wrote, without escapes, control and direction characters; half a character is spelled out."""
    return _CONTROL.sub("", text).encode("utf-8", "backslashreplace").decode()


def size(count: float) -> str:
    """Bytes for people, such as `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Left-aligned columns, two spaces apart."""
    lines = [tuple(head), *(tuple(plain(cell) for cell in row) for row in rows)]
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


def number(value: float) -> str:
    """A metric for people: the shortest text that is the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
