from __future__ import annotations

import pytest

from executor.environment.within import INSIDE_CHECKS, Inside
from executor.facts import ContainerFacts
from executor.spec.model import Spec
from tests.unit.environment.samples import H100, container, gpu, gpu_host, gpu_spec, spec

BLIND = ContainerFacts(checked=False, reason="the image has no Python")


@pytest.mark.parametrize(
    ("field", "asked", "facts", "severity", "observed"),
    [
        ("inside", spec(), container(), "info", "Python 3.11.2"),
        ("inside", spec(), BLIND, "warn", "the image has no Python"),
        ("inside", spec(determinism="off"), BLIND, "info", "the image has no Python"),
        ("cpu.visible", spec(), container(), "info", "2"),
        ("cpu.visible", spec(), container(cpus=(0, 1, 2)), "refuse", "3"),
        ("cpu.threads", spec(), container(threads=1), "refuse", "1"),
        ("cpu.threads", spec(), container(threads=None), "info", "not checked"),
        ("cpu.isa", spec(), container(), "info", "avx2"),
        ("cpu.isa", spec(), container(isa="AVX512"), "refuse", "avx512"),
        ("cpu.isa", spec(cpu={"isa": "default"}), container(isa="NO AVX"), "info", "default"),
        ("cpu.isa", spec(), container(isa=None), "info", "not checked"),
        ("gpu.type", gpu_spec(), container(gpus=(gpu(),)), "info", H100),
        ("gpu.type", gpu_spec(), container(), "refuse", "no GPU"),
        ("gpu.type", gpu_spec(2), container(gpus=(gpu(), gpu(1, name="NVIDIA L4"))), "refuse", f"{H100}, NVIDIA L4"),
        ("gpu.count", gpu_spec(2), container(gpus=(gpu(), gpu(1))), "info", "2"),
        ("gpu.count", gpu_spec(2), container(gpus=(gpu(),)), "refuse", "1"),
        ("gpu.count", gpu_spec(), container(gpus=(gpu(), gpu(1))), "refuse", "2"),
        ("gpu.driver", gpu_spec(), container(torch_cuda="13.0"), "info", "a driver for CUDA 13.0"),
        ("gpu.driver", gpu_spec(), container(torch_cuda="14.0"), "refuse", "a driver for CUDA 13.0"),
        ("gpu.driver", gpu_spec(), container(), "refuse", "torch 2.13.0"),
        ("gpu.driver", gpu_spec(), container(torch=None), "info", "not checked"),
    ],
)
def test_checks(field: str, asked: Spec, facts: ContainerFacts, severity: str, observed: str) -> None:
    answer = INSIDE_CHECKS[field](Inside(asked, facts, gpu_host()))
    assert (answer.severity, answer.observed) == (severity, observed)
