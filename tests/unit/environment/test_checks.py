from __future__ import annotations

from datetime import UTC, datetime

import pytest

from executor.environment import checks
from executor.environment.checks import Answer, StoreFacts
from executor.errors import InputMismatch, UsageError
from executor.facts import refused
from tests.unit.environment import samples

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_check_of_nothing_fails() -> None:
    with pytest.raises(RuntimeError, match="proves nothing"):
        checks.run_checks({}, None)


def test_every_check_is_reported_in_order() -> None:
    table = {"b": lambda x: Answer("1", x), "a": lambda x: Answer("1", x, "refuse", "mend it")}
    findings = checks.run_checks(table, "2")
    assert [(one.field, one.severity, one.observed, one.advice) for one in findings] == [
        ("b", "info", "2", ""),
        ("a", "refuse", "2", "mend it"),
    ]


def test_allow_marks_what_it_names_and_nothing_that_is_well() -> None:
    findings = [
        checks.finding("gpu.type", Answer("a", "b", "refuse")),
        checks.finding("disk", Answer("a", "b", "refuse")),
        checks.finding("clock", Answer("a", "a")),
    ]
    marked = checks.apply_allow(findings, frozenset({"gpu.type", "clock"}), ("gpu.type", "disk", "clock"))
    assert [one.allowed for one in marked] == [True, False, False]
    assert [one.field for one in refused(marked)] == ["disk"]


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"--allow gpu\.tpye: no check") as caught:
        checks.apply_allow([], frozenset({"gpu.tpye", "disk"}), ("gpu.type", "disk"))
    assert caught.value.advice == "did you mean gpu.type? The names are\n    disk, gpu.type"


def test_many_names_are_readable_lines_and_nothing_is_guessed_from_afar() -> None:
    with pytest.raises(UsageError) as caught:
        checks.apply_allow([], frozenset({"xyz"}), [f"field.{n}" for n in range(40)])
    first, *lines = caught.value.advice.splitlines()
    assert first == "the names are"
    assert len(lines) > 2
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize("name", ["data.digits.hash", "code.commit"])
def test_other_code_or_data_cannot_be_allowed(name: str) -> None:
    with pytest.raises(UsageError, match="are what the spec is about"):
        checks.apply_allow([], frozenset({name}), ())


def test_a_wrong_input_becomes_a_finding() -> None:
    found = checks.mismatch(InputMismatch("data.digits", expected="sha256:a", observed="sha256:b", advice="fetch it"))
    assert found.model_dump() == {
        "field": "data.digits", "expected": "sha256:a", "observed": "sha256:b", "severity": "refuse",
        "advice": "fetch it", "allowed": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("store", "severity", "observed"),
    [
        (samples.store(), "info", "reachable and writable"),
        (samples.store(reachable=False, problem="refused"), "refuse", "s3://runs did not answer: refused"),
        (samples.store(writable=False, problem="403"), "refuse", "s3://runs cannot be written: 403"),
        (
            samples.store(writable=False, problem="full", advice="make room"),
            "refuse",
            "s3://runs cannot be written: full",
        ),
    ],
)
def test_store(store: StoreFacts, severity: str, observed: str) -> None:
    answer = checks.check_store(store)
    assert (answer.severity, answer.observed) == (severity, observed)
    assert bool(answer.advice) == (severity != "info")
    assert answer.advice == store.advice or not store.advice


def fault(name: str, severity: str) -> dict[str, str]:
    return {"field": f"store.{name}", "expected": "kept", "observed": "ignored", "severity": severity, "advice": name}


@pytest.mark.parametrize(
    ("changes", "severity", "observed", "advice"),
    [
        ({}, "info", "as expected", ""),
        ({"writable": False}, "info", checks.UNCHECKED, ""),
        ({"faults": [fault("range", "warn")]}, "warn", "s3://runs: range: ignored", "range"),
        (
            {"faults": [fault("create", "refuse"), fault("range", "warn")]}, "refuse",
            "s3://runs: create: ignored; range: ignored",
            "create; range; or vouch with --single-writer that nobody else writes there",
        ),
        (
            {"faults": [fault("create", "refuse")], "single_writer": True}, "warn",
            "s3://runs: create: ignored; it is looked before each put, as --single-writer vouches that nobody else "
            "writes",
            "create",
        ),
        ({"single_writer": True}, "info", "as expected", ""),
    ],
)  # fmt: skip
def test_what_a_store_cannot_do(changes: dict[str, object], severity: str, observed: str, advice: str) -> None:
    answer = checks.check_capabilities(samples.store(**changes))
    assert (answer.severity, answer.observed, answer.advice) == (severity, observed, advice)


@pytest.mark.parametrize(
    ("skew", "severity"),
    [(None, "info"), (0, "info"), (60, "info"), (-61, "warn"), (900, "warn"), (901, "refuse"), (-3600, "refuse")],
)
def test_clock_skew(skew: float | None, severity: str) -> None:
    answer = checks.check_clock(NOW, skew)
    assert answer.severity == severity
    assert bool(answer.advice) == (severity != "info")


def test_a_clock_that_was_never_set() -> None:
    assert checks.check_clock(datetime(2023, 12, 31, tzinfo=UTC), 0).severity == "refuse"
    assert checks.check_clock(datetime(2024, 1, 1, tzinfo=UTC), None).severity == "info"


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "info"),
        ({"name": "podman", "api_version": "1.41"}, "info"),
        ({"api_version": "1.39"}, "refuse"),
        ({"api_version": "unknown"}, "refuse"),
        ({"name": "other"}, "warn"),
        ({"security": ()}, "warn"),
    ],
)
def test_engine(changes: dict[str, object], severity: str) -> None:
    assert checks.check_engine(samples.engine(**changes)).severity == severity


def test_an_engine_that_cannot_hand_over_gpus_is_refused_with_advice_of_its_own() -> None:
    assert checks.check_gpu_requests(samples.engine()).severity == "info"
    docker = checks.check_gpu_requests(samples.engine(gpu_requests=()))
    podman = checks.check_gpu_requests(samples.engine(name="podman", gpu_requests=()))
    assert (docker.severity, podman.severity) == ("refuse", "refuse")
    assert "nvidia-container-toolkit" in docker.advice
    assert "ignores GPU requests" in podman.advice


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("20.10.24", (20, 10, 24)),
        ("1.41", (1, 41)),
        ("4.3.1-dev", (4, 3, 1)),
        ("5.0.0+b", (5, 0, 0)),
        ("x", ()),
        ("", ()),
    ],
)
def test_version(text: str, numbers: tuple[int, ...]) -> None:
    assert checks.version(text) == numbers


def test_amount() -> None:
    assert (checks.amount(3 * 2**29), checks.amount(2**20)) == ("1.5 GiB", "1.0 MiB")
