from __future__ import annotations

from functools import partial

import pytest

from executor.refill import rerun_lost
from executor.run import Options
from executor.spec.canonical import Digest
from executor.steps.keeping.repair import Refilled, Repaired, repair
from executor.store import layout
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
KEY = layout.blob(Digest.of(b"weights"))


def refilled(world: World) -> Repaired:
    return repair(world.site, [], None, partial(rerun_lost, world.site, Options(predict=False)))


@pytest.fixture
def ran(world: World) -> World:
    """Two attempts of one spec that need the same blob, which is lost."""
    world.submit(SPEC)
    world.rerun(SPEC)
    del world.store.contents[KEY]
    world.engine.plans.clear()
    return world


def test_a_lost_output_is_made_again_by_one_run_that_leaves_nothing_else(ran: World) -> None:
    before = dict(ran.store.contents)
    found = refilled(ran)
    assert found.refilled == [Refilled(KEY, f"a rerun of {SPEC.hash.hex[:12]}")]
    assert found.lost == []
    assert ran.store.contents.pop(KEY) == b"weights"
    assert ran.store.contents == before
    assert len(ran.engine.plans) == 1
    assert ran.left == []


def test_a_log_is_made_again_too(ran: World) -> None:
    log = ran.records(SPEC)[0].log
    assert log
    for key in [key for key in ran.store.contents if "/log/" in key or key == layout.blob(log.digest)]:
        del ran.store.contents[key]
    assert refilled(ran).lost == []
    assert len(ran.engine.plans) == 1


def test_an_output_that_comes_out_otherwise_stays_lost(ran: World) -> None:
    ran.program = Program(outputs={"model.pt": b"others!"})
    found = refilled(ran)
    assert (found.refilled, [fault.key for fault in found.lost]) == ([], [KEY])
    assert not ran.store.has_blob(Digest.of(b"others!"))


def test_a_damaged_output_is_replaced(ran: World) -> None:
    ran.store.contents[KEY] = b"WEIGHTS"
    assert refilled(ran).lost == []
    assert ran.store.contents[KEY] == b"weights"


def test_a_run_that_cannot_be_repeated_here_is_told_and_the_others_go_on(
    ran: World, capsys: pytest.CaptureFixture[str]
) -> None:
    other = a_spec(seed=2, image=f"registry.example.org/ml/torch@{Digest.of(b'another image')}")
    ran.engine.digests.add(Digest.of(b"another image"))
    ran.program = Program(outputs={"model.pt": b"others"})
    ran.submit(other)
    lost = layout.blob(Digest.of(b"others"))
    del ran.store.contents[lost]
    ran.engine.digests.remove(Digest.of(b"another image"))
    ran.program = Program()
    found = refilled(ran)
    assert [one.key for one in found.refilled] == [KEY]
    assert [fault.key for fault in found.lost] == [lost]
    assert "cannot be repeated here" in capsys.readouterr().err


def test_documents_are_no_reason_to_run_anything(world: World) -> None:
    world.submit(SPEC)
    world.engine.plans.clear()
    world.store.contents[layout.provenance(SPEC.hash, world.records(SPEC)[0].attempt)] = b"?"
    assert len(refilled(world).lost) == 1
    assert world.engine.plans == []
