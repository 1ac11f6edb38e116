"""Text and numbers for people, wherever they are shown."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Terminal escapes, control characters, and those that turn the direction of text or end a line unseen."""


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


def number(value: float) -> str:
    """A metric for people: the shortest text that is the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def duration(seconds: float) -> str:
    """A length of time for people, such as `12.3 s`, `4 min 10 s`, `3 h 25 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cut(text: str, most: int) -> str:
    """The beginning of a text that is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
