"""Signatures through securesystemslib: reading keys, signers by URI, envelopes (DSSE) and whether a key signed one.

The library is imported when it is needed: it brings boto3 along, a tenth of a second where the store is a folder.
`warm` does that while something else is waited for.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from executor.errors import ExecutorError, Unreachable, UsageError
from executor.evidence.provenance import PAYLOAD_TYPE

MOST_SIGNATURES = 16
_HEX = re.compile(r"([0-9a-f]{2})+")
Secret = Callable[[str], str]
"""Gives what a signer asks for by name, such as its PIN."""
_ADVICE = "give a public key: PEM as `executor key show` prints it, or securesystemslib's JSON with its `keyid`"


def warm() -> None:
    """Have a thread import what signing needs; whoever needs it first waits for that thread alone."""
    threading.Thread(target=importlib.import_module, args=("securesystemslib.dsse",), name="signing").start()


# Keys ---------------------------------------------------------------------------------------------------------------


class Key(Protocol):
    """A public key of the library."""

    keyid: str
    keytype: str


class Signer(Protocol):
    """Whatever signs, of the library."""

    def sign(self, payload: bytes) -> Any:
        """A signature."""
        ...


def read_key(text: bytes, where: str) -> Key:
    """The public key in a PEM file, or in securesystemslib's JSON; raises `UsageError` for anything else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    library = _library()
    if b"PRIVATE KEY" in text:
        raise UsageError(f"{where}: this is a private key", advice="keep it to yourself; give the public one")
    try:
        if not text.lstrip().startswith(b"{"):
            key: Key = library.SSlibKey.from_crypto(load_pem_public_key(text))
            return key
        document = json.loads(text)
        key = library.Key.from_dict(document.pop("keyid"), document)
    except (ValueError, KeyError, TypeError, RecursionError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{where}: not a public key: {error}", advice=_ADVICE) from error
    return key


def new_private_key() -> bytes:
    """A new Ed25519 key, PEM (PKCS #8), not encrypted."""
    private: bytes = _library().CryptoSigner.generate_ed25519().private_bytes
    return private


def public_of(private: bytes, where: str) -> bytes:
    """The public half of a private key, both PEM; raises `UsageError` for what is no key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key: bytes = _private(private, where).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key


def signer_of(private: bytes, where: str) -> Signer:
    """Signs with a private key (PEM); raises `UsageError` for what is no key."""
    found: Signer = _library().CryptoSigner(_private(private, where))
    return found


def signer_at(uri: str, key: Key, secret: Secret) -> Signer:
    """Signs with what a URI names, by securesystemslib's table of schemes; `secret` is asked for a PIN or passphrase.

    Raises `UsageError` with what is wrong: a scheme that is unknown, a package that is missing, a key that is another.
    """
    table, scheme = _library().SIGNER_FOR_URI_SCHEME, uri.partition(":")[0]
    advice = f"name a signer in EXECUTOR_SIGNER (one of {', '.join(f'{name}:' for name in sorted(table))}) and its "
    advice += "public key in EXECUTOR_SIGNER_KEY, or neither to use this machine's own key"
    if scheme not in table:
        raise UsageError(f"EXECUTOR_SIGNER={uri}: no such signer", advice=advice)
    try:
        found: Signer = table[scheme].from_priv_key_uri(uri, key, secret)
    except ExecutorError:
        raise
    except Exception as error:  # each signer has errors of its own, those of networks and devices among them
        raise UsageError(f"EXECUTOR_SIGNER={uri}: {error}", advice=advice) from error
    return found


def _private(text: bytes, where: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{where}: not a private key: {error}",
                         advice="restore it, or move it away: a new one is made") from error  # fmt: skip


def _library() -> Any:
    """The library's tables of keys and signers, with Sigstore's, which it has and leaves out by itself."""
    library: Any = importlib.import_module("securesystemslib.signer")
    sigstore = library.SigstoreKey
    library.KEY_FOR_TYPE_AND_SCHEME[(sigstore.DEFAULT_KEY_TYPE, sigstore.DEFAULT_SCHEME)] = sigstore
    library.SIGNER_FOR_URI_SCHEME[library.SigstoreSigner.SCHEME] = library.SigstoreSigner
    return library


# Envelopes ----------------------------------------------------------------------------------------------------------


def signed(payload: bytes, signer: Signer) -> bytes:
    """An envelope with one signature over an in-toto statement, one line of JSON.

    Raises `Unreachable` when what holds the key does not sign.
    """
    from securesystemslib.dsse import Envelope

    envelope: Any = Envelope(payload, PAYLOAD_TYPE, {})
    try:
        signature = envelope.sign(signer)
        if not _HEX.fullmatch(signature.signature):  # Sigstore's signer gives base64, and the envelope takes hex alone
            signature.signature = base64.b64decode(signature.signature, validate=True).hex()
        document = envelope.to_dict()
    except Exception as error:  # each signer has errors of its own
        raise Unreachable(f"the result could not be signed: {error}",
                          advice="`executor key show` tries the key that signs here") from error  # fmt: skip
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


class _Signature(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    keyid: str = Field(max_length=256)
    sig: str


class _Shape(BaseModel):
    """An envelope as it must look before the library is given it."""

    model_config = ConfigDict(strict=True, extra="ignore")
    payload: str
    payloadType: str  # noqa: N815
    signatures: list[_Signature] = Field(min_length=1, max_length=MOST_SIGNATURES)


class BadEnvelope(ValueError):
    """Bytes that are no envelope of an in-toto statement; says why."""


@dataclass(frozen=True)
class Opened:
    """An envelope that was read; nothing in it is believed yet."""

    envelope: Any
    """The library's own."""
    statement: dict[str, Any]
    """What it says, whoever says it."""

    @property
    def keyids(self) -> tuple[str, ...]:
        """Ids of the keys that are said to have signed it."""
        return tuple(self.envelope.signatures)

    def names(self, key: Key) -> bool:
        """Whether it is said to be signed by a key."""
        return key.keyid in self.envelope.signatures

    def signed_by(self, key: Key) -> bool:
        """Whether a signature of this key is in it, and is right."""
        from securesystemslib.exceptions import VerificationError

        try:
            self.envelope.verify([key], 1)
        except VerificationError:
            return False
        return True


def opened(data: bytes) -> Opened:
    """Read an envelope that anyone may have written; raises `BadEnvelope`."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error

    try:
        shape = _Shape.model_validate_json(data)
        envelope = Envelope.from_dict(shape.model_dump())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadEnvelope(f"not an envelope: {where}: {first['msg']}".replace(": : ", ": ")) from error
    except (ValueError, KeyError, TypeError, Error) as error:
        raise BadEnvelope(f"not an envelope: {error}") from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BadEnvelope(f"its payload is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
    return Opened(envelope, _statement(envelope.payload))


def _statement(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadEnvelope("its payload is not JSON") from error
    if not isinstance(document, dict):
        raise BadEnvelope("its payload is not a statement")
    return document
