from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from executor.cli import main, wiring
from executor.steps.site import Reporter, Silent, Site
from tests.ran import Ran
from tests.unit.sites import World

Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls the command line as a user does, in this process."""

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["executor", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def wired(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world behind the command line."""

    def site(url: str | None, reporter: Reporter | None = None, secrets: Sequence[str] = ()) -> Site:
        return replace(world.site, reporter=reporter or Silent(), secrets=wiring.secret_values(secrets))

    monkeypatch.setattr(wiring, "site", site)
    monkeypatch.setattr(wiring, "store", lambda url: world.store)
    monkeypatch.setattr(wiring, "engine", lambda: world.engine)
    monkeypatch.setattr(wiring, "home", lambda: world.site.home)
    monkeypatch.setattr(wiring, "now", world.now)
    return world
