from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from executor.evidence.content.found import Explanation
from executor.evidence.divergence import Divergence, Seen, explain
from executor.evidence.proof import Call, Proof, Read
from executor.evidence.trace import Kind, Parting
from executor.facts import Finding, Severity

KINDS: tuple[Kind, ...] = ("init", "rng", "data", "gradient", "optimizer", "serialization", "output")


def parting(step: int = 3, kind: Kind = "gradient", **more: Any) -> Parting:
    return Parting("0", step, kind, "gradients", **more)


def read(
    kind: Literal["entropy", "clock", "host"] = "entropy", first: int = 3, last: int | None = None, line: int = 1
) -> Read:
    what = {"entropy": "os.urandom", "clock": "time.time", "host": "/proc/cpuinfo"}[kind]
    return Read(kind=kind, what=what, file="train.py", line=line, count=2, first=first,
                last=first if last is None else last)  # fmt: skip


def differs(field: str, severity: Severity = "refuse", expected: str = "1", observed: str = "2") -> Finding:
    return Finding(field=field, expected=expected, observed=observed, severity=severity)


def proof(*reads: Read, **more: Any) -> Proof:
    return Proof(standing="proven", reads=reads, **more)


SEEN = Seen(parting(), True, (), (proof(), proof()), "model.pt")
FILES = replace(SEEN, parting=None)
"""Every step is equal, a file differs."""


def said(seen: Seen = SEEN, **changes: Any) -> Divergence:
    return explain(replace(seen, **changes))


def told(*leaks: str, same: bool = False) -> Explanation:
    return Explanation(format="zip", same_values=same, lines=("a: 1 → 2", "b", "c", "d"), leaks=leaks)


def test_it_says_where() -> None:
    found = said(parting=parting(3, "gradient", tensor="fc.weight"), predicted="identical")
    assert (found.step, found.kind, found.tensor, found.process, found.file, found.prediction) == (
        3, "gradient", "fc.weight", "0", "model.pt", "identical",
    )  # fmt: skip
    assert not found.confirmed
    assert Divergence.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seen", [SEEN, FILES])
def test_there_is_always_a_cause_and_a_reason(seen: Seen, kind: Kind) -> None:
    found = said(seen, parting=seen.parting and parting(kind=kind))
    assert found.cause
    assert found.reason


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("gradient", "nondeterministic-operation"),
        ("optimizer", "nondeterministic-operation"),
        ("data", "unknown"),
        ("rng", "entropy"),
        ("init", "entropy"),
        ("output", "program"),
    ],
)
def test_the_kind_alone_suggests_a_cause(kind: Kind, cause: str) -> None:
    found = said(parting=parting(kind=kind))
    assert (found.cause, found.kind, found.where, found.setting) == (cause, kind, None, None)


def test_another_way_is_told_in_the_traces_words() -> None:
    assert (
        said(parting=parting(kind="output", reason="the reference took 3 steps")).reason == "the reference took 3 steps"
    )


# The order of explanations: each row adds what outranks all before it

RANKED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "unknown", "no generator moved"),
    ({"reads": [read("entropy", 0, 1, line=9)]}, "entropy", "train.py:9, from step 0 to 1"),
    ({"reads": [read("entropy", 0, 9, line=8)]}, "entropy", "train.py:8, from step 0 to 9"),
    ({"order": True}, "data-order", "another order"),
    ({"reads": [read("entropy", 3, line=7)]}, "entropy", "train.py:7, at step 3"),
    ({"findings": (differs("cpus_visible"),)}, "threads", "cpus_visible was 1 and is 2"),
    ({"settings": ("threads: 1 → 2",)}, "threads", "from step 3 on threads: 1 → 2"),
]


@pytest.mark.parametrize("upto", range(1, len(RANKED) + 1))
def test_the_best_explanation_wins(upto: int) -> None:
    known: dict[str, Any] = {"reads": [], "order": False, "findings": (), "settings": ()}
    for more, _, _ in RANKED[:upto]:
        reads = [*known["reads"], *more.get("reads", ())]
        known |= more | {"reads": reads}
    _, cause, reason = RANKED[upto - 1]
    found = said(parting=parting(kind="data", order=known["order"], settings=known["settings"]),
                 findings=known["findings"], proofs=(None, proof(*known["reads"])))  # fmt: skip
    assert found.cause == cause
    assert reason in found.reason


