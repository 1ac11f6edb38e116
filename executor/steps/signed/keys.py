"""Keys in the executor's folder: the one that signs here, and the public keys of others that are trusted.

A key is trusted because its file lies here, under the name that the file has; a key in a store is where to find it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from executor.errors import NotFound, UsageError
from executor.steps.signed import signing
from executor.steps.signed.signing import Key, Signer
from executor.store import layout
from executor.store.interface import Store
from executor.store.transfer import read_at_most, write_whole

SIGNER, SIGNER_KEY, SIGNER_SECRET = "EXECUTOR_SIGNER", "EXECUTOR_SIGNER_KEY", "EXECUTOR_SIGNER_SECRET"
"""Environment variables: who signs (a signer URI), the file of its public key, and its PIN or passphrase."""
OWN, NAMED = "own", "signer"
"""What the folder's own key is called, and the one that the environment names in its place."""
KEY_LIMIT = 1 << 16
"""Bytes of the largest public key that is read."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
KEYID = re.compile(r"[0-9a-f]{64}")
SUFFIXES = (".pem", ".json")


@dataclass(frozen=True)
class NamedKey:
    """A public key, and what it is called here."""

    name: str
    text: bytes
    """PEM, or securesystemslib's JSON."""
    key: Key

    @property
    def id(self) -> str:
        """Its id; of a PEM key the sha256 over the key, 64 hex digits: also its fingerprint."""
        return self.key.keyid

    @classmethod
    def read(cls, name: str, text: bytes, where: str) -> NamedKey:
        """Read the text of a key; raises `UsageError`."""
        return cls(name, text, signing.read_key(text, where))


@dataclass(frozen=True)
class KeyRing:
    """The folder of keys."""

    folder: Path
    environment: Mapping[str, str]

    # The key that signs ---------------------------------------------------------------------------------------------

    @property
    def elsewhere(self) -> bool:
        """Whether the environment names who signs, in place of this folder."""
        return bool(self.environment.get(SIGNER))

    @cached_property
    def signer(self) -> Signer:
        """Who signs: what the environment names, or the folder's own key, which is made when there is none."""
        if uri := self.environment.get(SIGNER):
            return signing.signer_at(uri, self.own.key, self._secret)
        return signing.signer_of(self._private(), str(self._path))

    @cached_property
    def own(self) -> NamedKey:
        """The public half of the key that signs; makes the folder's own key when there is none."""
        if self.elsewhere:
            path = self.environment.get(SIGNER_KEY)
            if not path:
                raise UsageError(f"{SIGNER} is set and {SIGNER_KEY} is not",
                                 advice=f"name the file of its public key in {SIGNER_KEY}")  # fmt: skip
            return NamedKey.read(NAMED, read_file(Path(path)), path)
        return self._folders()

    def _folders(self) -> NamedKey:
        return NamedKey.read(OWN, signing.public_of(self._private(), str(self._path)), str(self._path))

    @property
    def _path(self) -> Path:
        return self.folder / "own.pem"

    def _private(self) -> bytes:
        """The private key; of several processes that make it at once one wins, and all have that one."""
        if not self._path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, io.BytesIO(signing.new_private_key()), if_absent=True, mode=0o600)
        if (mode := self._path.stat().st_mode) & 0o077:
            raise UsageError(f"{self._path}: others may use this private key (mode {mode & 0o777:o})",
                             advice="chmod 600; if someone may have it, remove it: a new one is made")  # fmt: skip
        return read_file(self._path)

    def _secret(self, name: str) -> str:
        if SIGNER_SECRET not in self.environment:
            raise UsageError(f"the signer asks for its {name}", advice=f"put it in {SIGNER_SECRET}")
        return self.environment[SIGNER_SECRET]

    # Keys that are trusted --------------------------------------------------------------------------------------------

    def trusted(self) -> list[NamedKey]:
        """Those that sign or signed here, then the others by name; raises `UsageError` for a file that is no key."""
        own = [self.own] if self.elsewhere else []
        own += [self._folders()] if self._path.exists() else []
        return own + [NamedKey.read(name, read_file(path), str(path)) for name, path in sorted(self._files())]

    def trust(self, name: str, text: bytes, where: str) -> NamedKey:
        """Trust a public key from now on, under a name; raises `UsageError` when the name is taken by another."""
        if not NAME.fullmatch(name) or name in (OWN, NAMED):
            raise UsageError(f"{name!r} cannot be the name of a key",
                             advice="letters, digits and `.-_@+`, at most 64, not `own` and not `signer`")  # fmt: skip
        named = NamedKey.read(name, text, where)
        if (known := dict(self._files()).get(name)) and read_file(known) != text:
            raise UsageError(f"{name}: another key is trusted under this name",
                             advice=f"use --name, or `executor key forget {name}` first")  # fmt: skip
        target = self._trusted / f"{name}{SUFFIXES[text.lstrip().startswith(b'{')]}"
        self._trusted.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(target, io.BytesIO(text), if_absent=True)
        return named

    def forget(self, name: str) -> None:
        """Trust a key no longer; raises `NotFound`."""
        found = dict(self._files())
        if name not in found:
            raise NotFound(f"{name}: no key is trusted under this name", advice="`executor key ls` lists them")
        found[name].unlink()

    @property
    def _trusted(self) -> Path:
        return self.folder / "trusted"

    def _files(self) -> Iterator[tuple[str, Path]]:
        if self._trusted.is_dir():
            for path in self._trusted.iterdir():
                if not path.name.startswith("."):
                    yield path.stem if path.suffix in SUFFIXES else path.name, path


def read_file(path: Path) -> bytes:
    """The bytes of a file that should hold a key; a `UsageError` when it is too large for one."""
    with path.open("rb") as stream:
        return read_at_most(stream, str(path), KEY_LIMIT)


# Keys in a store: where to find them, nothing more -------------------------------------------------------------------


def offer(store: Store, key: NamedKey) -> None:
    """Put a public key where others find it by its id; one whose id does not follow from it is not put."""
    if KEYID.fullmatch(key.id) and not key.text.lstrip().startswith(b"{"):
        store.create(f"{layout.KEYS}/{key.id}.pem", key.text)


def offered(store: Store, prefix: str) -> list[str]:
    """Ids of the keys in a store that begin so."""
    names = (one.key.rpartition("/")[2] for one in store.objects(f"{layout.KEYS}/{prefix}"))
    return sorted(name[:64] for name in names if KEYID.fullmatch(name[:64]) and name[64:] == ".pem")


def fetch(store: Store, keyid: str) -> NamedKey | None:
    """The key of an id as the store has it, and only if it is that key: who swaps it changes its id; else none."""
    if not KEYID.fullmatch(keyid):
        return None
    key = f"{layout.KEYS}/{keyid}.pem"
    with suppress(NotFound, UsageError):
        with store.open_object(key) as stream:
            text = read_at_most(stream, f"{store.url}/{key}", KEY_LIMIT)
        found = NamedKey.read(keyid[:12], text, key)
        return found if found.id == keyid and not text.lstrip().startswith(b"{") else None
    return None
