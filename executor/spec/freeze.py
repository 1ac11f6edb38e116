"""Parameters as deep, immutable, exact data. Pure: no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from executor.spec.complaints import Place, complaints, shown

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_MAX_DEPTH = 16
_MAX_INT = 2**64 - 1


def freeze(value: Any) -> Any:
    """Deep, immutable copy of plain data; complains, all at once, about what JSON cannot hold exactly."""
    found: list[tuple[Place, str]] = []
    frozen = _freeze(value, (), found)
    if found:
        raise complaints(found)
    return frozen


def _freeze(value: Any, place: Place, found: list[tuple[Place, str]]) -> Any:
    if len(place) > _MAX_DEPTH:
        found.append((place, f"nested more than {_MAX_DEPTH} levels deep"))
    elif isinstance(value, (list, tuple)):
        return tuple(_freeze(item, (*place, i), found) for i, item in enumerate(value))
    elif isinstance(value, Mapping):
        found += [((*place, str(key)), _bad_parameter(key)) for key in value if not _is_parameter(key)]
        return MappingProxyType({key: _freeze(item, (*place, str(key)), found) for key, item in value.items()})
    elif problem := _inexact(value):
        found.append((place, problem))
    return value


def _is_parameter(key: object) -> bool:
    return isinstance(key, str) and bool(_PARAMETER.fullmatch(key))


def _bad_parameter(key: object) -> str:
    return (
        "a parameter's name is 1 to 128 letters, digits, `_` and `-`, and starts with a letter or `_`: "
        f"found {shown(key)}"
    )


def _inexact(value: object) -> str:
    """Why a scalar cannot be a parameter; empty when it can."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        if "\0" in value:
            return "text must not hold a NUL character"
        return "text must be Unicode without lone surrogates" if re.search("[\ud800-\udfff]", value) else ""
    if isinstance(value, int):
        return f"a whole number must fit in 64 bits, found {shown(value)}" if abs(value) > _MAX_INT else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"expected a finite number, found {value}; write it as quoted text"
    return f"expected a number, text, true, false, null, a list or a mapping, found {shown(value)}"


def thaw(value: Any) -> Any:
    """Plain dicts and lists from frozen data, for JSON."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return value
