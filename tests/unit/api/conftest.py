from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from executor import here
from executor.api.client import Client
from executor.steps.site import Silent, Site
from tests.unit.sites import World


@pytest.fixture
def told() -> list[str]:
    """What the client said on its way."""
    return []


@pytest.fixture
def lab(world: World, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Client:
    """A client of the world."""

    def site(place: Any, at: Any, reporter: Any = None, secrets: Any = ()) -> Site:
        return replace(world.site, reporter=reporter or Silent())

    monkeypatch.setattr(here, "site", site)
    monkeypatch.setattr(here, "now", world.now)
    monkeypatch.setattr(here, "submitter", lambda named: named or "ada")
    return Client(world.store, world.site.home, told.append)
