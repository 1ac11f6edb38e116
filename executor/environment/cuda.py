"""Whether a driver can run the CUDA of an image. Pure: no I/O.

- An image says what it needs in `NVIDIA_REQUIRE_*`: words separated by spaces are alternatives, conditions separated by
  commas hold together, variables hold together. NVIDIA's container runtime evaluates the same and stops the container
  (https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html).
- Without it, minor-version compatibility decides: a program built with CUDA X.y runs on every driver of major release X
  or newer, with a limited feature set when the driver's own minor is older (13.x needs driver 580, 12.x 525, 11.x 450:
  https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html). The newest CUDA that the driver
  itself names has the same major, so the majors are compared and no table of drivers grows old here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from executor.environment.checks import Answer, version

_CONDITION = re.compile(r"(cuda|driver|arch|brand)(>=|<=|!=|=|<|>)([A-Za-z0-9.-]+)")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_UPDATE = "update the NVIDIA driver, or use an image with an older CUDA"


def driver_runs_image(image: Mapping[str, str], *, cuda: str, driver: str, arch: str) -> Answer:
    """Judge an image's environment against the driver's newest `cuda`, its version and the GPU's compute capability."""
    for name, requirement in required(image).items():
        if not satisfied(requirement, cuda=cuda, driver=driver, arch=arch):
            return Answer(f"{name}={requirement}", f"cuda={cuda},driver={driver},arch={arch}", "refuse", _UPDATE)
    wanted = image.get("CUDA_VERSION", "")
    if not wanted:
        return Answer("an image that names its CUDA", "none named; compared from inside", "info")
    return runs_cuda(wanted, cuda=cuda)


def runs_cuda(wanted: str, *, cuda: str) -> Answer:
    """Judge one CUDA version, such as torch's, against the driver's newest by minor-version compatibility."""
    expected, observed = f"a driver for CUDA {wanted}", f"a driver for CUDA {cuda}"
    if version(wanted)[:1] > version(cuda)[:1]:
        return Answer(expected, observed, "refuse", _UPDATE)
    if version(wanted)[:2] > version(cuda)[:2]:
        return Answer(
            expected, observed, "warn", "minor-version compatibility: kernels that need the newer driver fail"
        )
    return Answer(expected, observed)


def required(image: Mapping[str, str]) -> dict[str, str]:
    """The image's `NVIDIA_REQUIRE_*`; none when it sets `NVIDIA_DISABLE_REQUIRE`."""
    if image.get("NVIDIA_DISABLE_REQUIRE", "").lower() in {"1", "t", "true"}:
        return {}
    return {name: text for name, text in sorted(image.items()) if name.startswith("NVIDIA_REQUIRE_") and text.strip()}


def satisfied(requirement: str, *, cuda: str, driver: str, arch: str) -> bool:
    """Whether one alternative holds as a whole."""
    seen = {"cuda": cuda, "driver": driver, "arch": arch}
    return any(all(_holds(one, seen) for one in words.split(",")) for words in requirement.split())


def _holds(condition: str, seen: Mapping[str, str]) -> bool:
    match = _CONDITION.fullmatch(condition)
    if not match:
        return False
    name, sign, wanted = match.groups()
    if name == "brand":  # the facts have no brand; the container runtime looks at it again
        return True
    left, right = version(seen[name]), version(wanted)
    width = max(len(left), len(right))
    return _COMPARE[sign](_padded(left, width), _padded(right, width))


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
