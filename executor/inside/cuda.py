"""The GPUs that a program in this container gets, asked of the CUDA driver itself: no torch, no context, no memory."""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76  # of the driver's CUdevice_attribute


class NoGpu(Exception):
    """The container has no driver, or the driver gives it no device; the message says why."""


def gpus() -> list[dict[str, Any]]:
    """Every GPU in CUDA's order, in the shape of `executor.facts.GpuFacts`. Raises `NoGpu`."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoGpu("no CUDA driver in the container") from None
    _call(driver, "cuInit", 0)
    return [_gpu(driver, index) for index in range(_int(driver, "cuDeviceGetCount"))]


def _gpu(driver: Any, index: int) -> dict[str, Any]:
    device = _int(driver, "cuDeviceGet", index)
    name, uuid, memory = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16), ctypes.c_size_t()
    _call(driver, "cuDeviceGetName", name, 256, device)
    _call(driver, "cuDeviceGetUuid_v2" if hasattr(driver, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid", uuid, device)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    text = name.value.decode()
    return {
        "index": index,
        "uuid": "%s-%s" % ("MIG" if " MIG " in text else "GPU", _dashed(uuid.raw.hex())),
        "name": text,
        "memory": memory.value,
        "compute_capability": "%d.%d" % (_attribute(driver, _MAJOR, device), _attribute(driver, _MINOR, device)),
        "multiprocessors": _attribute(driver, _MULTIPROCESSORS, device),
        "mig": " MIG " in text,
    }


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _attribute(driver: Any, attribute: int, device: int) -> int:
    return _int(driver, "cuDeviceGetAttribute", attribute, device)


def _int(driver: Any, function: str, *arguments: Any) -> int:
    result = ctypes.c_int()
    _call(driver, function, ctypes.byref(result), *arguments)
    return result.value


def _call(driver: Any, function: str, *arguments: Any) -> None:
    status = getattr(driver, function)(*arguments)
    if status:
        raise NoGpu("%s gave error %d" % (function, status))
