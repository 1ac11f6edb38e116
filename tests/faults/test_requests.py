"""Each request of a submit meets each kind of fault once: the submit succeeds all the same, and nothing is lost.

Where the store stays away, the result waits on this machine, and `publish --pending` brings it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product

import pytest

from tests.faults.conftest import MakeWorld, Row
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]

PUTS: Mapping[str, str] = {
    "spec": r"/spec\.json",
    "blob": r"/v1/blobs/",
    "lease": r"/lease\.json",
    "intent": r"/intent\.json",
    "provenance": r"/provenance\.json",
    "record": r"/record\.json",
    "reference": r"/reference\.json",
    "log": r"/log/",
}
"""What a submit writes, by the key."""
KINDS = ("lose", "503", "reset", "flip", "cut")
EVERY = list(product(PUTS, KINDS))
QUICK = [("blob", "flip"), ("record", "lose"), ("reference", "lose"), ("reference", "503"), ("lease", "lose")]


def first(method: str, pattern: str, fault: str, times: int, row: Row) -> Callable[[str, str], str]:
    """A plan: the first `times` requests of that kind meet the fault."""
    left = [times]

    def plan(verb: str, path: str) -> str:
        if verb != method or not left[0] or not re.search(pattern, path):
            return ""
        left[0] -= 1
        row.injected(f"{fault} of a {method}")
        return fault

    return plan


@pytest.mark.parametrize(("what", "fault"), EVERY if ALL else QUICK)
def test_one_put_fails(what: str, fault: str, s3_server: S3Server, make: MakeWorld, row: Row) -> None:
    with FaultProxy(s3_server.endpoint, first("PUT", PUTS[what], fault, 1, row)) as proxy:
        world = make(proxy=proxy)
        assert row.faults == {}
        done = world.submit(world.spec)
        assert (done.code, done.json["status"]) == (0, "succeeded"), done
        assert row.faults, "the fault was not met"
        again = world.submit(world.spec)
        assert (again.code, again.json["cached"]) == (0, True), again
    world.check()


@pytest.mark.parametrize("fault", ("lose", "503", "reset", "rot", "cut") if ALL else ("cut", "rot"))
def test_an_answer_to_a_read_fails(fault: str, s3_server: S3Server, make: MakeWorld, row: Row) -> None:
    with FaultProxy(s3_server.endpoint, first("GET", r"/v1/runs/.*json", fault, 1, row)) as proxy:
        world = make(proxy=proxy)
        assert world.submit(world.spec).code == 0
        assert world.submit(world.spec).json["cached"] is True
        assert row.faults
    world.check()


@pytest.mark.parametrize("what", ["blob", "record", "reference"] if ALL else ["record"])
@pytest.mark.parametrize("fault", ["503", "403", "lose"] if ALL else ["503"])
def test_the_store_stays_away_when_the_run_has_ended(
    what: str, fault: str, s3_server: S3Server, make: MakeWorld, row: Row
) -> None:
    away = [True]
    seen = first("PUT", PUTS[what], fault, 1000, row)

    def plan(verb: str, path: str) -> str:
        return seen(verb, path) if away[0] else ""

    with FaultProxy(s3_server.endpoint, plan) as proxy:
        world = make(proxy=proxy)
        done = world.submit(world.spec)
        assert done.code == 6, done
        assert done.json["error"] == "Unpublished"
        assert "publish --pending" in done.err
        still = world.run("publish", "--pending", "--json")
        assert still.code == 6 or fault == "lose", still  # what was lost was the answer alone
        away[0] = False
        brought = world.run("publish", "--pending", "--json")
        assert brought.code == 0, brought
        again = world.submit(world.spec)
        assert (again.code, again.json["cached"], again.json["attempt"]) == (0, True, done.json["attempt"]), again
    world.check()
