from pathlib import Path

import pytest

from executor.environment.doctor import CHECKS, TOOLS
from executor.errors import EngineUnreachable, UsageError
from executor.facts import EngineFacts, Finding
from executor.steps.doctor import examine
from executor.store.interface import Store
from tests.fakes import NOON, FakeEngine
from tests.unit.sites import World


def look(world: World, **missing: str | None) -> dict[str, Finding]:
    found = examine(world.engine, lambda: world.store, world.site.home, NOON,
                    lambda name: missing.get(name, f"/usr/bin/{name}"), lambda: "new")  # fmt: skip
    own = [one for one in found if not one.field.startswith("store.")]
    assert [one.field for one in own] == [*CHECKS, *(f"tool.{name}" for name in TOOLS)]
    return {one.field: one for one in found}


def test_a_machine_on_which_all_is_well(world: World) -> None:
    assert {one.severity for one in look(world).values()} == {"info"}


def test_an_engine_that_does_not_answer_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(_: FakeEngine) -> EngineFacts:
        raise EngineUnreachable("nothing at /var/run/docker.sock", advice="start it")

    monkeypatch.setattr(FakeEngine, "observe", observe)
    one = look(world)["engine"]
    assert (one.severity, one.observed, one.advice) == ("refuse", "nothing at /var/run/docker.sock", "start it")


def test_a_store_that_does_not_answer_is_a_finding(world: World) -> None:
    world.store.down = True
    assert look(world)["store"].severity == "refuse"


def test_a_store_that_cannot_be_opened_is_a_finding(world: World) -> None:
    def store() -> Store:
        raise UsageError("'x' is not the URL of a store", advice="write file:…")

    found = examine(world.engine, store, world.site.home, NOON, lambda _: None, lambda: "new")
    (one,) = (one for one in found if one.field == "store")
    assert (one.severity, one.observed) == ("refuse", "'x' is not the URL of a store")


def test_what_the_store_can_do_is_tried_one_by_one(world: World) -> None:
    assert [field for field in look(world) if field.startswith("store.")] == [
        "store.create", "store.race", "store.swap", "store.listing",
    ]  # fmt: skip
    world.store._conditional = False
    found = look(world)
    assert (found["store"].severity, found["store.create"].severity) == ("info", "refuse")
    assert world.store.contents == {}


def test_a_missing_tool_is_a_finding(world: World) -> None:
    assert look(world, git=None)["tool.git"].severity == "refuse"


def test_nothing_is_made_on_the_machine(world: World, tmp_path: Path) -> None:
    look(world)
    assert not world.site.home.root.exists()
