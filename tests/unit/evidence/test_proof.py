from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.evidence.proof import IN_FORCE, MOST, Proof, Read, prove
from executor.inside import entropy, strict
from executor.spec.model import Spec
from tests.unit.engine.plans import BARE

STRICT = Spec.model_validate(BARE | {"determinism": "strict"})
BEGAN = [{"process": "0"}]
GOOD = {"process": "0", "settings": dict(IN_FORCE), "calls": [], "entropy": [], "undetermined": [], "modules": {},
        "libraries": [], "probe_changed": []}  # fmt: skip
READ = {"kind": "clock", "what": "time.time", "file": "train.py", "line": 3, "count": 2, "first": 0, "last": 9}
CALL = {"call": "torch.set_num_threads(4)", "where": "train.py:7", "step": 2}


def proof(*ended: dict[str, Any], began: list[dict[str, Any]] = BEGAN, spec: Spec = STRICT) -> Proof:
    return prove(spec, began, ended, inside=True)


def taken_back(**settings: object) -> dict[str, Any]:
    return GOOD | {"settings": {**IN_FORCE, **settings}}


def test_a_whole_report_proves_the_contract() -> None:
    assert proof(GOOD) == Proof(standing="proven", settings=dict(IN_FORCE))


def test_a_program_without_torch_is_proven_too() -> None:
    assert proof(GOOD | {"settings": {}}).standing == "proven"


def test_what_nobody_looked_at_is_unproven() -> None:
    found = prove(STRICT, BEGAN, [GOOD], inside=False)
    assert found.standing == "unproven"
    assert "no Python" in found.reasons[0]


def test_every_process_that_began_owes_a_report() -> None:
    began = [{"process": name} for name in ("0", "0.1", "0.2")]
    found = proof(GOOD, GOOD | {"process": "0.2"}, began=began)
    assert (found.standing, found.reasons) == ("unproven", ("process 0.1 left no exit report",))
    assert proof(*[GOOD | one for one in began], began=began).standing == "proven"


def test_one_report_does_not_stand_for_two_processes_of_one_name() -> None:
    assert proof(GOOD, began=BEGAN * 2).reasons == ("process 0 left no exit report",)
    assert proof(GOOD, GOOD, began=BEGAN * 2).standing == "proven"


@pytest.mark.parametrize("began", [[], [{"process": "0.1"}], [{}]])
def test_the_program_itself_always_owes_a_report(began: list[dict[str, Any]]) -> None:
    found = proof(GOOD, *[GOOD | one for one in began], began=began)
    assert (found.standing, found.reasons) == ("unproven", ("no Python process of the program said that it began",))


def test_a_report_that_never_came_is_unproven() -> None:
    assert proof().reasons == ("process 0 left no exit report",)


@pytest.mark.parametrize("name", IN_FORCE)
def test_each_setting_that_was_taken_back_violates(name: str) -> None:
    found = proof(taken_back(**{name: not IN_FORCE[name]}))
    assert found.standing == "violated"
    assert found.reasons == (f"process 0: {name} was {not IN_FORCE[name]} at the end, not {IN_FORCE[name]}",)


@pytest.mark.parametrize("name", IN_FORCE)
def test_a_setting_that_this_torch_lacks_says_nothing(name: str) -> None:
    without = {key: value for key, value in IN_FORCE.items() if key != name}
    assert proof(taken_back(**{name: None})).standing == proof(GOOD | {"settings": without}).standing == "proven"


def test_precisions_that_were_mixed_violate() -> None:
    assert proof(taken_back(matmul_tf32="mixed")).standing == "violated"


def test_who_took_it_back_is_named_once() -> None:
    found = proof(taken_back(cudnn_benchmark=True) | {"calls": [CALL, CALL, CALL | {"where": "b.py:1"}]})
    assert found.reasons == ("process 0: cudnn_benchmark was True at the end, not False (by train.py:7, b.py:1)",)
    assert found.calls[0].process == "0"


