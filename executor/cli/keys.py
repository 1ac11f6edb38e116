"""`key`: the key that signs results here, and the public keys of others that are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli.output import emit, say, shared, show, table
from executor.errors import CorruptObject, NotFound, Untrusted, UsageError

if TYPE_CHECKING:
    from executor.steps.signed.keys import NamedKey
    from executor.store.interface import Store


@click.group("key")
def key_command() -> None:
    """The key that signs results here, and the keys of others that are trusted."""


@key_command.command("show")
@shared
def show_command(store: str | None, as_json: bool) -> int:
    """Print the public key that signs here (PEM), and its id; a key is made when there is none."""
    from executor.cli.wiring import keys

    ring = keys()
    own, _ = ring.own, ring.signer
    if as_json:
        emit(_view(own) | {"public": own.text.decode()})
    else:
        show(own.text.decode().rstrip())
        say(f"key id {own.id}: whoever trusts results that are signed here compares it, and runs `executor key trust`")
    return 0


@key_command.command("ls")
@shared
def ls_command(store: str | None, as_json: bool) -> int:
    """List the keys that are trusted here; `own` is the one that signs."""
    from executor.cli.wiring import keys

    found = keys().trusted()
    if as_json:
        emit([_view(one) for one in found])
    elif found:
        show(table([(one.name, one.id, one.key.keytype) for one in found], ("NAME", "KEY ID", "TYPE")))
    else:
        say("no key yet; the first run makes one, `executor key trust` adds those of others")
    return 0


@key_command.command("trust")
@click.argument("key", metavar="FILE|KEY-ID")
@click.option("--name", help="What to call it; the name of the file, or the start of the key id, by default.")
@click.option("--fingerprint", metavar="KEY-ID", help="The whole key id, as its owner's `executor key show` says it.")
@shared
def trust_command(key: str, name: str | None, fingerprint: str | None, store: str | None, as_json: bool) -> int:
    """Trust a public key: from a file, or from the store by its id, which you have from its owner."""
    from executor.cli.wiring import keys
    from executor.cli.wiring import store as open_store
    from executor.steps.signed.keys import SUFFIXES, NamedKey, read_file

    path = Path(key)
    if path.is_file():
        label = path.stem if path.suffix in SUFFIXES else path.name
        found = NamedKey.read(name or label, read_file(path), key)
        if fingerprint is not None and found.id != fingerprint.lower():
            raise Untrusted(f"{key} has the id {found.id}, not {fingerprint}", advice="ask the owner of the key again")
    else:
        found = _from_store(open_store(store), key.lower(), fingerprint, name)
    trusted = keys().trust(found.name, found.text, key)
    if as_json:
        emit(_view(trusted))
    else:
        show(f"{trusted.name}  {trusted.id}")
        say(f"results that this key signed are trusted here; `executor key forget {trusted.name}` ends it")
    return 0


@key_command.command("forget")
@click.argument("name")
@shared
def forget_command(name: str, store: str | None, as_json: bool) -> int:
    """Trust the key of this name no longer."""
    from executor.cli.wiring import keys

    keys().forget(name)
    if as_json:
        emit({"name": name})
    else:
        say(f"{name} is no longer trusted")
    return 0


def _view(one: NamedKey) -> dict[str, str]:
    return {"name": one.name, "keyid": one.id, "type": one.key.keytype}


def _from_store(place: Store, start: str, fingerprint: str | None, name: str | None) -> NamedKey:
    """A key of the store, which anyone may have put there: only its whole id, typed by the user, says which."""
    from executor.steps.signed.keys import KEYID, fetch, offered

    if len(start) < 6 or not KEYID.fullmatch(start.ljust(64, "0")):
        raise UsageError(
            f"{start!r} is neither a file nor the start of a key id", advice="give 6 of its digits or more"
        )
    ids = offered(place, start)
    if len(ids) != 1:
        what = f"{len(ids)} keys begin so" if ids else "no key of this id"
        raise NotFound(f"{start}: {what} in {place.url}", advice="ask the owner for the file, or the whole id")
    typed = (fingerprint or start).lower()
    if len(typed) < len(ids[0]):
        raise UsageError(f"{start}: the store has a key {ids[0]}, and anyone may have put it there",
                         advice="compare with what its owner's `executor key show` says, and type that: "
                         "--fingerprint KEY-ID")  # fmt: skip
    if typed != ids[0]:
        raise Untrusted(f"{start}: the store has {ids[0]}, not {typed}", advice="ask the owner of the key again")
    found = fetch(place, ids[0])
    if found is None:
        raise CorruptObject(f"{place.url}: key {ids[0]}", expected="the key of this id", observed="another, or no key")
    return type(found)(name or found.name, found.text, found.key)
