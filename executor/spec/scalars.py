"""The small checked types that a spec's fields are made of. Pure: no I/O.

Every validator complains in one sentence that says what is wrong and what was expected; `file` adds where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from executor.spec import globs
from executor.spec.canonical import Digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]{{1,5}})?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_PASSWORD = re.compile(r"[a-z0-9+.-]+://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_MAX_DEPTH = 16
_MAX_INT = 2**64 - 1
_MAX_QUANTITY = 2**63 - 1

Place: TypeAlias = tuple[str | int, ...]
"""Where in a value: keys and list positions from the outside in."""


def complaint(message: str) -> PydanticCustomError:
    """A validation error with exactly this message (braces are kept as they are)."""
    return PydanticCustomError("spec", "{text}", {"text": message})


def unpinned(message: str) -> PydanticCustomError:
    """A complaint about what a draft may leave open and a spec may not."""
    return PydanticCustomError("unpinned", "{text}", {"text": message})


def complaints(found: Sequence[tuple[Place, str]]) -> ValidationError:
    """Several complaints at once, each with its place inside the value that is being checked."""
    return ValidationError.from_exception_data(
        "spec", [{"type": complaint(message), "loc": place, "input": None} for place, message in found]
    )


def shown(value: object) -> str:
    """A value in a message: what it is, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else f"{value[:77]}...")
    if isinstance(value, (Mapping, Sequence)):
        return f"{'a' if value else 'an empty'} {'mapping' if isinstance(value, Mapping) else 'list'}"
    return type(value).__name__


@dataclass(frozen=True)
class ImageRef:
    """A container image. In a spec the digest is always there, and it alone is identity."""

    name: str
    """Registry and repository: a hint where to find it, such as `registry.example.org/ml/torch`."""
    digest: Digest | None = None
    """Digest of the image manifest."""
    tag: str = ""
    """Only a draft lives by its tag; beside a digest it is a comment."""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}@{self.digest}" if self.digest else f"{self.name}{tag}"

    @classmethod
    def parse(cls, text: object) -> ImageRef:
        """Read `name[:tag][@sha256:…]`; raises a complaint for anything else."""
        if isinstance(text, ImageRef):
            return text
        match = _IMAGE.fullmatch(text) if isinstance(text, str) and len(text) <= 512 else None
        if not match:
            raise complaint(
                f"expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found {shown(text)}"
            )
        digest = match["digest"]
        return cls(match["name"], Digest.parse(digest) if digest else None, match["tag"] or "")

    @property
    def pinned(self) -> Digest:
        """The digest; a `ValueError` when there is none (a programmer's mistake: specs are pinned)."""
        if self.digest is None:
            raise ValueError(f"{self} is not pinned")
        return self.digest


def _pinned_image(text: object) -> ImageRef:
    ref = ImageRef.parse(text)
    if ref.digest is None:
        raise unpinned(f"not named by its digest: expected {ref}@sha256:<64 hex>; `executor lock` finds it")
    return ref


def _digest(value: object) -> Digest:
    if isinstance(value, Digest):
        return value
    try:
        return Digest.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise complaint(f"expected sha256:<64 lower-case hex digits>, found {shown(value)}") from None


def _commit(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}", value):
        return value
    raise complaint(
        f"expected a full commit id of 40 lower-case hex digits, found {shown(value)}; "
        "a branch or tag goes into `branch` of a draft"
    )


def _text(value: str) -> str:
    if "\0" in value:
        raise complaint("text must not hold a NUL character")
    return value


def _hint(value: str) -> str:
    if value.startswith(("-", "~")):
        raise complaint(f"expected a path or an address, found {shown(value)}: it must not start with `{value[0]}`")
    if _PASSWORD.match(value):
        raise complaint("an address must not hold a password: it would be kept in every record of the run")
    return value


def _pattern(value: str) -> str:
    if problem := globs.problem(value):
        raise complaint(f"{problem}: {shown(value)}")
    return value


def _quantity(pattern: re.Pattern[str], units: Mapping[str, int], example: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        amount = value if isinstance(value, int) and not isinstance(value, bool) else 0
        if isinstance(value, str) and (match := pattern.fullmatch(value)):
            amount = math.ceil(Decimal(match[1]) * units[match[2] or "B"])
        if not 0 < amount <= _MAX_QUANTITY:
            raise complaint(f"expected {example}, found {shown(value)}")
        return amount

    return parse


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
    return str(value) if isinstance(value, (Digest, ImageRef)) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_IMAGE_SCHEMA = {
    "type": "string",
    "pattern": r"^[^@\s]+@sha256:[0-9a-f]{64}$",
    "examples": ["registry.example.org/ml/torch@sha256:<64 hex>"],
}
_TAG_SCHEMA = {"type": "string", "examples": ["registry.example.org/ml/torch:2.13"]}

PinnedImage: TypeAlias = Annotated[
    ImageRef, PlainValidator(_pinned_image), PlainSerializer(str, return_type=str), WithJsonSchema(_IMAGE_SCHEMA)
]
AnyImage: TypeAlias = Annotated[
    ImageRef, PlainValidator(ImageRef.parse), PlainSerializer(str, return_type=str), WithJsonSchema(_TAG_SCHEMA)
]
DigestField: TypeAlias = Annotated[
    Digest,
    PlainValidator(_digest),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "examples": ["sha256:<64 hex>"]}),
]
Commit: TypeAlias = Annotated[
    str,
    PlainValidator(_commit),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{40}$", "examples": ["<40 hex>"]}),
]
Bytes: TypeAlias = Annotated[
    int,
    PlainValidator(_quantity(_SIZE, _UNITS, "a size such as 8GiB or 512MiB")),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["8GiB"]}),
]
Seconds: TypeAlias = Annotated[
    int,
    PlainValidator(_quantity(_DURATION, _SECONDS, "a duration such as 90s, 30m, 2h or 1d")),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["2h"]}),
]
Params: TypeAlias = Annotated[
    Mapping[str, Any],
    AfterValidator(freeze),
    PlainSerializer(thaw, return_type=dict[str, Any]),
]
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
Hint: TypeAlias = Annotated[Text, AfterValidator(_hint)]
Pattern: TypeAlias = Annotated[Text, AfterValidator(_pattern)]
_List = BeforeValidator(_as_tuple)
_AsList = PlainSerializer(list, return_type=list[str])
Texts: TypeAlias = Annotated[tuple[Text, ...], _List, _AsList]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], _List, _AsList]
TextMap: TypeAlias = Annotated[
    Mapping[str, Text], AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict[str, str])
]
