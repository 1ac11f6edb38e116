"""The small checked types that a spec's fields are made of. Pure: no I/O.

Every validator complains in one sentence that says what is wrong and what was expected; `file` adds where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from executor.spec import globs
from executor.spec.canonical import Digest
from executor.spec.complaints import complaint, shown, unpinned
from executor.spec.freeze import freeze, thaw

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
_PASSWORD = re.compile(r"[a-z0-9+.-]+://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_MAX_QUANTITY = 2**63 - 1


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
