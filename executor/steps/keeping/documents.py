"""What each small object of a store must be, by its key: its seal, its hash, its place. Pure: no I/O.

Reading for use is forgiving where nothing can go wrong; this is not: one flipped bit anywhere in an object is found.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from executor.errors import CorruptObject, UsageError
from executor.evidence.divergence import Divergence
from executor.evidence.record import Record
from executor.spec.canonical import SPEC_TAG, Digest, spec_hash, unsealed
from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey
from executor.store import layout
from executor.store.changes import CHANGES

_RUN = re.compile(rf"{layout.RUNS}/([0-9a-f]{{64}})/(?:attempts/({layout.ATTEMPT.pattern})/)?([a-z]+\.json)")
_KEY = re.compile(rf"{layout.KEYS}/([0-9a-f]{{64}})\.pem")
_SERIES = re.compile(rf"{layout.IMPORTED}/[a-z]+/[0-9a-f]{{64}}/([0-9a-f]{{64}})\.parquet")
_NONE = Digest.of(b"")


def problem(key: str, data: bytes) -> str:
    """What is wrong with the bytes that are stored under `key`, one sentence; empty when nothing is."""
    try:
        parse(key, data)
    except CorruptObject as error:
        return f"expected {error.expected}, found {error.observed}"
    return ""


def parse(key: str, data: bytes) -> Any:
    """Read the object of a key: a `Record`, an attempt id of a reference, an envelope, or a plain document.

    Raises `CorruptObject` for bytes that were not written so.
    """
    try:
        if match := _RUN.fullmatch(key):
            digits, attempt, name = match.groups()
            read: Callable[[bytes, Digest, str], Any] = _OF_A_RUN.get(name, _any)
            return read(data, Digest(digits), attempt or "")
        if match := _KEY.fullmatch(key):
            return _public_key(data, match[1])
        if match := _SERIES.fullmatch(key):
            return _named(data, Digest(match[1]))
        if layout.pinned(key) or key.startswith((f"{layout.IMAGES}/", f"{layout.IMPORTED}/")):
            return _document(data, need_seal=True)
        if key.startswith(f"{CHANGES}/"):
            return _empty(data)
        if key.startswith(f"{layout.GC}/"):
            return _any(data)
    except CorruptObject as error:
        raise CorruptObject(key, expected=error.expected, observed=error.observed) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as error:
        raise CorruptObject(key, expected="what was written there", observed=_short(error)) from error
    return data


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _document(data: bytes, *, need_seal: bool = False) -> dict[str, Any]:
    """The JSON in sealed bytes; bytes of before there were seals may have none, if they show no trace of one."""
    body, expected, observed = unsealed(data)
    if expected != observed:
        raise CorruptObject("", expected=str(expected), observed=str(observed))
    found = json.loads(body)
    if not isinstance(found, dict) or not found:
        raise CorruptObject("", expected="a document", observed=repr(data[:40]))
    name, value = next(iter(found.items()))
    broken = "seal" in found or str(value).startswith("sha256:") or str(name).lower() == "seal"
    if expected is None and (need_seal or broken):
        raise CorruptObject("", expected="a seal over the whole", observed="none that can be read")
    return found


def _empty(data: bytes) -> bytes:
    if data:
        raise CorruptObject("", expected="nothing: the key says all", observed=f"{len(data)} bytes")
    return data


def _named(data: bytes, digest: Digest) -> bytes:
    if (observed := Digest.of(data)) != digest:
        raise CorruptObject("", expected=str(digest), observed=str(observed))
    return data


def _spec(data: bytes, run: Digest, _: str) -> dict[str, Any]:
    if (observed := Digest.of(SPEC_TAG + data)) != run:
        raise CorruptObject("", expected=str(run), observed=str(observed))
    found: dict[str, Any] = json.loads(data)
    return found


def _record(data: bytes, run: Digest, attempt: str) -> Record:
    _document(data)
    record = Record.from_json(data, "")
    if (record.spec_hash, record.attempt) != (run, attempt):
        raise CorruptObject("", expected=f"the record of {run.hex[:12]}/{attempt}",
                            observed=f"that of {record.spec_hash.hex[:12]}/{record.attempt}")  # fmt: skip
    if (observed := spec_hash(record.spec)) != run:
        raise CorruptObject("", expected=f"a spec of {run}", observed=str(observed))
    return record


def _reference(data: bytes, _: Digest, __: str) -> str:
    found = _document(data)
    attempt = found["attempt"]
    if found.keys() - {"seal"} != {"attempt"} or not layout.ATTEMPT.fullmatch(attempt):
        raise CorruptObject("", expected='{"attempt": id}', observed=repr(data[:80]))
    return str(attempt)


def _diagnosis(data: bytes, _: Digest, __: str) -> Divergence:
    found = _document(data)
    try:
        return Divergence.model_validate({name: value for name, value in found.items() if name != "seal"})
    except ValidationError as error:
        raise CorruptObject("", expected="a diagnosis", observed=f"{error.error_count()} wrong fields") from error


def _provenance(data: bytes, _: Digest, __: str) -> signing.Opened:
    found = signing.opened(data)
    written = json.dumps(found.envelope.to_dict(), separators=(",", ":")).encode() + b"\n"
    if data != written:  # JSON and base64 have several spellings of the same
        raise CorruptObject("", expected="an envelope as it is written", observed="other characters")
    return found


def _intent(data: bytes, _: Digest, __: str) -> frozenset[Digest]:
    found = _document(data, need_seal=True)
    return frozenset(Digest(digits) for digits in found["blobs"])


def _any(data: bytes, _: Digest = _NONE, __: str = "") -> dict[str, Any]:
    return _document(data)


def _public_key(data: bytes, keyid: str) -> NamedKey:
    body = base64.b64encode(base64.b64decode(b"".join(data.splitlines()[1:-1])))
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    named = NamedKey.read("", data, "the key")
    if named.id != keyid:
        raise CorruptObject("", expected=f"the key of id {keyid}", observed=f"that of {named.id}")
    if data != b"\n".join((b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b"")):
        raise CorruptObject("", expected="a key as it is written", observed="other characters")
    return named


_OF_A_RUN: Mapping[str, Callable[[bytes, Digest, str], Any]] = {
    "spec.json": _spec,
    "record.json": _record,
    "reference.json": _reference,
    "diagnosis.json": _diagnosis,
    "provenance.json": _provenance,
    "intent.json": _intent,
}
