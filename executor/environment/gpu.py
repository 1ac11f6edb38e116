"""NVIDIA GPUs as NVML sees them; the only user of `pynvml`, which is imported when it is needed.

No library, no driver or no GPU is an answer (no GPUs, and the reason), never an error: CPU runs work everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from executor.facts import GpuFacts


@dataclass(frozen=True)
class GpuReading:
    """All that NVML says about this machine."""

    gpus: tuple[GpuFacts, ...] = ()
    """What a container can be given: whole GPUs, and in MIG mode the instances."""
    driver: str | None = None
    """Driver version, such as `580.65.06`."""
    cuda: str | None = None
    """Newest CUDA version that the driver supports, such as `13.0`."""
    problem: str = ""
    """Why there are none, or which one could not be read; empty when all is well."""


def look(nvml: Any = None) -> GpuReading:
    """Read every GPU and MIG instance; `nvml` is the `pynvml` module, imported when not given."""
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return GpuReading(problem="no NVIDIA driver")
    except nvml.NVMLError as error:
        return GpuReading(problem=str(error))
    try:
        return _read(nvml)
    finally:
        nvml.nvmlShutdown()


@dataclass(frozen=True)
class GpuUse:
    """How busy one GPU is at a moment."""

    index: int
    name: str
    percent: int | None
    """Of the last moments, those in which it computed; none where NVML does not say, as in MIG mode."""
    memory_used: int
    memory: int
    """Bytes."""


def use(nvml: Any = None) -> list[GpuUse]:
    """How busy every whole GPU is now; nothing where there is none, or NVML does not answer."""
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        return [_use(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:  # one that fell off the bus
        return []
    finally:
        nvml.nvmlShutdown()


def _use(nvml: Any, index: int) -> GpuUse:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    rates = _ask(nvml, None, nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _ask(nvml, None, nvml.nvmlDeviceGetMemoryInfo, handle)
    return GpuUse(index, nvml.nvmlDeviceGetName(handle), rates.gpu if rates else None,
                  memory.used if memory else 0, memory.total if memory else 0)  # fmt: skip


def _read(nvml: Any) -> GpuReading:
    gpus: list[GpuFacts] = []
    problems: list[str] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            gpus.extend(_device(nvml, index))
        except nvml.NVMLError as error:  # a GPU that fell off the bus must not stop a run that needs none
            problems.append(f"GPU {index}: {error}")
    number = _ask(nvml, 0, nvml.nvmlSystemGetCudaDriverVersion_v2)
    return GpuReading(
        gpus=tuple(gpus),
        driver=nvml.nvmlSystemGetDriverVersion(),
        cuda=f"{number // 1000}.{number % 1000 // 10}" if number else None,
        problem="; ".join(problems),
    )


def _device(nvml: Any, index: int) -> Iterator[GpuFacts]:
    """The GPU, or its MIG instances where there are any."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    mig = _ask(nvml, [0, 0], nvml.nvmlDeviceGetMigMode, handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    instances = list(_instances(nvml, handle)) if mig else []
    for part in instances or [handle]:
        yield _facts(nvml, index, part, parent=handle, mig=mig)


def _instances(nvml: Any, handle: Any) -> Iterator[Any]:
    for slot in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
        except nvml.NVMLError_NotFound:  # slots are sparse
            continue


def _facts(nvml: Any, index: int, handle: Any, *, parent: Any, mig: bool) -> GpuFacts:
    memory = _ask(nvml, None, nvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _ask(nvml, None, nvml.nvmlDeviceGetCudaComputeCapability, parent)
    # NVML counts multiprocessors of MIG instances only; of a whole GPU the container says how many it has
    attributes = _ask(nvml, None, nvml.nvmlDeviceGetAttributes_v2, handle) if mig else None
    ecc = _ask(nvml, None, nvml.nvmlDeviceGetEccMode, parent)
    running = _ask(
        nvml, [], nvml.nvmlDeviceGetComputeRunningProcesses_v3, handle,
        older=nvml.nvmlDeviceGetComputeRunningProcesses_v2,
    )  # fmt: skip
    return GpuFacts(
        index=index,
        uuid=nvml.nvmlDeviceGetUUID(handle),
        name=nvml.nvmlDeviceGetName(handle),
        memory=memory.total if memory else 0,
        memory_used=memory.used if memory else 0,
        compute_capability=".".join(map(str, capability)) if capability else "",
        multiprocessors=attributes.multiprocessorCount if attributes else None,
        mig=mig,
        ecc=bool(ecc[0]) if ecc else None,
        processes=len(running),
    )


def _ask(nvml: Any, default: Any, call: Callable[..., Any], *args: Any, older: Callable[..., Any] | None = None) -> Any:
    """What NVML answers; `default` where the GPU lacks the feature or the driver lacks the function."""
    try:
        return call(*args)
    except nvml.NVMLError_FunctionNotFound:
        return _ask(nvml, default, older, *args) if older else default
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_NoPermission):
        return default
