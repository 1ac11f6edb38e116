from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from executor.evidence.divergence import Divergence
from executor.evidence.record import Comparison, Record
from executor.evidence.reproduced import Cell, Pair, crossing, kind, pairs
from executor.facts import ContainerFacts, Fingerprint, GpuFacts
from executor.spec.canonical import Digest
from tests.fakes import ENGINE, NOON
from tests.unit.evidence.samples import HOST, file, record


def ran(attempt: str, gpu: str = "", content: str = "1", *, spec: str = "a", day: int = 0, **changes: Any) -> Record:
    gpus = (GpuFacts(index=0, uuid="", name=gpu, memory=1),) if gpu else ()
    fingerprint = Fingerprint(host=HOST, engine=ENGINE, container=ContainerFacts(checked=True, gpus=gpus))
    values = {"spec": {"cpu": {"threads": 1, "isa": "avx2"}}, "spec_hash": Digest(spec * 64), "attempt": attempt,
              "fingerprint": fingerprint, "created": NOON + timedelta(days=day)}  # fmt: skip
    return record(file("a.pt", content), **values | changes)


def held(verdict: Any, reference: str = "r", divergence: Divergence | None = None) -> dict[str, Any]:
    return {"comparison": Comparison(reference=reference, verdict=verdict, reason="", divergence=divergence)}


def test_a_machine_is_its_gpus_or_else_its_cpu() -> None:
    assert (kind(ran("r", "H100")), kind(ran("r"))) == ("H100", "CPU")


@pytest.mark.parametrize("verdict", ["identical", "close", "different"])
def test_a_rerun_has_the_verdict_of_its_record(verdict: str) -> None:
    (pair,) = pairs([ran("r", "H100"), ran("n", "A100", "2", day=1, **held(verdict))])
    assert (pair.there, pair.here, pair.verdict) == ("H100", "A100", verdict)
    assert (pair.reference, pair.run) == (("a" * 64, "r"), ("a" * 64, "n"))


def test_a_run_is_held_against_the_reference_that_it_names() -> None:
    early, named, late = ran("e", "L4", day=0), ran("r", "H100", day=1), ran("n", "A100", day=2, **held("different"))
    found = {pair.run[1]: pair for pair in pairs([late, early, named])}
    assert (found["n"].reference[1], found["r"].reference[1]) == ("r", "e")


def test_another_spec_of_an_experiment_is_held_bit_for_bit_against_the_oldest() -> None:
    first = ran("r", "H100")
    (same,) = pairs([first, ran("n", "A100", spec="c", day=1)])
    (other,) = pairs([first, ran("n", "A100", "2", spec="c", day=1)])
    assert (same.verdict, other.verdict, other.divergence) == ("identical", "different", None)


def test_other_experiments_failures_and_what_was_varied_make_no_pair() -> None:
    first = ran("r")
    for other in (
        ran("n", experiment_key=Digest("e" * 64)), ran("n", status="failed"), ran("n", varied={"threads": "2"}),
        ran("n", day=1, **held("incomparable")), ran("n", day=1, outputs=()),
    ):  # fmt: skip
        assert list(pairs([first, other])) == []


def test_where_two_parted_is_told() -> None:
    parted = Divergence(step=3, kind="gradient", cause="threads", reason="it was 2 and is 4")
    (pair,) = pairs([ran("r"), ran("n", day=1, **held("different", divergence=parted))])
    assert pair.divergence is not None
    assert (pair.divergence["step"], pair.divergence["cause"]) == (3, "threads")
    (same,) = pairs([ran("r"), ran("n", day=1, **held("identical"))])
    assert same.divergence is None


def pair(there: str, here: str, verdict: Any) -> Pair:
    return Pair(name="x", reference=("a", "r"), run=("a", "n"), there=there, here=here, verdict=verdict)


def test_the_table_counts_every_pair_once() -> None:
    found = crossing([pair("H", "A", "identical"), pair("H", "A", "different"), pair("H", "A", "identical"),
                      pair("H", "H", "close"), pair("C", "A", "identical")])  # fmt: skip
    assert (found.there, found.here) == (("H", "C"), ("A", "H"))
    assert found.cell("H", "A") == Cell(there="H", here="A", identical=2, different=1)
    assert found.cell("H", "H").close == 1
    assert found.cell("C", "H") == Cell(there="C", here="H")
    assert crossing([]).cells == ()