def test_a_violation_in_a_child_counts_and_outweighs_a_missing_report() -> None:
    began = [{"process": name} for name in ("0", "0.1", "0.2")]
    found = proof(GOOD, taken_back(warn_only=True) | {"process": "0.1"}, began=began)
    assert found.standing == "violated"
    assert found.reasons == (
        "process 0.1: warn_only was True at the end, not False",
        "process 0.2 left no exit report",
    )


@pytest.mark.parametrize("level", ["warn", "off"])
def test_a_spec_that_asks_for_less_is_never_proven(level: str) -> None:
    spec = Spec.model_validate(BARE | {"determinism": level})
    for report in (GOOD, taken_back(deterministic_algorithms=False)):
        found = proof(report, spec=spec)
        assert (found.standing, found.reasons) == ("unproven", (f"the spec asks for `determinism: {level}`",))


def test_what_the_reports_tell_is_kept_with_its_process() -> None:
    began = [{"process": name} for name in ("0", "0.1")]
    child = GOOD | {"process": "0.1", "entropy": [READ], "undetermined": ["b", "a"], "settings": {"isa": "x"}}
    found = proof(child, GOOD | {"undetermined": ["a"], "modules": {"torch": "2 (x)"}, "libraries": ["/l.so 1"],
                                 "probe_changed": ["mm64"], "calls": [CALL]}, began=began)  # fmt: skip
    assert found.reads == (Read.model_validate(READ | {"process": "0.1"}),)
    assert found.reads[0].where == "train.py:3"
    assert [(one.call, one.process) for one in found.calls] == [(CALL["call"], "0")]
    assert (found.undetermined, found.settings) == (("b", "a"), IN_FORCE)
    assert (found.modules, found.libraries, found.probe_changed) == ({"torch": "2 (x)"}, ("/l.so 1",), ("mm64",))


def test_entries_are_bounded() -> None:
    assert len(proof(GOOD | {"entropy": [READ] * (MOST + 1)}).reads) == MOST


GARBAGE = st.recursive(
    st.sampled_from([None, 0, "", "x", "0", 1.5, True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["where", "call", "x"]), inner),
    max_leaves=4,
)
REPORTS = st.lists(
    st.dictionaries(st.sampled_from([*GOOD]), GARBAGE).map(lambda some: GOOD | some) | st.just(GOOD), max_size=2
)


@given(REPORTS, REPORTS)
@example([GOOD], [GOOD | {"settings": "x"}])
@example([GOOD], [GOOD | {"settings": ["deterministic_algorithms"]}])
@example([GOOD], [GOOD | {"calls": None}])
@example([GOOD], [GOOD | {"calls": [{}]}])
@example([GOOD], [GOOD | {"calls": [{"where": []}]}])
@example([GOOD], [GOOD | {"entropy": ["x"]}])
@example([GOOD], [GOOD | {"undetermined": None}])
@example([GOOD], [GOOD | {"undetermined": [[]]}])
def test_any_reports_are_judged_and_garbage_proves_nothing(began: list[Any], ended: list[Any]) -> None:
    found = proof(*ended, began=began)
    assert (found.standing == "proven") == (not found.reasons)
    assert Proof.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("key", ["calls", "entropy", "undetermined", "modules", "libraries", "probe_changed"])
def test_a_report_of_another_shape_is_unproven(key: str) -> None:
    found = proof(GOOD | {key: 5})
    assert found.standing == "unproven"
    assert found.reasons == ("the exit reports are not what the inside room writes",)


# Against what the inside room writes


def test_the_settings_in_force_are_those_that_are_set_inside() -> None:
    told = {name: value for name, (_, value) in strict._SETTINGS.items() if name != "fill_uninitialized_memory"}
    assert {"deterministic_algorithms": True, "warn_only": False, **told} == IN_FORCE


def test_a_read_is_what_the_inside_room_writes() -> None:
    log = entropy.Log()
    log._count("clock", "time.time", sys._getframe())
    (entry,) = log.document()
    assert proof(GOOD | {"entropy": [entry]}).reads[0].model_dump() == entry | {"process": "0"}
