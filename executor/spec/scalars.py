"""The small checked types that a spec's fields are made of. Pure: no I/O.

Every validator raises `PydanticCustomError` whose message says what is wrong and what was expected; `file` adds where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from executor.spec.canonical import Digest

_IMAGE = re.compile(
    r"(?P<name>(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_DEPTH = 16
_MAX_INT = 2**64 - 1


def complaint(message: str) -> PydanticCustomError:
    """A validation error with exactly this message (braces are kept as they are)."""
    return PydanticCustomError("spec", "{text}", {"text": message})


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
        match = _IMAGE.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise complaint(f"not an image reference (name@sha256:<64 hex>): {text!r}")
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
        raise complaint(
            f"an image is named by its digest, not by a tag: {ref}: "
            "expected name@sha256:<64 hex>; `executor lock` writes it"
        )
    return ref


def _digest(value: object) -> Digest:
    if isinstance(value, Digest):
        return value
    try:
        return Digest.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise complaint(f"expected sha256:<64 lower-case hex digits>, found {value!r}") from None


def _commit(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}", value):
        return value
    raise complaint(
        f"expected a full commit id of 40 lower-case hex digits, found {value!r}; "
        "`executor lock` turns a branch into one"
    )


def _quantity(pattern: re.Pattern[str], units: Mapping[str, int], example: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        match = pattern.fullmatch(value) if isinstance(value, str) else None
        amount = math.ceil(float(match[1]) * units[match[2] or "B"]) if match else 0
        if amount <= 0:
            raise complaint(f"expected {example}, found {value!r}")
        return amount

    return parse


def freeze(value: Any, path: str = "", depth: int = 0) -> Any:
    """Deep, immutable copy of plain data; complains about what JSON cannot hold exactly."""
    if depth > _MAX_DEPTH:
        raise complaint(f"{path or 'value'} is nested more than {_MAX_DEPTH} levels deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > _MAX_INT:
            raise complaint(f"{path or 'value'}: an integer must fit in 64 bits, found {value}")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise complaint(f"{path or 'value'}: expected a finite number, found {value}; write it as a string")
        return value
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,127}", key):
                raise complaint(
                    f"a parameter's name is letters, digits, `_` and `-`, and starts with a letter or `_`: "
                    f"found {key!r}"
                )
        return MappingProxyType({k: freeze(v, f"{path}.{k}" if path else k, depth + 1) for k, v in value.items()})
    raise complaint(
        f"{path or 'value'}: expected a number, text, true/false, null, a list or a mapping, "
        f"found {type(value).__name__}"
    )


def thaw(value: Any) -> Any:
    """Plain dicts and lists from frozen data, for JSON."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return str(value) if isinstance(value, (Digest, ImageRef)) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_IMAGE_SCHEMA = {"type": "string", "pattern": r"^[^@\s]+@sha256:[0-9a-f]{64}$"}

PinnedImage: TypeAlias = Annotated[
    ImageRef, PlainValidator(_pinned_image), PlainSerializer(str, return_type=str), WithJsonSchema(_IMAGE_SCHEMA)
]
AnyImage: TypeAlias = Annotated[
    ImageRef, PlainValidator(ImageRef.parse), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
DigestField: TypeAlias = Annotated[
    Digest,
    PlainValidator(_digest),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}),
]
Commit: TypeAlias = Annotated[
    str, PlainValidator(_commit), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{40}$"})
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
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), PlainSerializer(list, return_type=list[str])]
TextMap: TypeAlias = Annotated[
    Mapping[str, str], AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict[str, str])
]
