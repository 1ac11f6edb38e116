from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from executor.errors import QueryError
from executor.evidence.record import Comparison
from executor.steps.finding import reproducibility as module
from executor.steps.finding.reproducibility import Reproducibility, repeated, reproducibility
from tests.fakes import NOON
from tests.unit.evidence.samples import HOST, file
from tests.unit.steps.finding.test_indexing import record_key
from tests.unit.steps.finding.test_leaderboard import Team


class Bench(Team):
    """A team that runs things again."""

    def result(self, content: str = "1", cpu: str = "Xeon", **how: Any) -> Any:
        from executor.facts import Fingerprint
        from tests.fakes import ENGINE

        spec = {"seed": how.pop("seed", 1), "cpu": {"threads": 1, "isa": "avx2"}, "params": {}, "gpu": None}
        seen = Fingerprint(host=HOST.model_copy(update={"cpu_model": cpu}), engine=ENGINE)
        return self.ran(
            0.5, spec=spec, fingerprint=seen, outputs=(file("a.pt", content),), **self.identity(spec), **how
        )

    def identity(self, spec: dict[str, Any]) -> dict[str, Any]:
        from executor.spec.canonical import spec_hash

        return {"spec_hash": spec_hash(spec), "experiment_key": spec_hash(spec)}

    def rerun(self, verdict: Any, content: str = "1", cpu: str = "EPYC", **how: Any) -> Any:
        held = Comparison(reference="a1", verdict=verdict, reason="1 file differs")
        return self.result(content, cpu, comparison=held, rerun=True, **how)

    def look(self, where: str = "") -> Reproducibility:
        keys, left_out = self.library.ask(lambda view: repeated(view, NOON, where))
        return reproducibility(self.store, keys, left_out)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_that_ran_once_is_read(bench: Bench) -> None:
    bench.result()
    bench.result(seed=2)
    bench.library.refresh()
    bench.reads()
    found = bench.look()
    assert (found.pairs, found.crossing.cells, bench.reads()) == (0, (), [])


def test_repetitions_are_counted_by_machine(bench: Bench) -> None:
    bench.result()
    bench.rerun("identical")
    bench.rerun("different", "2")
    found = bench.look()
    cell = found.crossing.cell("Xeon", "EPYC")
    assert (found.pairs, cell.identical, cell.different) == (2, 1, 1)
    assert [(pair.verdict, pair.run[1]) for pair in found.parted] == [("different", "a3")]
    assert (found.more, found.left_out, found.unreadable) == (0, 0, 0)


def test_a_diagnosis_says_more_than_the_record(bench: Bench) -> None:
    bench.result()
    parted = bench.rerun("different", "2")
    bench.store.put_diagnosis(parted.spec_hash, parted.attempt, json.dumps({"cause": "threads", "step": 3}).encode())
    (pair,) = bench.look().parted
    assert pair.divergence == {"cause": "threads", "step": 3}


def test_what_is_told_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.result()
    for content in "234":
        bench.rerun("different", content)
    monkeypatch.setattr(module, "MOST_PARTED", 2)
    found = bench.look()
    assert (len(found.parted), found.more) == (2, 1)
    monkeypatch.setattr(module, "MOST_READ", 3)
    assert bench.look().left_out == 1


def test_an_expression_says_which_runs_are_meant(bench: Bench) -> None:
    bench.result()
    bench.rerun("identical")
    assert bench.look("seed == 2").pairs == 0
    with pytest.raises(QueryError):
        bench.look("seed =")


def test_a_record_that_cannot_be_read_is_counted(bench: Bench) -> None:
    bench.result()
    bad = bench.rerun("identical")
    bench.library.refresh()
    bench.store.contents[record_key(bad)] = b"{}"
    found = bench.look()
    assert (found.pairs, found.unreadable) == (0, 1)
