from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from executor.environment import gpu

GIB = 2**30


@dataclass
class Device:
    """What a fake driver knows of one GPU or MIG instance."""

    name: str = "NVIDIA H200"
    uuid: str = "GPU-0"
    memory: int = 140 * GIB
    used: int = GIB
    capability: tuple[int, int] = (9, 0)
    ecc: int | None = 1
    mig: int | None = 0
    slots: dict[int, Device] = field(default_factory=dict)
    multiprocessors: int | None = None
    processes: int = 0
    lost: bool = False
    busy: int | None = 0


class FakeNvml:
    """The functions, constants and errors of `pynvml` that are used, over devices in memory."""

    def __init__(self, *devices: Device, init_error: int | None = None, missing: tuple[str, ...] = ()) -> None:
        self.devices, self.init_error, self.missing, self.running = devices, init_error, missing, 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "missing"):
            return lambda *_: self.fail(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        """Constants and error classes are the real ones; a function that is not faked must not be called."""
        if name.startswith("nvml"):
            raise AttributeError(name)
        return getattr(pynvml, name)

    def fail(self, code: int) -> Any:
        raise pynvml.NVMLError(code)

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error is not None:
            self.fail(self.init_error)
        self.running += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.running -= 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 12080

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:  # noqa: N802
        return self.fail(pynvml.NVML_ERROR_GPU_IS_LOST) if self.devices[index].lost else self.devices[index]

    def nvmlDeviceGetName(self, handle: Device) -> str:  # noqa: N802
        return handle.name

    def nvmlDeviceGetUUID(self, handle: Device) -> str:  # noqa: N802
        return handle.uuid

    def nvmlDeviceGetMemoryInfo(self, handle: Device) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=handle.memory, used=handle.used, free=handle.memory - handle.used)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Device) -> tuple[int, int]:  # noqa: N802
        return self._whole(handle).capability

    def nvmlDeviceGetEccMode(self, handle: Device) -> Any:  # noqa: N802
        return self._supported(self._whole(handle).ecc, lambda mode: [mode, mode])

    def nvmlDeviceGetMigMode(self, handle: Device) -> Any:  # noqa: N802
        return self._supported(self._whole(handle).mig, lambda mode: [mode, mode])

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Device) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Device, index: int) -> Device:  # noqa: N802
        return handle.slots[index] if index in handle.slots else self.fail(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetAttributes_v2(self, handle: Device) -> Any:  # noqa: N802
        return self._supported(handle.multiprocessors, lambda count: SimpleNamespace(multiprocessorCount=count))

    def nvmlDeviceGetUtilizationRates(self, handle: Device) -> Any:  # noqa: N802
        return self._supported(handle.busy, lambda busy: SimpleNamespace(gpu=busy))

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle: Device) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in range(handle.processes)]

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Device) -> list[SimpleNamespace]:  # noqa: N802
        return self.nvmlDeviceGetComputeRunningProcesses_v2(handle)

    def _whole(self, handle: Device) -> Device:
        """The driver answers these for whole GPUs only."""
        return handle if handle in self.devices else self.fail(pynvml.NVML_ERROR_INVALID_ARGUMENT)

    def _supported(self, value: Any, then: Callable[[Any], Any]) -> Any:
        return self.fail(pynvml.NVML_ERROR_NOT_SUPPORTED) if value is None else then(value)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "RM has detected an NVML/RM version mismatch."),
    ],
)
def test_without_library_or_driver_there_are_no_gpus_and_a_reason(code: int, problem: str) -> None:
    assert gpu.look(FakeNvml(init_error=code)) == gpu.GpuReading(problem=problem)


def test_a_driver_without_a_gpu_is_no_problem() -> None:
    assert gpu.look(FakeNvml()) == gpu.GpuReading(driver="580.65.06", cuda="12.8")


def test_two_gpus_with_all_their_facts() -> None:
    nvml = FakeNvml(Device(), Device(name="NVIDIA L4", uuid="GPU-1", capability=(8, 9), ecc=0, processes=2))
    first, second = gpu.look(nvml).gpus
    assert (first.index, first.uuid, first.name, first.compute_capability) == (0, "GPU-0", "NVIDIA H200", "9.0")
    assert (first.memory, first.memory_used, first.ecc, first.mig) == (140 * GIB, GIB, True, False)
    assert (second.index, second.ecc, second.processes, second.compute_capability) == (1, False, 2, "8.9")
    assert nvml.running == 0


