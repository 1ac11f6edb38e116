"""What an index holds under a name, as a cell of a table."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from executor.evidence.row import FIELDS, moment
from executor.text import duration

CHIPS = frozenset({"status", "verdict", "proof"})
"""Names whose values have a colour."""
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{40}|[0-9a-f]{64})")


def cell(value: Any, name: str = "") -> str:
    """A value in few characters; nothing for a run that has none."""
    kind = FIELDS[name].kind if name in FIELDS else ""
    if value is None:
        return ""
    if kind == "time":
        return f"{moment(value):%Y-%m-%d %H:%M}"
    if kind == "seconds":
        return duration(value)
    if isinstance(value, float):
        return number(value)
    if name == "submitter":
        return str(value).partition(" <")[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """A number with six digits."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    return f"{value:.6g}"


def short(word: str) -> str:
    """The first digits of a hash; any other text as it is."""
    found = _HASH.fullmatch(word)
    return found[1][:12] if found else word
