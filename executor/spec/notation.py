"""YAML 1.2's notation: bytes to text, plain scalars to values, plain data to text that reads back. Pure: no I/O."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from executor.errors import Issue, SpecError

MAX_BYTES = 64 * 1024

NULL = ("null", "Null", "NULL", "~", "")
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PLAIN_KEY = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)\Z)[A-Za-z_][A-Za-z0-9_-]*", re.IGNORECASE)
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

Scalar: TypeAlias = bool | int | float | str | None


def decoded(text: bytes, path: str) -> str:
    """A file's bytes as text, without a byte order mark; raises `SpecError` for what no YAML may hold."""

    def refuse(message: str, at: int = -1) -> SpecError:
        before = text[: max(at, 0)].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return SpecError([Issue(message, "", *((line, column) if at >= 0 else ()))], path=path)

    if len(text) > MAX_BYTES:
        raise refuse(f"the file is larger than {MAX_BYTES} bytes; a spec is small data")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("the file is UTF-16; save it as UTF-8")
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        found = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(f"the file is not UTF-8: byte 0x{text[error.start]:02x}; save it as UTF-8", error.start) from None
    if bad := _UNPRINTABLE.search(found):
        message = f"the character U+{ord(bad[0]):04X} cannot stand in a spec; in double quotes, write it as an escape"
        raise refuse(message, len(found[: bad.start()].encode()))
    return found


def core_scalar(text: str) -> Scalar:
    """The value of a plain scalar; raises `ValueError` for a number that cannot be held exactly enough."""
    if text in NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return _whole(text)
    if _SPECIAL.fullmatch(text):
        raise ValueError(f"expected a finite number, found {text}")
    return _number(text) if _FLOAT.fullmatch(text) else text


def _whole(text: str) -> int:
    value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) <= 100 else 2**64
    if abs(value) >= 2**64:
        raise ValueError(f"a whole number must fit in 64 bits, found {_cut(text)}")
    return value


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"too large for a 64-bit number: {_cut(text)}")
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise ValueError(f"too small for a 64-bit number: {_cut(text)} would be 0")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def block(value: Mapping[str, Any], indent: str = "") -> list[str]:
    """Lines of a block mapping: mappings inside it are blocks too, lists stand on one line."""
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            lines += [f"{indent}{_key(key)}:", *block(item, indent + "  ")]
        else:
            lines.append(f"{indent}{_key(key)}: {_flow(item)}")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_flow(item) for item in value)}]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _key(text: str) -> str:
    return text if _PLAIN_KEY.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """A double-quoted scalar; JSON's own escapes, and YAML's for what must not stand in a file."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
