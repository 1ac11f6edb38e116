from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.matrix import Cell, Matrix, matrix
from executor.evidence.record import Record
from executor.facts import ContainerFacts, Fingerprint, GpuFacts
from tests.fakes import ENGINE, NOON
from tests.unit.evidence.samples import HOST, file, record

SPEC = {"cpu": {"threads": 4, "isa": "avx2"}}


def attempt(
    content: str, day: int = 0, cpu: str = "Xeon", driver: str | None = None, inside: Any = None, **changes: Any
) -> Record:
    host = HOST.model_copy(update={"cpu_model": cpu, "gpu_driver": driver})
    container = ContainerFacts(checked=True, **inside) if inside is not None else None
    fingerprint = Fingerprint(host=host, engine=ENGINE, container=container)
    return record(
        file("a.pt", content), spec=SPEC, fingerprint=fingerprint, created=NOON + timedelta(days=day), **changes
    )


def table(*records: Record) -> Matrix:
    found = matrix(records)
    assert found is not None
    return found


def gpu(*names: str) -> dict[str, Any]:
    return {"gpus": tuple(GpuFacts(index=at, uuid="", name=name, memory=1) for at, name in enumerate(names))}


def test_without_a_success_there_is_no_table() -> None:
    assert matrix([]) is None
    assert matrix([attempt("1", status="failed")]) is None


def test_one_attempt_is_nothing_to_compare() -> None:
    found = table(attempt("1"), attempt("2", status="failed"))
    assert (found.of, found.reproduced, len(found.cells)) == (0, 0, 1)
    assert found.sentence == "1 attempt: nothing to compare yet"


def test_a_cell_says_which_machine_gave_which_result() -> None:
    one = attempt("1", inside={"isa": "AVX512", "threads": 8})
    (cell,) = table(one, one).cells
    assert cell == Cell(gpu="none", cpu="Xeon", isa="AVX512", threads=8, driver="", varied="",
                        result=one.result_digest.hex[:12], attempts=2)  # fmt: skip


def test_what_was_not_looked_at_is_what_was_asked() -> None:
    for blind in (attempt("1"), attempt("1", inside={})):
        (cell,) = table(blind).cells
        assert (cell.isa, cell.threads) == ("avx2", 4)


def test_the_driver_counts_with_a_gpu_only() -> None:
    (cell,) = table(attempt("1", driver="580", inside=gpu("H100", "H100"))).cells
    assert (cell.gpu, cell.driver) == ("H100 + H100", "580")
    (cell,) = table(attempt("1", driver="580", inside=gpu())).cells
    assert (cell.gpu, cell.driver) == ("none", "")


def test_the_oldest_attempt_is_the_reference_whatever_the_order() -> None:
    old, new = attempt("1", 1), attempt("2", 2)
    assert table(new, old, new).reference == old.result_digest.hex[:12]
    assert table(new, old, new).sentence == "reproduced 0 of 2, parts on the same machine"


def test_a_failed_attempt_is_no_reference() -> None:
    assert table(attempt("1", 0, status="failed"), attempt("2", 1)).reference == attempt("2").result_digest.hex[:12]


def test_a_varied_attempt_is_never_the_reference() -> None:
    found = table(attempt("2", 0, varied={"threads": "2"}), attempt("1", 1), attempt("1", 2))
    assert found.reference == attempt("1").result_digest.hex[:12]
    assert (found.reproduced, found.of) == (1, 2)
    assert found.sentence == "reproduced 1 of 2, parts on varied threads=2"


def test_where_results_part_is_told_once_each() -> None:
    found = table(attempt("1", 0), attempt("1", 1, cpu="EPYC"), attempt("2", 2, cpu="Zen"), attempt("3", 3, cpu="Zen"),
                  attempt("2", 4, varied={"threads": "2", "A": ""}, inside={"isa": "DEFAULT"}))  # fmt: skip
    assert found.sentence == "reproduced 1 of 4, parts on cpu Zen; isa DEFAULT, varied A= threads=2"


def test_everything_reproduced_is_a_short_sentence() -> None:
    assert table(attempt("1"), attempt("1", 1, cpu="EPYC")).sentence == "reproduced 1 of 1"


@given(st.lists(st.tuples(st.sampled_from("12"), st.integers(0, 3), st.sampled_from(["Xeon", "EPYC"]))))
def test_every_success_is_in_one_cell(attempts: list[tuple[str, int, str]]) -> None:
    records = [attempt(*one) for one in attempts]
    found = matrix(records)
    assert (found is None) == (not records)
    if found is not None:
        assert sum(cell.attempts for cell in found.cells) == found.of + 1 == len(records)
        same = sum(cell.attempts for cell in found.cells if cell.result == found.reference)
        assert found.reproduced == same - 1
        assert len({cell.model_copy(update={"attempts": 0}) for cell in found.cells}) == len(found.cells)
