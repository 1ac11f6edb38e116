from dataclasses import replace

from executor.engine.redact import Secrets
from executor.facts import Outcome
from executor.steps.listen import listen
from executor.steps.workspace import open_workspace
from tests.fakes import NOON
from tests.unit.sites import World, a_spec

DONE = Outcome(exit_code=0, started=NOON, finished=NOON)


def test_the_log_goes_three_ways(world: World) -> None:
    spec = a_spec(metrics={"stdout": r"^loss (?P<loss>\S+)"})
    with open_workspace(world.site.home, "a") as space:
        with listen(spec, space, world.site) as listener:
            for piece in (b"loss 1\nlo", b"ss 0.5"):
                listener.write(piece)
        assert space.log.read_bytes() == b"loss 1\nloss 0.5"
        assert space.printed.read_bytes() == b'{"loss": 1.0}\n{"loss": 0.5}\n'
        assert b"".join(world.store.log_segments(spec.hash, "a")) == b"loss 1\nloss 0.5"
        outcome = listener.heard(DONE)
    assert (outcome.log_tail, outcome.log_dropped) == ("loss 1\nloss 0.5", 0)


def test_secrets_are_in_none_of_them(world: World) -> None:
    spec = a_spec(metrics={"stdout": r"(?P<key>\S+)$"}, secrets=["TOKEN"])
    site = replace(world.site, secrets=Secrets({"TOKEN": b"hunter2-hunter2\n", "OTHER": b"not of this spec"}))
    with open_workspace(site.home, "a") as space:
        with listen(spec, space, site) as listener:
            for piece in (b"not of this spec\nkey hunter2-", b"hunter2\nkey hunt"):
                listener.write(piece)
        outcome = listener.heard(DONE)
        shown = b"not of this spec\nkey [secret TOKEN]\nkey hunt"
        assert space.log.read_bytes() == world.watcher.printed == outcome.log_tail.encode() == shown
        assert b"".join(world.store.log_segments(spec.hash, "a")) == shown
        assert b"hunter2" not in space.printed.read_bytes()


def test_without_a_pattern_no_numbers_are_looked_for(world: World) -> None:
    with open_workspace(world.site.home, "a") as space:
        with listen(a_spec(), space, world.site) as listener:
            listener.write(b"loss 1\n")
        assert space.printed.read_bytes() == b""
