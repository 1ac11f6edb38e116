from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from executor.facts import ContainerFacts
from executor.inside import probe

H100 = {"name": "NVIDIA H100 80GB HBM3", "uuid": "GPU-11111111-2222-3333-4444-555555555555"}
EXPECT: dict[str, Any] = {"threads": 2, "cpus": 2, "isa": "avx2", "torch": "2.13.0", "gpus": [H100]}
FACTS: dict[str, Any] = {"cpus": [4, 5], "torch": "2.13.0", "gpus": [H100]}
FLAGS = {"sse2", "avx2", "fma"}


def test_a_container_as_expected_has_no_findings() -> None:
    assert probe.check(EXPECT, FACTS, FLAGS, "") == []


@pytest.mark.parametrize(
    ("expect", "facts", "field", "observed"),
    [
        ({"cpus": 1}, {}, "cpu.threads", "2 CPUs"),
        ({"isa": "avx512"}, {}, "cpu.isa", "a CPU without avx512bw, avx512dq, avx512f, avx512vl"),
        ({"torch": "2.12.0"}, {}, "torch", "2.13.0"),
        ({}, {"torch": None}, "torch", "None"),
        ({}, {"gpus": []}, "gpu.count", "0 (no driver)"),
        ({"gpus": []}, {}, "gpu.count", "1"),
        ({}, {"gpus": [{**H100, "name": "NVIDIA H200"}]}, "gpu.type", "NVIDIA H200"),
        ({}, {"gpus": [{**H100, "uuid": "GPU-0"}]}, "gpu.uuid", "0"),
    ],
)
def test_every_difference_is_a_refusal(expect: Any, facts: Any, field: str, observed: str) -> None:
    (line,) = probe.check(EXPECT | expect, FACTS | facts, FLAGS, "no driver")
    assert (line["field"], line["observed"], line["severity"]) == (field, observed, "refuse")


def test_without_expectations_any_image_will_do() -> None:
    relaxed = EXPECT | {"torch": None, "gpus": [], "isa": "default"}
    assert probe.check(relaxed, FACTS | {"torch": None, "gpus": []}, set(), "no driver") == []


def test_a_serial_number_that_nobody_could_know_before_is_not_compared() -> None:
    assert probe.check(EXPECT | {"gpus": [{**H100, "uuid": ""}]}, FACTS, FLAGS, "") == []


def test_this_process_reads_as_container_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_TOKEN", "secret")
    facts = ContainerFacts.model_validate(probe.container())
    assert facts.python == sys.version.split()[0]
    assert facts.environment["OMP_NUM_THREADS"] == "1"
    assert "HF_TOKEN" not in facts.environment
    assert facts.distributions["pytest"] == pytest.__version__


def test_versions_are_read_without_importing_anything(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.13.0+cpu'\ncuda = None\n")
    for name in ("Typing_Extensions-4.1.dist-info", "old-1.0-py3.8.egg-info", "torch", "x.py"):
        (tmp_path / name).mkdir(exist_ok=True)
    version = probe.torch_version(["/nowhere", str(tmp_path)])
    assert (version["__version__"], version["cuda"]) == ("2.13.0+cpu", None)
    assert probe.torch_version(["/nowhere"]) == {}
    assert probe.distributions(["/nowhere", str(tmp_path)]) == {"typing-extensions": "4.1", "old": "1.0"}
