"""What every family of formats shares: the explanation, how differences are gathered, and how much may be read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from executor.evidence.content.leaks import KINDS, leaked
from executor.facts import Fact

MOST_LINES = 10
WIDEST = 80
"""Characters of one value or name in a line."""
MOST_JUDGED = 10_000
"""Differences of one file that are searched for what leaked."""
MOST_INFLATED = 64 << 20
"""Bytes that may be decompressed for one explanation, of both sides and of all that lies inside."""
DEEPEST = 4
"""Files inside files that are opened: `logs.tar.gz` with a `.npz` in it are three."""
MISSING = object()
"""Stands for what only the other side has."""


class Explanation(Fact):
    """Why two versions of a file differ."""

    format: str
    """What both were read as: json, jsonl, csv, zip, tar, gzip, png, events, svg, text, safetensors or binary."""
    same_values: bool
    """True when all that carries meaning is equal, and only the way it was written differs."""
    lines: tuple[str, ...]
    """Sentences for people, the most telling first; none only when the bytes are equal."""
    leaks: tuple[str, ...] = ()
    """What seems to have got into the file: of `time`, `host`, `path`, `random`."""


class Unreadable(ValueError):
    """These bytes are not what they were taken for, or too much to read; the next family is tried."""


def reject(broken: object, why: str) -> None:
    """Give up on this family when something is broken."""
    if broken:
        raise Unreadable(why)


@dataclass
class Limits:
    """What the reading of one pair of files may still use, and how to explain a pair inside it."""

    entry: Callable[[str, bytes, bytes, Limits], Explanation]
    """Explains a pair within the same limits."""
    left: int = MOST_INFLATED
    """Bytes that may still be decompressed."""
    depth: int = 0
    """How many files this one lies in."""

    def inflate(self, data: bytes | bytearray | memoryview, wbits: int) -> tuple[bytes, bytes]:
        """One whole zlib stream, and the bytes after it."""
        reject(self.left <= 0, "nothing more may be decompressed")  # zlib takes a limit of 0 for none
        stream = zlib.decompressobj(wbits)
        content = stream.decompress(data, self.left)
        self.left -= len(content)
        reject(not stream.eof, "the stream is too long or cut off")
        return content, stream.unused_data

    def inner(self, path: str, reference: bytes, observed: bytes) -> Explanation:
        """Explain two files that lie inside the ones being read."""
        self.depth += 1
        try:
            return self.entry(path, reference, observed, self)
        finally:
            self.depth -= 1


@dataclass
class Found:
    """Differences as they are found: the first are kept as lines, all are counted."""

    format: str
    lines: list[str] = field(default_factory=list)
    count: int = 0
    leaks: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Whether the next line will be kept; when not, it need not be written."""
        return len(self.lines) < MOST_LINES

    def add(self, line: str, leaks: Iterable[str] = ()) -> None:
        """One difference, in words."""
        self.count += 1
        self.leaks.update(leaks)
        if self.open:
            self.lines.append(clean(line))

    def lead(self, line: str, leaks: Iterable[str] = ()) -> None:
        """A difference that was known last and is told first."""
        self.lines.insert(0, clean(line))
        del self.lines[MOST_LINES:]
        self.count += 1
        self.leaks.update(leaks)

    def value(self, place: str, old: object, new: object, name: str | None = None) -> None:
        """One value that differs; `name` is what to judge it by when that is not its place."""
        leaks = leaked(place if name is None else name, old, new) if self.count < MOST_JUDGED else ()
        self.add(f"{place}: {shown(old)} → {shown(new)}" if self.open else "", leaks)

    def include(self, prefix: str, inner: Explanation, most: int = 3) -> None:
        """The first lines of what was found in a file inside this one."""
        for line in inner.lines[:most]:
            self.add(f"{prefix}: {line}" if prefix else line, inner.leaks)
        if self.lines and len(inner.lines) > most and len(self.lines) == self.count:
            self.lines[-1] += " …"

    def explanation(self, *, same: bool) -> Explanation:
        """All that was found."""
        lines = self.lines
        if self.count > MOST_LINES:
            lines = [*lines[: MOST_LINES - 1], f"… and {self.count - MOST_LINES + 1} more"]
        leaks = tuple(kind for kind in KINDS if kind in self.leaks)
        return Explanation(format=self.format, same_values=same, lines=tuple(lines), leaks=leaks)


def shown(value: object) -> str:
    """A value as a line shows it: short, and of a container only its size."""
    if value is MISSING:
        return "missing"
    if isinstance(value, dict):
        return f"{{{len(value)} fields}}"
    if isinstance(value, list):
        return f"[{len(value)} items]"
    if isinstance(value, str):
        return short(json.dumps(value[: WIDEST + 1], ensure_ascii=False))
    return short(json.dumps(value) if isinstance(value, bool | float | None) else str(value))


def short(text: str) -> str:
    """At most `WIDEST` characters of a text."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def clean(text: str) -> str:
    """Text that a terminal shows as it is: no control characters, no half surrogate pairs."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def names(kept: Iterable[str], most: int = 3) -> str:
    """The first few of some names."""
    listed = list(kept)
    return ", ".join(map(short, listed[:most])) + f" and {len(listed) - most} more" * (len(listed) > most)
