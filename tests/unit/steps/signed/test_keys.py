import json
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from securesystemslib.signer._crypto_signer import CryptoSigner

from executor.errors import NotFound, UsageError
from executor.steps.signed import signing
from executor.steps.signed.keys import KEY_LIMIT, KeyRing, NamedKey, fetch, offer, offered
from executor.store import layout
from tests.fakes import MemoryStore


def public() -> bytes:
    """A public key of somebody else."""
    return signing.public_of(signing.new_private_key(), "their.pem")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", {})


# The key that signs -------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_nobody_else_can_read_it(ring: KeyRing) -> None:
    own = ring.own
    assert KeyRing(ring.folder, {}).own == own
    assert [(path.name, path.stat().st_mode & 0o777) for path in ring.folder.iterdir()] == [("own.pem", 0o600)]
    assert ring.folder.stat().st_mode & 0o777 == 0o700
    assert signing.opened(signing.signed(b"{}", ring.signer)).signed_by(own.key)


def test_whatever_mask_the_user_has_the_key_is_closed(ring: KeyRing) -> None:
    before = os.umask(0)
    try:
        assert ring.own
    finally:
        os.umask(before)
    assert (ring.folder / "own.pem").stat().st_mode & 0o777 == 0o600
    assert ring.folder.stat().st_mode & 0o777 == 0o700


def _own_id(folder: Path) -> str:
    return KeyRing(folder, {}).own.id


