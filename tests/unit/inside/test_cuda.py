from __future__ import annotations

import ctypes
from typing import Any

import pytest

from executor.facts import GpuFacts
from executor.inside import cuda


class Driver:
    """What `libcuda.so.1` does for the few calls that are made, with one device."""

    def __init__(self, name: bytes, init_error: int = 0) -> None:
        self.name, self.init_error = name, init_error

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init_error

    def cuDeviceGetCount(self, result: Any) -> int:  # noqa: N802
        result._obj.value = 1
        return 0

    def cuDeviceGet(self, result: Any, index: int) -> int:  # noqa: N802
        result._obj.value = index
        return 0

    def cuDeviceGetName(self, buffer: Any, size: int, device: int) -> int:  # noqa: N802
        buffer.value = self.name
        return 0

    def cuDeviceGetUuid_v2(self, buffer: Any, device: int) -> int:  # noqa: N802
        buffer.raw = bytes(range(16))
        return 0

    def cuDeviceTotalMem_v2(self, result: Any, device: int) -> int:  # noqa: N802
        result._obj.value = 80 * 2**30
        return 0

    def cuDeviceGetAttribute(self, result: Any, attribute: int, device: int) -> int:  # noqa: N802
        result._obj.value = {16: 132, 75: 9, 76: 0}[attribute]
        return 0


def test_a_gpu_reads_as_gpu_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(b"NVIDIA H100 80GB HBM3"))
    (gpu,) = (GpuFacts.model_validate(found) for found in cuda.gpus())
    assert (gpu.uuid, gpu.compute_capability) == ("GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", "9.0")
    assert (gpu.name, gpu.memory, gpu.multiprocessors, gpu.mig) == ("NVIDIA H100 80GB HBM3", 80 * 2**30, 132, False)


def test_a_mig_instance_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(b"NVIDIA A100-SXM4-40GB MIG 1g.5gb"))
    (gpu,) = cuda.gpus()
    assert (gpu["uuid"][:4], gpu["mig"]) == ("MIG-", True)


def test_a_driver_that_fails_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(b"", init_error=100))
    with pytest.raises(cuda.NoGpu, match="cuInit gave error 100"):
        cuda.gpus()


def test_no_driver_at_all_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(cuda.NoGpu, match="no CUDA driver"):
        cuda.gpus()
