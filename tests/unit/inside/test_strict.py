from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from executor.inside import strict

EXPECT: dict[str, Any] = {"threads": 2, "isa": "avx2", "torch": None}
VARIABLES = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2"}


def test_torch_as_expected_has_no_findings() -> None:
    assert strict.check(EXPECT, VARIABLES.get, "2.13.0", 2, "avx2") == []


@pytest.mark.parametrize(
    ("seen", "field"), [(("2.13.0", 1, "avx2"), "cpu.threads"), (("2.13.0", 2, "default"), "cpu.isa")]
)
def test_a_difference_that_the_program_did_not_ask_for_is_a_refusal(seen: Any, field: str) -> None:
    (line,) = strict.check(EXPECT, VARIABLES.get, *seen)
    assert (line["field"], line["severity"]) == (field, "refuse")


def test_a_difference_that_the_program_asked_for_is_a_warning() -> None:
    own = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"}
    lines = strict.check(EXPECT, own.get, "2.13.0", 1, "default")
    assert [(line["field"], line["severity"]) for line in lines] == [("cpu.threads", "warn"), ("cpu.isa", "warn")]


def test_another_torch_is_a_refusal() -> None:
    (line,) = strict.check({**EXPECT, "torch": "2.12.0"}, VARIABLES.get, "2.13.0", 2, "avx2")
    assert (line["field"], line["expected"], line["observed"]) == ("torch", "2.12.0", "2.13.0")


@pytest.mark.parametrize(("usage", "name"), [("AVX512", "avx512"), ("NO AVX", "default"), ("DEFAULT", "default")])
def test_the_capability_is_read_from_torch_s_own_words(usage: str, name: str) -> None:
    config = SimpleNamespace(
        show=lambda: f"PyTorch built with:\n  - CPU capability usage: {usage}\n  - Build settings:\n"
    )
    assert strict.isa(SimpleNamespace(__config__=config)) == name