def test_processes_that_make_it_at_once_have_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(6) as pool:
        ids = pool.map(_own_id, [tmp_path / "keys"] * 24, chunksize=1)
    assert set(ids) == {_own_id(tmp_path / "keys")}
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["own.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_not_used(ring: KeyRing, mode: int) -> None:
    assert ring.own
    (ring.folder / "own.pem").chmod(mode)
    with pytest.raises(UsageError, match="others may use this private key") as error:
        _ = KeyRing(ring.folder, {}).signer
    assert "chmod 600" in error.value.advice


def test_a_key_file_that_is_broken_is_told_and_kept(ring: KeyRing) -> None:
    assert ring.own
    (ring.folder / "own.pem").write_bytes(b"broken")
    with pytest.raises(UsageError, match="not a private key"):
        _ = KeyRing(ring.folder, {}).own
    assert (ring.folder / "own.pem").read_bytes() == b"broken"


def test_to_look_who_is_trusted_makes_no_key(ring: KeyRing) -> None:
    assert ring.trusted() == []
    assert not ring.folder.exists()


# A signer that the environment names --------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path) -> Mapping[str, str]:
    made = CryptoSigner.generate_ecdsa()
    (tmp_path / "private.pem").write_bytes(made.private_bytes)
    (tmp_path / "public.json").write_text(json.dumps({"keyid": made.public_key.keyid, **made.public_key.to_dict()}))
    return {"EXECUTOR_SIGNER": f"file2:{tmp_path}/private.pem", "EXECUTOR_SIGNER_KEY": f"{tmp_path}/public.json"}


def test_the_environment_names_who_signs(tmp_path: Path, named: Mapping[str, str]) -> None:
    ring = KeyRing(tmp_path / "keys", named)
    assert ring.elsewhere
    assert signing.opened(signing.signed(b"{}", ring.signer)).signed_by(ring.own.key)
    assert ring.trusted() == [ring.own]
    assert not ring.folder.exists()


def test_who_gives_the_signing_to_another_trusts_what_was_signed_before(
    ring: KeyRing, named: Mapping[str, str]
) -> None:
    before = ring.own
    after = KeyRing(ring.folder, named)
    assert [(one.name, one.id) for one in after.trusted()] == [("signer", after.own.id), ("own", before.id)]


def test_a_signer_without_its_public_key_is_told(tmp_path: Path, named: Mapping[str, str]) -> None:
    ring = KeyRing(tmp_path / "keys", {"EXECUTOR_SIGNER": named["EXECUTOR_SIGNER"]})
    with pytest.raises(UsageError, match="EXECUTOR_SIGNER_KEY is not"):
        _ = ring.signer


def test_a_signer_that_asks_for_a_pin_is_given_it(
    tmp_path: Path, named: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def signer_at(uri: str, key: signing.Key, secret: signing.Secret) -> signing.Signer:
        asked.append(secret("PIN"))
        return CryptoSigner.generate_ed25519()

    monkeypatch.setattr(signing, "signer_at", signer_at)
    assert KeyRing(tmp_path, {**named, "EXECUTOR_SIGNER_SECRET": "1234"}).signer
    with pytest.raises(UsageError, match="asks for its PIN"):
        _ = KeyRing(tmp_path, named).signer
    assert asked == ["1234"]


# Keys that are trusted ----------------------------------------------------------------------------------------------


def test_a_key_is_trusted_until_it_is_forgotten(ring: KeyRing) -> None:
    text = public()
    assert ring.trust("ada", text, "ada.pem").text == text
    assert [one.name for one in ring.trusted()] == ["ada"]
    assert ring.own
    assert [one.name for one in ring.trusted()] == ["own", "ada"]
    ring.forget("ada")
    assert [one.name for one in ring.trusted()] == ["own"]
    with pytest.raises(NotFound, match="ada"):
        ring.forget("ada")


def test_a_name_stands_for_one_key(ring: KeyRing) -> None:
    text = public()
    ring.trust("ada", text, "ada.pem")
    ring.trust("ada", text, "ada.pem")
    with pytest.raises(UsageError, match="another key is trusted under this name"):
        ring.trust("ada", public(), "ada.pem")
    assert ring.trusted()[0].text == text


@pytest.mark.parametrize("name", ["", "own", "signer", "../ada", ".hidden", "a b", "a" * 65, "a/b"])
def test_a_name_that_is_none_is_refused(ring: KeyRing, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a key"):
        ring.trust(name, public(), "ada.pem")
    with pytest.raises(NotFound):
        ring.forget(name)


def test_what_is_no_key_is_not_trusted(ring: KeyRing) -> None:
    with pytest.raises(UsageError, match=r"ada\.pem: not a public key"):
        ring.trust("ada", b"x", "ada.pem")
    assert not ring.folder.exists()


def test_a_file_that_somebody_put_there_counts_by_its_name(ring: KeyRing) -> None:
    folder = ring.folder / "trusted"
    folder.mkdir(parents=True)
    for name in ("ada.pem", "bob", ".part-x"):
        (folder / name).write_bytes(public())
    assert [one.name for one in ring.trusted()] == ["ada", "bob"]
    (folder / "carl.pem").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"carl\.pem: not a public key"):
        ring.trusted()
    (folder / "carl.pem").write_bytes(b" " * (KEY_LIMIT + 1))
    with pytest.raises(UsageError, match="larger than"):
        ring.trusted()


def test_a_key_in_json_is_trusted_as_such(ring: KeyRing, named: Mapping[str, str]) -> None:
    text = Path(named["EXECUTOR_SIGNER_KEY"]).read_bytes()
    trusted = ring.trust("ada", text, "ada.json")
    assert ring.trusted() == [trusted]
    assert [path.name for path in (ring.folder / "trusted").iterdir()] == ["ada.json"]


# Keys in a store ----------------------------------------------------------------------------------------------------


def test_a_key_is_found_in_the_store_by_its_id(ring: KeyRing) -> None:
    store = MemoryStore()
    offer(store, ring.own)
    offer(store, ring.own)
    assert list(store.contents) == [f"{layout.KEYS}/{ring.own.id}.pem"]
    assert offered(store, ring.own.id[:6]) == [ring.own.id]
    found = fetch(store, ring.own.id)
    assert found is not None
    assert (found.text, found.name) == (ring.own.text, ring.own.id[:12])


def test_a_key_that_was_exchanged_in_the_store_is_none(ring: KeyRing) -> None:
    store = MemoryStore()
    key = f"{layout.KEYS}/{ring.own.id}.pem"
    for data in (
        public(),
        b"x",
        b" " * (KEY_LIMIT + 1),
        b'{"keyid": "%s", "keytype": "ed25519"}' % ring.own.id.encode(),
    ):
        store.contents[key] = data
        assert fetch(store, ring.own.id) is None


def test_a_key_whose_id_is_only_said_is_not_put_into_the_store(tmp_path: Path, named: Mapping[str, str]) -> None:
    store, ring = MemoryStore(), KeyRing(tmp_path, named)
    offer(store, ring.own)
    assert store.contents == {}
    text = Path(named["EXECUTOR_SIGNER_KEY"]).read_bytes()
    store.contents[f"{layout.KEYS}/{ring.own.id}.pem"] = text
    assert fetch(store, ring.own.id) is None


@pytest.mark.parametrize("keyid", ["", "../../runs/x", "a" * 63, "A" * 64, "a" * 64])
def test_an_id_that_names_no_key_asks_for_nothing_else(keyid: str) -> None:
    store = MemoryStore()
    assert fetch(store, keyid) is None
    assert store.requests in ([], [f"open {layout.KEYS}/{'a' * 64}.pem"])


def test_other_names_in_the_store_are_no_keys() -> None:
    store = MemoryStore()
    store.contents = dict.fromkeys((f"{layout.KEYS}/x.pem", f"{layout.KEYS}/{'a' * 64}.txt"), b"")
    assert offered(store, "") == []


def test_a_named_key_is_read_with_its_file(ring: KeyRing) -> None:
    with pytest.raises(UsageError, match=r"file\.pem: not a public key"):
        NamedKey.read("ada", b"x", "file.pem")