@pytest.mark.parametrize(
    ("setting", "cause", "name"),
    [
        ("threads: 1 → 2", "threads", "threads"),
        ("cudnn.benchmark: False → True", "environment", "cudnn.benchmark"),
    ],
)
def test_a_setting_that_changed_at_the_step(setting: str, cause: str, name: str) -> None:
    calls = tuple(Call(call="x", where=f"train.py:{step}", step=step) for step in (2, 3, 4))
    found = said(parting=parting(settings=(setting,)), proofs=(proof(), proof(calls=calls)))
    assert (found.cause, found.setting, found.where) == (cause, name, "train.py:3")
    assert said(parting=parting(settings=(setting,))).where is None


def test_a_setting_that_was_never_the_same_is_one_of_the_environment() -> None:
    found = said(parting=parting(0, settings=("threads: 1 → 2",)), findings=(differs("threads"),))
    assert (found.cause, found.setting, found.reason) == ("threads", "threads", "threads was 1 and is 2")


@pytest.mark.parametrize(
    ("field", "cause"),
    [
        ("threads", "threads"),
        ("cpus_visible", "threads"),
        ("isa", "isa"),
        ("cpu_isa", "isa"),
        ("settings", "environment"),
        ("torch", "environment"),
    ],
)
@pytest.mark.parametrize("severity", ["refuse", "warn"])
def test_a_field_that_differs_has_its_class(field: str, cause: str, severity: Severity) -> None:
    found = said(findings=(differs(field, severity),))
    assert (found.cause, found.setting, found.reason) == (cause, field, f"{field} was 1 and is 2")


@pytest.mark.parametrize("finding", [differs("threads", "info"), differs("container", "warn"), differs("os", "info")])
def test_a_field_that_cannot_change_bits_is_no_cause(finding: Finding) -> None:
    assert said(findings=(finding,)).cause == "nondeterministic-operation"


def test_of_several_fields_the_processors_come_first() -> None:
    every = [differs(name) for name in ("torch", "settings", "isa", "cpus_visible", "threads")]
    fields = []
    while every:
        fields.append(str(said(findings=tuple(every)).setting))
        every = [one for one in every if one.field != fields[-1]]
    assert fields == ["threads", "cpus_visible", "isa", "settings", "torch"]


@pytest.mark.parametrize(
    ("variables", "cause", "setting"),
    [
        ("A=1, OMP_NUM_THREADS=1", "threads", "OMP_NUM_THREADS"),
        ("A=1, MKL_CBWR=AVX2", "isa", "MKL_CBWR"),
        ("PYTHONHASHSEED=1, TZ=UTC", "environment", "PYTHONHASHSEED"),
        ("OMP_NUM_THREADS=none", "threads", "OMP_NUM_THREADS"),
    ],
)
def test_of_variables_those_of_threads_and_instructions_come_first(variables: str, cause: str, setting: str) -> None:
    found = said(findings=(differs("environment", expected=variables, observed=variables.replace("=", "=x")),))
    assert (found.cause, found.setting) == (cause, setting)


def test_a_value_with_a_comma_is_no_variable() -> None:
    found = said(findings=(differs("environment", expected="CPUS=0, 1, MKL_CBWR=x", observed="CPUS=2, MKL_CBWR=y"),))
    assert (found.cause, found.setting) == ("isa", "MKL_CBWR")


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"a": "1", "b": "1"}, {"a": "1", "b": "2"}, "the program loaded other code: b 1 → b 2"),
        ({"a": "1"}, {"a": "1", "b": "2"}, "the program loaded other code: b absent → b 2"),
        ({"a": "1", "b": "2"}, {"b": "2"}, "the program loaded other code: a 1 → a absent"),
    ],
)
def test_a_module_that_was_another_copy(one: dict[str, str], other: dict[str, str], reason: str) -> None:
    found = said(proofs=(proof(modules=one), proof(modules=other)))
    assert (found.cause, found.setting, found.reason) == ("environment", reason[31], reason)
    assert any(line.startswith("loaded modules: ") for line in found.evidence)


@pytest.mark.parametrize("proofs", [(None, proof(modules={"a": "1"})), (proof(), proof(modules={"a": "1"}))])
def test_modules_that_one_side_does_not_tell_do_not_differ(proofs: tuple[Proof | None, Proof | None]) -> None:
    assert said(proofs=proofs).cause == "nondeterministic-operation"


@pytest.mark.parametrize(
    ("step", "reads", "where"),
    [
        (3, [read("clock", 3)], "train.py:1"),
        (0, [read("clock", 0)], None),
        (0, [read("entropy", 0)], "train.py:1"),
        (3, [read("clock", 2), read("clock", 4)], None),
        (3, [read("clock", 0, 9)], None),
        (3, [read("clock", 3), read("entropy", 3, line=2)], "train.py:2"),
        (3, [read("host", 0, 9)], "train.py:1"),
        (3, [read("host", 3, 9)], "train.py:1"),
        (3, [read("host", 0, 3)], "train.py:1"),
        (3, [read("host", 0, 2)], None),
        (3, [read("entropy", 0, 2)], "train.py:1"),
    ],
)
def test_which_reads_explain_a_step(step: int, reads: list[Read], where: str | None) -> None:
    found = said(parting=parting(step), proofs=(None, proof(*reads)))
    assert found.where == where
    assert (found.cause == "entropy") == (where is not None)


