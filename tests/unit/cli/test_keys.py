from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.steps.signed import signing
from executor.steps.signed.keys import NamedKey
from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import World


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[Path, NamedKey]:
    """The public key of somebody else, in a file."""
    path = tmp_path / "ada.pem"
    path.write_bytes(signing.public_of(signing.new_private_key(), "x"))
    return path, NamedKey.read("ada", path.read_bytes(), "ada.pem")


def test_show_prints_the_key_that_signs_and_its_id(run: Run, wired: World) -> None:
    ran = run("key", "show")
    own = wired.site.keys.own
    assert (ran.code, ran.out.encode()) == (0, own.text)
    assert own.id in ran.err
    document = run("key", "show", "--json").json
    assert document == {"name": "own", "keyid": own.id, "type": "ed25519", "public": own.text.decode()}


def test_what_show_prints_is_what_trust_takes(run: Run, wired: World, tmp_path: Path) -> None:
    path = tmp_path / "mine.pem"
    path.write_text(run("key", "show").out)
    assert run("key", "trust", path, "--json").json["keyid"] == wired.site.keys.own.id


def test_show_tries_the_signer_that_is_named(run: Run, wired: World, monkeypatch: pytest.MonkeyPatch,
                                             theirs: tuple[Path, NamedKey]) -> None:  # fmt: skip
    monkeypatch.setenv("EXECUTOR_SIGNER", "file2:/nowhere")
    monkeypatch.setenv("EXECUTOR_SIGNER_KEY", str(theirs[0]))
    ran = run("key", "show", "--json")
    assert (ran.code, ran.json["error"]) == (2, "UsageError")


def test_keys_are_listed_trusted_and_forgotten(run: Run, wired: World, theirs: tuple[Path, NamedKey]) -> None:
    path, key = theirs
    empty = run("key", "ls")
    assert (empty.code, empty.out, run("key", "ls", "--json").json) == (0, "", [])
    assert "no key yet" in empty.err
    trusted = run("key", "trust", path)
    assert (trusted.code, trusted.out) == (0, f"ada  {key.id}\n")
    assert run("key", "ls", "--json").json == [{"name": "ada", "keyid": key.id, "type": "ed25519"}]
    assert run("key", "ls").out.splitlines()[1].split() == ["ada", key.id, "ed25519"]
    forgotten = run("key", "forget", "ada")
    assert (forgotten.code, forgotten.out) == (0, "")
    assert run("key", "ls", "--json").json == []
    assert run("key", "forget", "ada", "--json").json["error"] == "NotFound"


def test_a_key_can_be_given_another_name(run: Run, wired: World, theirs: tuple[Path, NamedKey]) -> None:
    assert run("key", "trust", theirs[0], "--name", "lab", "--json").json["name"] == "lab"
    assert run("key", "forget", "lab", "--json").json == {"name": "lab"}


def test_the_fingerprint_of_a_file_is_compared(run: Run, wired: World, theirs: tuple[Path, NamedKey]) -> None:
    path, key = theirs
    ran = run("key", "trust", path, "--fingerprint", "0" * 64, "--json")
    assert (ran.code, ran.json["error"]) == (5, "Untrusted")
    assert run("key", "ls", "--json").json == []
    assert run("key", "trust", path, "--fingerprint", key.id.upper()).code == 0


def offered(world: World, key: NamedKey) -> str:
    where = f"{layout.KEYS}/{key.id}.pem"
    world.store.contents[where] = key.text
    return where


def test_a_key_in_the_store_needs_its_whole_id(run: Run, wired: World, theirs: tuple[Path, NamedKey]) -> None:
    key = theirs[1]
    offered(wired, key)
    ran = run("key", "trust", key.id[:8])
    assert ran.code == 2
    assert f"the store has a key {key.id}, and anyone may have put it there" in ran.err
    assert "--fingerprint" in ran.err
    assert run("key", "trust", key.id[:8], "--fingerprint", key.id[:12]).code == 2
    assert run("key", "trust", key.id[:8], "--fingerprint", "f" * 64, "--json").json["error"] == "Untrusted"
    assert run("key", "ls", "--json").json == []
    assert run("key", "trust", key.id[:8], "--fingerprint", key.id).out == f"{key.id[:12]}  {key.id}\n"
    assert run("key", "trust", key.id, "--name", "ada", "--json").json["name"] == "ada"


def test_a_key_that_was_exchanged_in_the_store_is_not_trusted(
    run: Run, wired: World, theirs: tuple[Path, NamedKey]
) -> None:
    where = offered(wired, theirs[1])
    wired.store.contents[where] = signing.public_of(signing.new_private_key(), "x")
    ran = run("key", "trust", theirs[1].id, "--json")
    assert (ran.code, ran.json["error"]) == (5, "CorruptObject")


@pytest.mark.parametrize(("word", "error"), [("abc", "UsageError"), ("nowhere.pem", "UsageError"),
                                             ("abcdef", "NotFound"), ("../../x", "UsageError")])  # fmt: skip
def test_what_names_no_key_is_said_so(run: Run, wired: World, word: str, error: str) -> None:
    ran = run("key", "trust", word, "--json")
    assert (ran.code, ran.json["error"]) == (2, error)


@pytest.mark.parametrize("data", [b"", b"x", json.dumps({"keyid": 1}).encode(), signing.new_private_key()])
def test_a_file_that_holds_no_public_key_is_refused(run: Run, wired: World, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.pem"
    path.write_bytes(data)
    ran = run("key", "trust", path, "--json")
    assert (ran.code, ran.json["error"]) == (2, "UsageError")


def test_two_keys_that_begin_alike_are_not_guessed_between(run: Run, wired: World) -> None:
    for last in "01":
        wired.store.contents[f"{layout.KEYS}/{'a' * 63}{last}.pem"] = b""
    ran = run("key", "trust", "aaaaaa", "--json")
    assert (ran.code, ran.json["error"]) == (2, "NotFound")
    assert "2 keys begin so" in ran.json["message"]
