from __future__ import annotations

import pytest

from executor.environment.cuda import driver_runs_image, required, runs_cuda, satisfied

NVIDIA_12_6 = "cuda>=12.6 brand=unknown,driver>=470,driver<471 brand=tesla,driver>=550,driver<551"


@pytest.mark.parametrize(
    ("requirement", "cuda", "driver", "holds"),
    [
        (NVIDIA_12_6, "12.6", "560.35", True),
        (NVIDIA_12_6, "13.0", "580.65.06", True),
        (NVIDIA_12_6, "12.4", "550.54.15", True),
        (NVIDIA_12_6, "12.0", "525.60.13", False),
        (NVIDIA_12_6, "12.2", "536.0", False),
        ("cuda>=9.0,driver>=400", "9.2", "396.1", False),
        ("cuda=12.6", "12.6", "560", True),
        ("cuda=12.6.0", "12.6", "560", True),
        ("cuda!=12.6", "12.6", "560", False),
        ("cuda>12.5 driver<=300", "12.5", "560", False),
        ("arch>=9.0", "12.6", "560", True),
        ("arch>=10.0", "12.6", "560", False),
        ("nonsense", "12.6", "560", False),
    ],
)
def test_requirements_are_alternatives_of_conditions(requirement: str, cuda: str, driver: str, holds: bool) -> None:
    assert satisfied(requirement, cuda=cuda, driver=driver, arch="9.0") is holds


def test_requirements_of_several_variables_hold_together() -> None:
    image = {"NVIDIA_REQUIRE_CUDA": "cuda>=12.0", "NVIDIA_REQUIRE_DRIVER": "driver>=600", "PATH": "/bin"}
    answer = driver_runs_image(image, cuda="13.0", driver="580.65.06", arch="9.0")
    assert (answer.severity, answer.expected) == ("refuse", "NVIDIA_REQUIRE_DRIVER=driver>=600")


def test_an_image_can_switch_requirements_off() -> None:
    image = {"NVIDIA_REQUIRE_CUDA": "cuda>=99", "NVIDIA_DISABLE_REQUIRE": "true"}
    assert required(image) == {}
    assert driver_runs_image(image, cuda="13.0", driver="580", arch="9.0").severity == "info"


@pytest.mark.parametrize(
    ("wanted", "cuda", "severity"),
    [
        ("12.6.3", "12.6", "info"),
        ("12.6.3", "13.0", "info"),
        ("12.6.3", "12.2", "warn"),
        ("13.0.3", "12.8", "refuse"),
        ("11.8", "12.0", "info"),
    ],
)
def test_minor_version_compatibility(wanted: str, cuda: str, severity: str) -> None:
    assert runs_cuda(wanted, cuda=cuda).severity == severity
    assert driver_runs_image({"CUDA_VERSION": wanted}, cuda=cuda, driver="1", arch="9.0").severity == severity
