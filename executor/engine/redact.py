"""Values of secrets, and their removal from whatever is shown or kept. Pure: no I/O.

A value is found as it is and as programs write it: each of its lines, in base64 (wherever it begins in the encoded
text), in hexadecimal, quoted for URLs, escaped as JSON and as Python do. What a program computes from it is not.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote_from_bytes

from executor.errors import UsageError

LEAST, MOST = 8, 16 * 1024
"""Bytes of a value: a shorter one would be found by chance, a longer one is no secret but data."""
VARIABLE = "EXECUTOR_SECRET_"
"""Prefix of the variables that give values."""


@dataclass(frozen=True)
class Secrets:
    """Values by name; shown, it is names alone."""

    values: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self.values))})"

    def known(self, names: Collection[str]) -> Secrets:
        """Those of a spec that have a value here."""
        return Secrets({name: self.values[name] for name in names if name in self.values})

    def only(self, names: Collection[str]) -> Secrets:
        """Those of a spec; raises `UsageError` for one that has no value here, or one that cannot be kept secret."""
        if missing := [name for name in names if name not in self.values]:
            ways = " ".join(f"--secret {name}=FILE" for name in missing)
            raise UsageError(
                f"secrets: there is no value for {', '.join(missing)}",
                advice=f"give {ways}, or set {VARIABLE}{missing[0]}",
            )
        for name in names:
            longest = max((len(line) for line in _lines(self.values[name])), default=0)
            if longest < LEAST or len(self.values[name]) > MOST:
                size = f"{len(self.values[name])} bytes, {longest} in its longest line"
                raise UsageError(
                    f"secrets: the value of {name} has {size}: expected {LEAST} to {MOST}",
                    advice="a short one cannot be kept out of the log; a long one belongs into `data`",
                )
        return self.known(names)


NO_SECRETS = Secrets()
"""None."""


class Redactor:
    """Writes `[secret NAME]` where a value stands."""

    def __init__(self, secrets: Secrets) -> None:
        self._names = {form: name for name, value in secrets.values.items() for form in forms(value)}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None
        self._longest, self._first = max(map(len, longest_first), default=0), {form[0] for form in longest_first}
        self._rest = b""

    def feed(self, piece: bytes, *, last: bool = False) -> bytes:
        """Take more of a stream, give what can be shown of it: an end that a value may begin with waits."""
        if self._pattern is None:
            return piece
        text, shown, at = self._rest + piece, bytearray(), 0
        for match in self._pattern.finditer(text):
            shown += text[at : match.start()] + self._label(match)
            at = match.end()
        until = len(text) if last else self._begun(text, at)
        self._rest = text[until:]
        return bytes(shown + text[at:until])

    def text(self, text: str) -> str:
        """A whole text."""
        if self._pattern is None:
            return text
        return self._pattern.sub(self._label, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _label(self, match: re.Match[bytes]) -> bytes:
        return f"[secret {self._names[match[0]]}]".encode()

    def _begun(self, text: bytes, at: int) -> int:
        """Where the longest end of `text` after `at` begins that a value begins with; none of them holds a line end."""
        start = max(at, text.rfind(b"\n") + 1, len(text) - self._longest + 1)
        return next((place for place in range(start, len(text)) if self._may_begin(text, place)), len(text))

    def _may_begin(self, text: bytes, place: int) -> bool:
        return text[place] in self._first and any(form.startswith(text[place:]) for form in self._names)


def forms(value: bytes) -> set[bytes]:
    """Every way of writing a value that is looked for, each within one line."""
    lines = [line for line in _lines(value) if len(line) >= LEAST]
    found = {form for text in (value.strip(), *lines) for form in _encoded(text)}
    return {form for form in found if len(form) >= LEAST and b"\n" not in form}


def _lines(value: bytes) -> list[bytes]:
    return [line.strip() for line in value.splitlines()]


def _encoded(value: bytes) -> Iterator[bytes]:
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield repr(value)[2:-1].encode()
    for safe in ("", "/"):
        quoted = quote_from_bytes(value, safe=safe)
        yield from (form.encode() for form in (quoted, quoted.replace("%20", "+"), _lower(quoted)))
    for skipped in range(3):
        for letters in (None, b"-_"):
            yield _base64(value, skipped, letters)
    text = value.decode("utf-8", "replace")
    if text.encode() == value:
        yield json.dumps(text)[1:-1].encode()
        yield json.dumps(text, ensure_ascii=False)[1:-1].encode()


def _lower(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)


def _base64(value: bytes, before: int, letters: bytes | None) -> bytes:
    """What is sure of the value's base64 when `before` bytes (modulo 3) stand before it and others may follow."""
    text = b64encode(bytes(before) + value, letters).rstrip(b"=")
    return text[(0, 2, 3)[before] : len(text) - ((before + len(value)) % 3 != 0)]