def test_reads_of_this_run_come_before_the_references() -> None:
    found = said(proofs=(proof(read(line=1)), proof(read(line=2))))
    assert found.where == "train.py:2"


# When no step differs


def test_equal_values_in_other_bytes_are_serialization() -> None:
    for changes in ({"equal_tensors": True}, {"explanation": told(same=True)}):
        found = said(FILES, findings=(differs("torch"),), **changes)
        assert (found.cause, found.kind, found.step, found.process) == ("serialization", "serialization", None, None)
    assert said(FILES, equal_tensors=False, explanation=told(same=False)).cause == "unknown"


@pytest.mark.parametrize(
    ("same", "kind", "reason"),
    [(True, "serialization", "the values are equal; time and host went into the file"),
     (False, "output", "time and host went into model.pt")],
)  # fmt: skip
def test_what_went_into_a_file_is_a_leak(same: bool, kind: Kind, reason: str) -> None:
    found = said(FILES, explanation=told("time", "host", same=same), findings=(differs("torch"),))
    assert (found.cause, found.kind, found.reason, found.where) == ("leak", kind, reason, None)


@pytest.mark.parametrize(
    ("reads", "where"),
    [
        ([read("clock", 9)], "train.py:1"),
        ([read("clock", 9), read("clock", 9, line=2)], None),
        ([read("clock", 9), read("host", 9, line=2)], "train.py:2"),
        ([], None),
    ],
)
def test_the_only_place_that_can_have_leaked_is_named(reads: list[Read], where: str | None) -> None:
    assert said(FILES, explanation=told("time"), proofs=(None, proof(*reads))).where == where


def test_without_a_leak_the_environment_comes_before_what_is_read() -> None:
    reads = (None, proof(read("host"), read("entropy", line=2)))
    assert said(FILES, findings=(differs("isa"),), proofs=reads).cause == "isa"
    found = said(FILES, proofs=reads)
    assert (found.cause, found.where) == ("entropy", "train.py:2")
    found = said(FILES, proofs=(None, proof(read("clock"), read("host", line=2))))
    assert (found.cause, found.where) == ("leak", "train.py:2")


def test_an_operation_without_a_deterministic_implementation() -> None:
    found = said(FILES, proofs=(proof(undetermined=("a at x:1",)), proof(undetermined=("cumsum at x:2", "b"))))
    assert (found.cause, found.reason) == (
        "nondeterministic-operation", "cumsum at x:2 has no deterministic implementation",
    )  # fmt: skip
    assert said(FILES, proofs=(proof(undetermined=("a at x:1",)), None)).cause == "nondeterministic-operation"


def test_equal_steps_and_no_steps_are_told_apart() -> None:
    assert said(FILES).reason == "every step is equal; what was written afterwards differs"
    assert said(FILES, traced=False).reason == "nothing that we know of"
    assert said(FILES, traced=False, proofs=(None, None)).cause == "unknown"


# What it was concluded from


def test_what_was_seen_is_told_a_sentence_each() -> None:
    found = said(
        parting=parting(settings=("threads: 1 → 2",)), findings=(differs("isa"), differs("os", "info")),
        explanation=told(), proofs=(None, proof(read(), undetermined=("op at x:1",))),
    )  # fmt: skip
    assert found.evidence == (
        "trace: equal up to step 3, where gradients is the first column that differs",
        "settings: threads: 1 → 2",
        "environment: isa: 1 → 2",
        "model.pt: a: 1 → 2",
        "model.pt: b",
        "model.pt: c",
        "entropy: os.urandom is read at train.py:1, 2 times, steps 3 to 3",
        "no deterministic implementation: op at x:1",
    )


def test_what_the_traces_say() -> None:
    assert said(FILES).evidence == ("trace: every step of both is equal",)
    assert said(FILES, traced=False).evidence == ()
    assert said(parting=parting(reason="the reference took 3 steps")).evidence == ("trace: the reference took 3 steps",)


def test_reads_are_told_once_each_and_bounded() -> None:
    reads = [read(line=line) for line in range(9)]
    found = said(proofs=(proof(*reads), proof(*reads)))
    assert [line.startswith("entropy: ") for line in found.evidence[1:]] == [True] * 6
