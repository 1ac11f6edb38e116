from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor.cli import wiring
from executor.dashboard import serve
from executor.steps.home import Home
from tests.fakes import MemoryStore
from tests.unit.cli.conftest import Run, run  # noqa: F401 - a fixture


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser was started with; the app is served to nobody."""
    found: list[str] = []

    def served(app: Any, port: int, ready: Callable[[int], None]) -> None:
        ready(port or 4321)

    monkeypatch.setattr(serve, "serve", served)
    monkeypatch.setattr(webbrowser, "open", found.append)
    monkeypatch.setattr(wiring, "store", lambda url: MemoryStore())
    monkeypatch.setattr(wiring, "home", lambda: Home(tmp_path))
    return found


def test_the_address_is_printed_and_a_browser_gets_another_one(run: Run, opened: list[str]) -> None:  # noqa: F811
    ran = run("dashboard")
    assert ran.out.startswith("http://127.0.0.1:4321/?token=")
    (address,) = opened
    assert len(address) == len(ran.out.strip())
    assert address != ran.out.strip()  # a ticket


def test_no_browser_is_opened_where_none_is_wanted(run: Run, opened: list[str]) -> None:  # noqa: F811
    first, second = (run("dashboard", "--no-open", "--port", "99", "--json").json["url"] for _ in range(2))
    assert first.startswith("http://127.0.0.1:99/?token=")
    assert first != second
    assert opened == []


def test_what_is_not_installed_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    for name in [name for name in sys.modules if name.startswith("executor.dashboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    ran = run("dashboard", "--no-open")
    assert (ran.code, "pip install 'repro-executor[dashboard]'" in ran.err) == (2, True)
