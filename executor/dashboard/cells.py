"""What an index holds under a name, as a cell of a table."""

from __future__ import annotations

import math
import re
from typing import Any

from executor.evidence.row import written

CHIPS = frozenset({"status", "verdict", "proof"})
"""Names whose values have a colour."""
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{40}|[0-9a-f]{64})")


def cell(value: Any, name: str = "") -> str:
    """A value in few characters; nothing for a run that has none."""
    odd = isinstance(value, float) and not math.isfinite(value)
    return number(value) if odd else written(name, value)


def number(value: float) -> str:
    """A number with six digits."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    return f"{value:.6g}"


def short(word: str) -> str:
    """The first digits of a hash; any other text as it is."""
    found = _HASH.fullmatch(word)
    return found[1][:12] if found else word
