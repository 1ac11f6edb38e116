"""Output patterns: which of the files left in `/outputs` are weights, metrics, or never compared. Pure: no I/O.

- A pattern without `/` matches the file's name in any folder: `*.pt` matches `model.pt` and `epoch3/model.pt`.
- A pattern with `/` matches the whole path: `tb/*` matches `tb/events` but neither `tb/a/b` nor `x/tb/events`.
- `*` is any text within one name, `?` one character of it, `[abc]`, `[a-z]` and `[!a]` one character of a set.
- `**` stands alone between slashes and is any number of folders, none included: `tb/**` is everything under `tb`.
- Letter case counts, a leading dot is a character like any other, and there is no escape: write `[*]` for a star.

First match decides: `telemetry.jsonl` in any folder is ignored, then the metrics file, weights, ignored files; every
other file is compared as it is. Weights win over `ignore`, so that `ignore: ["**"]` compares weights and metrics alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from executor.spec.model import OutputRules

Role = Literal["weights", "metrics", "file", "ignored"]

TELEMETRY = "telemetry.jsonl"
"""Times and speeds: kept, never compared, whatever the rules say."""

_SET = re.compile(r"\[(!?)([^/][^\]/]*)\]")
_MEMBER = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_LONGEST = 256


def role_of(path: str, rules: OutputRules) -> Role:
    """The role of the file at `path` (relative to `/outputs`, `/` between names)."""
    if path.rpartition("/")[2] == TELEMETRY:
        return "ignored"
    if path == rules.metrics:
        return "metrics"
    if any(matches(pattern, path) for pattern in rules.weights):
        return "weights"
    return "ignored" if any(matches(pattern, path) for pattern in rules.ignore) else "file"


def matches(pattern: str, path: str) -> bool:
    """Whether `pattern` matches `path` in the language of this module."""
    subject = path if "/" in pattern else path.rpartition("/")[2]
    return _compiled(pattern).fullmatch(subject) is not None


def problem(pattern: str) -> str:
    """Why `pattern` can match no file of a run; empty when it is well formed."""
    names = pattern.split("/")
    if not pattern or len(pattern) > _LONGEST:
        return f"a pattern is 1 to {_LONGEST} characters"
    if not all(names) or "." in names or ".." in names:
        return "a pattern is relative to /outputs, without `.`, `..` or an empty name"
    if any("**" in name and name != "**" for name in names):
        return "`**` stands alone between slashes"
    if names.count("**") > 4:
        return "a pattern has at most 4 `**`"
    return _bad_set(pattern)


def _bad_set(pattern: str) -> str:
    if "[" in _SET.sub("", pattern):
        return "a `[` has no `]` after it in the same name; write `[[]` for the character itself"
    for _, inside in _SET.findall(pattern):
        if any(low > high for low, high, _ in _MEMBER.findall(inside)):
            return f"a range in `[{inside}]` runs backwards"
    return ""


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern == "**":
        return re.compile(r".*", re.DOTALL)
    names = pattern.split("/")
    middle = "".join("(?:[^/]+/)*" if name == "**" else _name(name) + "/" for name in names[:-1])
    return re.compile(middle + (".+" if names[-1] == "**" else _name(names[-1])), re.DOTALL)


def _name(pattern: str) -> str:
    """One name of a pattern as a regular expression that never crosses a `/`.

    All but the last `*` take the least that fits and never reconsider: it decides the same, without backtracking.
    """
    parts, position = [""], 0
    while position < len(pattern):
        inside = _SET.match(pattern, position)
        if inside:
            parts[-1] += f"(?!/)[{'^' if inside[1] else ''}{_MEMBER.sub(_member, inside[2])}]"
        elif pattern[position] == "*":
            parts.append("")
        else:
            parts[-1] += "[^/]" if pattern[position] == "?" else re.escape(pattern[position])
        position = inside.end() if inside else position + 1
    if len(parts) == 1:
        return parts[0]
    return parts[0] + "".join(f"(?>[^/]*?{part})" for part in parts[1:-1]) + "[^/]*" + parts[-1]


def _member(match: re.Match[str]) -> str:
    return re.escape(match[3]) if match[3] else f"{re.escape(match[1])}-{re.escape(match[2])}"