def test_mig_mode_gives_the_instances_and_not_the_whole() -> None:
    parts = {
        0: Device(name="NVIDIA H200 MIG 3g.71gb", uuid="MIG-a", memory=70 * GIB, multiprocessors=60),
        2: Device(name="NVIDIA H200 MIG 1g.18gb", uuid="MIG-b", memory=17 * GIB, multiprocessors=16, processes=1),
    }
    found = gpu.look(FakeNvml(Device(mig=1, slots=parts))).gpus
    assert [(one.name, one.uuid, one.multiprocessors, one.processes) for one in found] == [
        ("NVIDIA H200 MIG 3g.71gb", "MIG-a", 60, 0),
        ("NVIDIA H200 MIG 1g.18gb", "MIG-b", 16, 1),
    ]
    assert all(one.mig and one.index == 0 and one.compute_capability == "9.0" and one.ecc for one in found)


def test_mig_mode_without_instances_gives_the_whole_gpu_marked() -> None:
    (found,) = gpu.look(FakeNvml(Device(mig=1))).gpus
    assert (found.name, found.mig, found.multiprocessors) == ("NVIDIA H200", True, None)


def test_a_consumer_gpu_has_neither_ecc_nor_mig() -> None:
    (found,) = gpu.look(FakeNvml(Device(ecc=None, mig=None))).gpus
    assert (found.ecc, found.mig) == (None, False)


def test_an_old_driver_lacks_functions() -> None:
    missing = (
        "nvmlDeviceGetMigMode", "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetEccMode",
        "nvmlSystemGetCudaDriverVersion_v2",
    )  # fmt: skip
    reading = gpu.look(FakeNvml(Device(processes=3), missing=missing))
    assert reading.cuda is None
    assert (reading.gpus[0].processes, reading.gpus[0].ecc, reading.gpus[0].mig) == (3, None, False)


def test_a_gpu_that_fell_off_the_bus_is_left_out_and_said() -> None:
    reading = gpu.look(FakeNvml(Device(lost=True), Device(uuid="GPU-1")))
    assert [one.uuid for one in reading.gpus] == ["GPU-1"]
    assert reading.problem == "GPU 0: GPU is lost"


def test_nvml_is_shut_down_after_a_fault_of_the_program() -> None:
    nvml = FakeNvml(Device())
    nvml.devices = (SimpleNamespace(lost=False, mig=0),)  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        gpu.look(nvml)
    assert nvml.running == 0


def test_every_function_that_the_fake_has_is_in_pynvml() -> None:
    assert all(callable(getattr(pynvml, name)) for name in vars(FakeNvml) if name.startswith("nvml"))


def test_this_machine_answers_without_an_error() -> None:
    reading = gpu.look()
    assert bool(reading.gpus) == bool(reading.cuda) or reading.problem


@pytest.mark.gpu
@pytest.mark.skipif(not gpu.look().gpus, reason="no NVIDIA GPU on this machine")
def test_a_real_gpu_has_all_its_facts() -> None:
    reading = gpu.look()
    assert reading.gpus, reading.problem
    assert reading.driver
    assert reading.cuda
    for one in reading.gpus:
        assert one.name.startswith("NVIDIA")
        assert one.uuid.startswith(("GPU-", "MIG-"))
        assert 0 <= one.memory_used < one.memory
        assert float(one.compute_capability) >= 3.0


def test_how_busy_gpus_are() -> None:
    nvml = FakeNvml(Device(busy=87, used=3 * GIB), Device(busy=None))
    assert gpu.use(nvml) == [
        gpu.GpuUse(0, "NVIDIA H200", 87, 3 * GIB, 140 * GIB), gpu.GpuUse(1, "NVIDIA H200", None, GIB, 140 * GIB),
    ]  # fmt: skip
    assert nvml.running == 0


@pytest.mark.parametrize(
    "nvml", [FakeNvml(init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), FakeNvml(Device(lost=True))]
)
def test_where_nvml_does_not_answer_no_gpu_is_busy(nvml: FakeNvml) -> None:
    assert gpu.use(nvml) == []
