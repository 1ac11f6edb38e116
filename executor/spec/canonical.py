"""Values to canonical bytes, canonical bytes to a digest. Pure: no I/O.

- Type-exact JSON: keys sorted by code point, no white space, UTF-8, `1` and `1.0` stay different, 64-bit integers stay
  whole. RFC 8785 is not used: it merges `1` and `1.0` and refuses integers above 2**53.
- NaN, infinity, lone surrogates, non-string keys and types that JSON lacks are errors.
- Hashed bytes start with a schema tag, so that another encoding can never collide with this one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

SPEC_TAG = b"executor/spec/v1\n"
"""Prefix of the bytes whose sha256 is the spec hash."""

_HEX64 = re.compile(r"[0-9a-f]{64}")
_SEAL = re.compile(rb'\{\n "seal": "(sha256:[0-9a-f]{64})",\n')
CHUNK = 1 << 20
"""Bytes read at a time wherever a stream is hashed."""


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """A sha256, the only algorithm that is an identity here (S3, OCI and git tooling can check it)."""

    hex: str
    """64 lower-case hexadecimal digits."""

    def __post_init__(self) -> None:
        if not _HEX64.fullmatch(self.hex):
            raise ValueError(f"not 64 lower-case hexadecimal digits: {self.hex!r}")

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:<64 hex>`; raises `ValueError` for anything else."""
        algorithm, _, digits = text.partition(":")
        if algorithm != "sha256":
            raise ValueError(f"not a sha256 digest (sha256:<64 hex>): {text!r}")
        return cls(digits)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Digest of bytes in memory."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> tuple[Digest, int]:
        """Digest and length in bytes of everything left in `stream`."""
        hasher, size = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
            size += len(chunk)
        return cls(hasher.hexdigest()), size


def canonical_bytes(value: Any) -> bytes:
    """Encode `value` (mappings, sequences, str, int, float, bool, None) as type-exact JSON.

    Raises `ValueError` for NaN, infinity, a lone surrogate, a key that is not a string or a type that JSON lacks.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def spec_hash(identity: Mapping[str, Any]) -> Digest:
    """Digest of the tagged canonical bytes: the spec hash, or the experiment key when `gpu` is left out."""
    return Digest.of(SPEC_TAG + canonical_bytes(identity))


def sealed(document: Mapping[str, Any]) -> bytes:
    """Indented JSON, keys sorted, that begins with the digest of the rest: a flipped bit anywhere in it shows."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    body = (text + "\n").encode()
    return b'{\n "seal": "' + str(Digest.of(body)).encode() + b'",\n' + body.removeprefix(b"{\n")


def unsealed(data: bytes) -> tuple[bytes, Digest | None, Digest | None]:
    """Bytes without their seal, the digest that the seal names and the digest they have; no digests without a seal."""
    match = _SEAL.match(data)
    if match is None:
        return data, None, None
    body = b"{\n" + data[match.end() :]
    return body, Digest.parse(match[1].decode()), Digest.of(body)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"not a finite number: {value}")
        return value
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"a key must be a string: {bad[0]!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise ValueError(f"cannot be written as JSON: {type(value).__name__}")
