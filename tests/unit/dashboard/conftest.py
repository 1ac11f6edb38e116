"""The dashboard over a store in memory, asked as a browser asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from executor.dashboard.app import make_app
from executor.dashboard.desk import Desk
from executor.evidence.record import Blob, Comparison, Hints, Record
from executor.facts import OutputFile, Role
from executor.spec.canonical import Digest, spec_hash
from executor.steps.finding.indexing import Library
from executor.steps.home import Home
from executor.steps.signed.keys import KeyRing
from tests.fakes import NOON, MemoryStore
from tests.unit.evidence.samples import record
from tests.unit.steps.finding.test_indexing import put

TOKEN = "a-token-that-nobody-guesses"
LOG = b"one\n\x1b[31mred\x1b[0m \xe2\x80\xae<script>alert(1)</script>\n 10%\r 90%\rdone\n"
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


class World:
    """A store with runs, and its dashboard."""

    def __init__(self, root: Path) -> None:
        self.store, self.home, self.told, self.numbers = MemoryStore(), Home(root), list[str](), 0
        library = Library.of(self.store, self.home, self.told.append)
        self.desk = Desk(library, lambda: NOON, self.home, KeyRing(self.home.keys, {}))
        self.app = make_app(self.desk, TOKEN)

    def ran(self, *files: tuple[str, str], seed: int = 1, name: str = "x", **changes: Any) -> Record:
        """One more run, with its files in the store."""
        self.numbers += 1
        identity = {"seed": seed, "params": {"lr": 0.1}, "gpu": None, "image": f"sha256:{7:064x}", "code": "c" * 40,
                    "data": {"train": f"sha256:{8:064x}"}, "command": ["python"],
                    "cpu": {"threads": 1, "isa": "avx2"}}  # fmt: skip
        outputs = tuple(self.file(path, text.encode()) for path, text in files)
        log = Blob(digest=self.store.put_bytes(LOG), size=len(LOG))
        values = {"spec": identity, "spec_hash": spec_hash(identity), "attempt": f"a{self.numbers}", "log": log,
                  "hints": Hints(name=name, image="localhost/x"), "metrics": {"loss": 0.5 * seed}}  # fmt: skip
        made = record(*outputs, **values | changes)
        put(self.store, made)
        return made

    def file(self, path: str, data: bytes) -> OutputFile:
        """A file that is in the store."""
        role: Role = "metrics" if path.endswith(".jsonl") else "file"
        return OutputFile(path=path, digest=self.store.put_bytes(data), size=len(data), role=role)

    def again(self, verdict: str, **how: Any) -> Record:
        return self.ran(comparison=Comparison(reference="a1", verdict=verdict, reason="It says so."), rerun=True, **how)

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", token: str = TOKEN
    ) -> httpx.Response:
        """What the app answers."""
        own = {"authorization": f"Bearer {token}"} if token else {}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await client.request(method, url, headers={**own, **(headers or {})})

        return asyncio.run(ask())

    def page(self, url: str) -> str:
        """A page that is shown."""
        answer = self.get(url)
        assert answer.status_code == 200, answer.text
        return answer.text


def url_of(made: Record) -> str:
    return f"/runs/{made.spec_hash.hex}/{made.attempt}"


def digest_of(made: Record, path: str) -> Digest:
    return next(file.digest for file in made.outputs if file.path == path)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
