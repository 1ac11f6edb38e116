from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence.predict import DECISIVE, Before, Prediction, predict, score
from executor.evidence.proof import Proof, Read
from executor.evidence.screen import Suspect
from executor.facts import Finding

READS = {
    kind: Read.model_validate(
        {"kind": kind, "what": kind, "file": "a.py", "line": 3, "count": 1, "first": 0, "last": 0}
    )
    for kind in ("entropy", "clock", "host")
}
SUSPECT = Suspect(source="network", file="a.py", line=4, text="urlopen(x)")
PROVEN = Proof(standing="proven")
QUIET = Before(strict=True, proof=PROVEN, findings=(), varied={}, reference_probe={}, probe={}, agreed=1, disagreed=0,
               suspects=())  # fmt: skip


def differs(field: str = "torch", severity: str = "refuse") -> Finding:
    return Finding.model_validate({"field": field, "expected": "1", "observed": "2", "severity": severity})


def rule(**changes: Any) -> tuple[str, str]:
    said = predict(replace(QUIET, **changes))
    return said.value, said.rule


def test_when_nothing_speaks_against_it_a_rerun_is_identical() -> None:
    assert predict(QUIET) == Prediction(
        value="identical", rule="contract",
        why="same environment, proven contract, and nothing in it is beyond the contract",
    )  # fmt: skip
    assert predict(replace(QUIET, twin=True)).why.endswith("its first steps repeat")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strict": False}, ("unknown", "not-strict")),
        ({"proof": None}, ("unknown", "unproven")),
        ({"proof": Proof(standing="unproven")}, ("unknown", "unproven")),
        ({"proof": Proof(standing="violated")}, ("unknown", "unproven")),
        ({"proof": Proof(standing="proven", reads=(READS["entropy"],))}, ("unknown", "entropy")),
        ({"proof": Proof(standing="proven", reads=(READS["clock"],))}, ("unknown", "clock")),
        ({"proof": Proof(standing="proven", reads=(READS["clock"], READS["entropy"]))}, ("unknown", "entropy")),
        ({"proof": Proof(standing="proven", reads=(READS["host"],))}, ("unknown", "host")),
        ({"suspects": (SUSPECT,)}, ("unknown", "screen")),
        ({"suspects": (SUSPECT,), "twin": True}, ("unknown", "screen")),
        ({"disagreed": 1}, ("different", "history")),
        ({"disagreed": 1, "agreed": 9}, ("different", "history")),
        ({"agreed": 9}, ("identical", "contract")),
        ({"agreed": 9, "suspects": (SUSPECT,)}, ("unknown", "screen")),
        ({"agreed": 9, "suspects": (SUSPECT,), "strict": False, "proof": None}, ("unknown", "not-strict")),
        ({"findings": (differs(severity="warn"),)}, ("unknown", "environment")),
        ({"findings": (differs(severity="info"),)}, ("identical", "contract")),
        ({"findings": (differs("gpu_name", "info"),)}, ("identical", "contract")),
        ({"findings": (differs(),), "agreed": 9}, ("unknown", "environment")),
        ({"varied": {"cpus": "2"}, "agreed": 9}, ("unknown", "environment")),
        ({"findings": (differs(), differs("gpu_name"))}, ("different", "device")),
    ],
)
def test_each_rule(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert rule(**changes) == expected


@pytest.mark.parametrize("field", sorted(DECISIVE))
def test_another_gpu_gives_other_bits(field: str) -> None:
    found = predict(replace(QUIET, findings=(differs(field),)))
    assert (found.value, found.rule, found.why) == ("different", "device", f"{field} was 1 and is 2")


@pytest.mark.parametrize(
    ("reference", "probe", "expected", "why"),
    [
        ({"mm": "1"}, {"mm": "1"}, ("unknown", "environment"), "torch, cpus differ; the numeric probe agrees"),
        ({"mm": "1"}, {"mm": "2"}, ("different", "probe"), "torch, cpus differ, and so do 1 operations"),
        ({"mm": "1", "exp": "1"}, {"mm": "2", "exp": "2"}, ("different", "probe"), "2 operations of the numeric probe"),
        ({"mm": "1"}, {}, ("unknown", "environment"), "the numeric probe was not taken"),
        ({"mm": "1", "exp": "1"}, {"mm": "1"}, ("unknown", "environment"), "the numeric probe agrees"),
        ({"mm": "1"}, {"mm": "1", "np": "2"}, ("unknown", "environment"), "the numeric probe agrees"),
    ],
)  # fmt: skip
def test_the_probe_decides_between_environments(
    reference: Mapping[str, str], probe: Mapping[str, str], expected: tuple[str, str], why: str
) -> None:
    """What a probe took depends on the libraries of the run: an operation of one side alone is no difference."""
    found = predict(replace(QUIET, findings=(differs(),), varied={"cpus": "2"}, reference_probe=reference, probe=probe))
    assert (found.value, found.rule) == expected
    assert why in found.why


def test_a_probe_that_the_reference_lacks_agrees_with_nothing() -> None:
    found = predict(replace(QUIET, findings=(differs(),), probe={"mm": "1"}))
    assert (found.value, found.rule) == ("unknown", "environment")
    assert "agrees" not in found.why


@pytest.mark.parametrize("agreed", [1, 9])
def test_another_probe_speaks_against_equal_bits_whatever_else_is_equal(agreed: int) -> None:
    assert rule(reference_probe={"mm": "1"}, probe={"mm": "2"}, agreed=agreed)[0] != "identical"


def test_reasons_are_told() -> None:
    proof = Proof(standing="violated", reasons=("process 0: x", "y"))
    assert predict(replace(QUIET, proof=proof)).why.endswith("in force: process 0: x")
    assert predict(replace(QUIET, proof=None)).why.endswith("no exit report")
    assert predict(replace(QUIET, disagreed=1, agreed=2)).why == "1 of 3 attempts already differed here"
    assert predict(replace(QUIET, suspects=(SUSPECT,))).why == "network at a.py:4 is beyond the contract: urlopen(x)"
    reads = Proof(standing="proven", reads=(READS["clock"],))
    assert predict(replace(QUIET, proof=reads)).why.startswith("the program reads clock at a.py:3")


FINDINGS = st.builds(differs, st.sampled_from(["torch", "gpu_name", "cpus_visible"]),
                     st.sampled_from(["refuse", "warn", "info"]))  # fmt: skip
PROBES = st.dictionaries(st.sampled_from(["mm", "exp"]), st.sampled_from(["1", "2"]))
PROOFS = st.none() | st.builds(
    Proof, standing=st.sampled_from(["proven", "violated", "unproven"]),
    reads=st.lists(st.sampled_from([*READS.values()]), max_size=2).map(tuple),
)  # fmt: skip
ANY = st.builds(
    Before,
    strict=st.booleans(),
    proof=st.just(PROVEN) | PROOFS,
    findings=st.lists(FINDINGS, max_size=2),
    varied=st.just({}) | st.just({"threads": "2"}),
    reference_probe=PROBES,
    probe=PROBES,
    agreed=st.integers(1, 4),
    disagreed=st.just(0) | st.integers(0, 2),
    suspects=st.lists(st.just(SUSPECT), max_size=1),
    twin=st.booleans(),
)


def against(at: Before) -> bool:
    """Whether anything speaks against equal bits; attempts that agreed speak for the program, not the environment."""
    unlike = any(at.probe[name] != at.reference_probe[name] for name in at.probe.keys() & at.reference_probe.keys())
    if at.disagreed or at.varied or unlike or any(one.severity != "info" for one in at.findings):
        return True
    proven = at.strict and at.proof is not None and at.proof.standing == "proven"
    return not (proven and at.proof is not None and not at.proof.reads and not at.suspects)


@given(ANY)
def test_identical_is_said_if_and_only_if_nothing_speaks_against_it(before: Before) -> None:
    assert (predict(before).value == "identical") == (not against(before))


@given(ANY)
def test_different_is_said_only_for_what_changes_bits(before: Before) -> None:
    if predict(before).value == "different":
        assert before.disagreed or before.probe != before.reference_probe or any(
            one.field in DECISIVE and one.severity != "info" for one in before.findings
        )  # fmt: skip


@given(ANY)
def test_a_twin_changes_only_the_words(before: Before) -> None:
    one, other = (predict(replace(before, twin=twin)) for twin in (False, True))
    assert (one.value, one.rule) == (other.value, other.rule)


# How good predictions were

PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["identical", "different", "unknown"]),
        st.sampled_from(["identical", "close", "different", "incomparable"]),
    )
)


def test_a_score_of_nothing_has_no_shares() -> None:
    found = score([("identical", "incomparable")])
    assert (found.total, found.unknown_share, found.counts, found.false_identical) == (0, None, {}, 0)
    assert found.precision == {"identical": None, "different": None}


def test_shares_and_counts() -> None:
    found = score([("identical", "identical")] * 3 + [("identical", "close"), ("different", "close"),
                  ("different", "different"), ("different", "identical"), ("unknown", "identical")])  # fmt: skip
    assert (found.total, found.unknown_share, found.false_identical) == (8, 1 / 8, 1)
    assert found.precision == {"identical": 3 / 4, "different": 2 / 3}
    assert found.counts["identical"] == {"identical": 3, "close": 1}


@given(PAIRS)
def test_every_comparable_pair_counts_once(pairs: list[tuple[str, str]]) -> None:
    found, counted = score(iter(pairs)), [pair for pair in pairs if pair[1] != "incomparable"]
    assert found.total == len(counted) == sum(sum(row.values()) for row in found.counts.values())
    assert found.false_identical == sum(said == "identical" != came for said, came in counted)
    assert found == score(reversed(pairs))
    assert (found.precision["identical"] == 1) == (found.false_identical == 0 and "identical" in found.counts)
