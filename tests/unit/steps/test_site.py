from dataclasses import replace

import pytest

from executor.engine.interface import Engine
from executor.spec.canonical import Digest
from executor.steps.site import Silent, Stop
from tests.fakes import FakeEngine
from tests.unit.sites import World

HASH = Digest.of(b"a spec")


def test_the_first_wish_is_acted_on_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        Stop().ask()


def test_a_wish_is_put_off_once() -> None:
    stop = Stop()
    with stop.put_off() as event:
        assert not event.is_set()
        stop.ask()
        assert event.is_set()
        with pytest.raises(KeyboardInterrupt):
            stop.ask()
    with pytest.raises(KeyboardInterrupt):
        stop.ask()


def test_it_is_no_longer_put_off_when_the_run_fails() -> None:
    stop = Stop()
    with pytest.raises(ZeroDivisionError), stop.put_off():
        raise ZeroDivisionError
    assert not stop.deferred


def test_the_engine_is_connected_once_and_only_when_it_is_needed(world: World) -> None:
    connected: list[Engine] = []

    def connect() -> Engine:
        connected.append(FakeEngine())
        return connected[-1]

    site = replace(world.site, connect=connect)
    assert connected == []
    assert site.engine is site.engine
    assert len(connected) == 1


def test_log_segments_go_to_the_store(world: World) -> None:
    publish = world.site.live_log(HASH, "a")
    publish(0, b"one")
    publish(1, b"two")
    assert list(world.store.log_segments(HASH, "a")) == [b"one", b"two"]


def test_a_segment_that_cannot_be_published_is_told_and_stops_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.store.down = True
    world.site.live_log(HASH, "a")(3, b"lost")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: the live log is not published segment=3 ")


def test_whoever_watches_nothing_needs_no_terminal() -> None:
    nobody = Silent()
    nobody.stage("a")
    nobody.progress("a", 1, 2)
    nobody.log(b"a")
