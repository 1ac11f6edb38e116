import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import SSlibKey
from securesystemslib.signer._signature import Signature
from securesystemslib.signer._signer import SIGNER_FOR_URI_SCHEME

from executor.errors import Unreachable, UsageError
from executor.steps.signed import signing
from executor.steps.signed.signing import BadEnvelope, opened, public_of, read_key, signed, signer_at, signer_of

PRIVATE, OTHER = signing.new_private_key(), signing.new_private_key()
KEY, OTHER_KEY = (read_key(public_of(private, "own.pem"), "own.pem") for private in (PRIVATE, OTHER))
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'
ENVELOPE = signed(STATEMENT, signer_of(PRIVATE, "own.pem"))


def no_secret(name: str) -> str:
    raise AssertionError(f"asked for {name}")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The envelope with a change."""
    document = json.loads(ENVELOPE)
    change(document)
    return json.dumps(document).encode()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Envelopes ----------------------------------------------------------------------------------------------------------


def test_what_was_signed_is_read_and_the_key_that_signed_is_told_from_others() -> None:
    found = opened(ENVELOPE)
    assert found.statement == json.loads(STATEMENT)
    assert found.keyids == (KEY.keyid,)
    assert (found.names(KEY), found.names(OTHER_KEY)) == (True, False)
    assert (found.signed_by(KEY), found.signed_by(OTHER_KEY)) == (True, False)


def test_signing_again_gives_equal_bytes_on_one_line() -> None:
    assert signed(STATEMENT, signer_of(PRIVATE, "own.pem")) == ENVELOPE
    assert ENVELOPE.count(b"\n") == 1
    assert ENVELOPE.endswith(b"\n")


def test_the_library_alone_verifies_it() -> None:
    envelope = Envelope.from_dict(json.loads(ENVELOPE))
    key = SSlibKey(KEY.keyid, "ed25519", "ed25519", {"public": vars(KEY)["keyval"]["public"]})
    assert list(envelope.verify([key], 1)) == [KEY.keyid]
    assert envelope.payload_type == "application/vnd.in-toto+json"


@pytest.mark.parametrize("what", ["payload", "sig"])
@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_flipped_bit_is_no_longer_signed(what: str, at: int) -> None:
    document = json.loads(ENVELOPE)
    holder = document if what == "payload" else document["signatures"][0]
    data = bytearray(base64.b64decode(holder[what]))
    data[at] ^= 1
    holder[what] = text(bytes(data))
    try:
        assert not opened(json.dumps(document).encode()).signed_by(KEY)
    except BadEnvelope:
        assert what == "payload"  # it is no JSON any more


def test_a_signature_of_another_under_our_key_id_is_not_ours() -> None:
    theirs = json.loads(signed(STATEMENT, signer_of(OTHER, "own.pem")))["signatures"][0]["sig"]
    found = opened(changed(lambda document: document["signatures"][0].update(sig=theirs)))
    assert (found.names(KEY), found.signed_by(KEY)) == (True, False)


def test_of_several_signatures_each_is_told_by_its_own_key() -> None:
    theirs = json.loads(signed(STATEMENT, signer_of(OTHER, "own.pem")))["signatures"]
    junk = {"keyid": "junk", "sig": text(b"junk")}
    found = opened(changed(lambda document: document.update(signatures=[junk, *theirs, *document["signatures"]])))
    assert found.keyids == ("junk", OTHER_KEY.keyid, KEY.keyid)
    assert (found.signed_by(KEY), found.signed_by(OTHER_KEY)) == (True, True)


def test_what_others_add_to_an_envelope_is_no_matter() -> None:
    assert opened(changed(lambda document: document.update(news=[1]))).signed_by(KEY)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an envelope"),
        (b"\xff\xfe", "not an envelope"),
        (b"[]", "not an envelope"),
        (b"{}", "not an envelope: payload"),
        (b"[" * 100_000, "not an envelope"),
        (ENVELOPE[:-20], "not an envelope"),
        (changed(lambda document: document.pop("payloadType")), "payloadType"),
        (changed(lambda document: document.update(payload=7)), "payload"),
        (changed(lambda document: document.update(payload=None)), "payload"),
        (changed(lambda document: document.update(payload="§")), "not an envelope"),
        (changed(lambda document: document.update(payload="abc")), "not an envelope"),
        (changed(lambda document: document.update(payload=text(b"\xff"))), "not JSON"),
        (changed(lambda document: document.update(payload=text(b"[1]"))), "not a statement"),
        (changed(lambda document: document.update(payload=text(b"[" * 100_000))), "not JSON"),
        (changed(lambda document: document.update(payloadType="text/plain")), "'text/plain'"),
        (changed(lambda document: document.update(signatures=[])), "signatures"),
        (changed(lambda document: document.update(signatures={})), "signatures"),
        (changed(lambda document: document.update(signatures=[1])), "signatures.0"),
        (changed(lambda document: document.update(signatures=[{"sig": "aa"}])), "signatures.0.keyid"),
        (changed(lambda document: document.update(signatures=[{"keyid": 1, "sig": "aa"}])), "signatures.0.keyid"),
        (changed(lambda document: document.update(signatures=[{"keyid": "a" * 257, "sig": "aa"}])), "keyid"),
        (changed(lambda document: document.update(signatures=[{"keyid": "a", "sig": "§"}])), "not an envelope"),
        (changed(lambda document: document["signatures"].append(document["signatures"][0])), "Multiple"),
        (changed(lambda document: document.update(signatures=document["signatures"] * 17)), "at most 16"),
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_said_so(data: bytes, why: str) -> None:
    with pytest.raises(BadEnvelope, match=r"envelope|payload") as error:
        opened(data)
    assert why in str(error.value)


def test_a_signature_of_an_odd_length_is_wrong_and_no_failure() -> None:
    found = opened(changed(lambda document: document["signatures"][0].update(sig="")))
    assert not found.signed_by(KEY)


# Keys ---------------------------------------------------------------------------------------------------------------


def test_the_id_of_a_key_follows_from_it() -> None:
    assert len(KEY.keyid) == 64
    assert KEY.keyid != OTHER_KEY.keyid
    assert read_key(public_of(PRIVATE, "x"), "x").keyid == KEY.keyid


NO_KEYS = [
    b"", b"key", b"\xff", b"{}", b'{"keyid": 1}', b'{"keyid": "a", "keytype": "x"}', b"{" * 100_000,
    b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
]  # fmt: skip


@pytest.mark.parametrize("data", NO_KEYS)
def test_what_is_no_public_key_is_said_so(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"a\.pem: not a public key"):
        read_key(data, "a.pem")


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    with pytest.raises(UsageError, match="private key") as error:
        read_key(PRIVATE, "a.pem")
    assert "keep it to yourself" in error.value.advice


@pytest.mark.parametrize("data", [b"", b"x", public_of(PRIVATE, "a")])
def test_what_is_no_private_key_is_said_so(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"own\.pem: not a private key"):
        signer_of(data, "own.pem")


# Signers by URI -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["ed25519", "ecdsa", "rsa"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, SSlibKey]:
    """A private key in a file, and its public half."""
    made: CryptoSigner = getattr(CryptoSigner, f"generate_{request.param}")()
    path = tmp_path / "private.pem"
    path.write_bytes(made.private_bytes)
    return path, made.public_key


def test_any_signer_of_the_library_signs(pair: tuple[Path, SSlibKey]) -> None:
    path, key = pair
    signer = signer_at(f"file2:{path}", key, no_secret)
    assert opened(signed(STATEMENT, signer)).signed_by(key)


def test_a_key_in_json_is_read_as_its_library_writes_it(pair: tuple[Path, SSlibKey]) -> None:
    _, key = pair
    assert read_key(json.dumps({"keyid": key.keyid, **key.to_dict()}).encode(), "a.json") == key


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("nothing:x", "no such signer"),
        ("", "no such signer"),
        ("file2:/nowhere/private.pem", "not found"),
        (f"file2:{__file__}", "EXECUTOR_SIGNER"),
        ("sigstore:", "sigstore"),
        ("hsm:2", ""),
        ("gcpkms:projects/x", ""),
    ],
)
def test_a_signer_that_cannot_sign_is_told_with_what_there_is(uri: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        signer_at(uri, OTHER_KEY, no_secret)
    assert why in error.value.message
    assert all(scheme in error.value.advice for scheme in ("file2:", "hsm:", "awskms:", "sigstore:"))


def test_the_key_of_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "private.pem").write_bytes(PRIVATE)
    with pytest.raises(UsageError, match="does not match"):
        signer_at(f"file2:{tmp_path}/private.pem", OTHER_KEY, no_secret)


def test_a_signer_that_fails_is_out_of_reach() -> None:
    class Broken:
        def sign(self, payload: bytes) -> Any:
            raise ConnectionResetError("the device is gone")

    with pytest.raises(Unreachable, match="the device is gone"):
        signed(STATEMENT, Broken())


def test_a_signer_that_gives_base64_and_more_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Sigstore's does: a signature in base64, and beside it the bundle that proves it."""
    inner = CryptoSigner.generate_ed25519()

    class Bundled:
        @classmethod
        def from_priv_key_uri(cls, uri: str, key: SSlibKey, secret: signing.Secret) -> Any:
            return cls()

        def sign(self, payload: bytes) -> Signature:
            sig = bytes.fromhex(inner.sign(payload).signature)
            return Signature(inner.public_key.keyid, text(sig), {"bundle": {"mediaType": "x"}})

    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "bundled", Bundled)
    envelope = signed(STATEMENT, signer_at("bundled:", inner.public_key, no_secret))
    found = opened(envelope)
    assert found.signed_by(inner.public_key)
    assert found.envelope.to_dict() == json.loads(envelope)
    assert json.loads(envelope)["signatures"][0]["bundle"] == {"mediaType": "x"}


# Import -------------------------------------------------------------------------------------------------------------


def said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_library_is_imported_when_it_is_needed_and_can_be_had_before() -> None:
    code = (
        "import sys, threading\nfrom executor.steps.signed import signing\nprint('securesystemslib' in sys.modules)\n"
    )
    code += "signing.warm()\nfor thread in threading.enumerate()[1:]: thread.join()\n"
    code += "print('securesystemslib.dsse' in sys.modules)"
    assert said(code).split() == ["False", "True"]
