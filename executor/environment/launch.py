"""The checks before a launch: host, engine, image and store against the spec. Pure: no I/O.

In this order, every one reported (6 to 11 only when the spec asks for GPUs):

 1. `engine`              a known engine, new enough, with seccomp
 2. `host`                the engine runs on this machine, whose folders and devices containers get
 3. `image.digest`        the engine has the image of the spec's digest
 4. `image.architecture`  the image is built for the engine's machine
 5. `cpu.isa`             the CPU has the instruction set that the spec caps numeric libraries at
 6. `gpu.type`            a GPU, or MIG instance, of that product name is here
 7. `gpu.count`           as many of them as asked for, and not used by others
 8. `gpu.mig`             MIG mode is off when the spec names a whole GPU
 9. `gpu.memory`          their memory is free
10. `gpu.driver`          the driver can run the image's CUDA
11. `gpu.requests`        the engine can hand GPUs to containers
12. `cpu.threads`         as many CPUs as the spec has threads
13. `memory`              the machine has the memory that the run may use
14. `disk`                room for inputs and outputs
15. `store`               reachable, writable
16. `store.capabilities`  it keeps conditions, checksums and ranges
17. `clock`               set, and near the store's

A remote engine's CPU and GPUs cannot be seen from here; `within` sees them before the program starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from executor.environment.checks import (
    UNCHECKED,
    Answer,
    StoreFacts,
    amount,
    check_capabilities,
    check_clock,
    check_engine,
    check_gpu_requests,
    check_store,
    version,
)
from executor.environment.cuda import driver_runs_image
from executor.facts import ARCHITECTURES, EngineFacts, GpuFacts, HostFacts, ImageFacts
from executor.spec.model import Gpu, Spec

DISK_MARGIN = 2**30
"""Bytes that stay free beside what the run needs."""
GPU_MEMORY_USED = 0.1
"""Share of a GPU's memory that others may use."""


@dataclass(frozen=True)
class Launch:
    """Everything that the checks before a launch look at."""

    spec: Spec
    host: HostFacts
    engine: EngineFacts
    image: ImageFacts | None
    store: StoreFacts
    disk_needed: int
    gpus: tuple[GpuFacts, ...]
    """The GPUs that the run would get."""

    @property
    def gpu(self) -> Gpu:
        """What the spec asks for; `ValueError` for a CPU run, whose checks never look at GPUs."""
        if self.spec.gpu is None:
            raise ValueError("a CPU run has no GPU checks")
        return self.spec.gpu

    @property
    def local(self) -> bool:
        """Whether the engine's containers run on this machine."""
        return self.engine.local


def choose_gpus(spec: Spec, host: HostFacts, allow: frozenset[str] = frozenset()) -> tuple[GpuFacts, ...]:
    """The GPUs that the run should get: of the asked type (any, when `gpu.type` is allowed), the idlest first."""
    if spec.gpu is None:
        return ()
    same = [gpu for gpu in host.gpus if gpu.name == spec.gpu.type]
    usable = same or [gpu for gpu in host.gpus if "gpu.type" in allow]
    return tuple(sorted(usable, key=lambda gpu: (gpu.processes, gpu.memory_used, gpu.index))[: spec.gpu.count])


def _engine(at: Launch) -> Answer:
    return check_engine(at.engine)


def _host(at: Launch) -> Answer:
    expected = "an engine on this machine"
    if at.local:
        return Answer(expected, at.engine.address)
    if at.engine.name == "podman":
        return Answer(
            expected, at.engine.address, "refuse", "run Docker there: Podman's API cannot fill volumes with files"
        )
    return Answer(expected, at.engine.address, "warn", "its CPU and GPUs are looked at from inside the container only")


def _digest(at: Launch) -> Answer:
    expected = str(at.spec.image.pinned)
    if at.image is None:
        return Answer(expected, "not in the engine yet; compared after the pull")
    same = at.image.digest == at.spec.image.pinned
    return Answer(
        expected, str(at.image.digest), "info" if same else "refuse", "" if same else "pull the image by digest"
    )


def _architecture(at: Launch) -> Answer:
    machine = at.engine.platform
    if at.image is None:
        return Answer(machine, "not in the engine yet; compared after the pull")
    if ARCHITECTURES.get(at.image.architecture, at.image.architecture) == machine:
        return Answer(machine, at.image.architecture)
    return Answer(machine, at.image.architecture, "refuse", "lock the image for this architecture, or use another host")


def _isa(at: Launch) -> Answer:
    wanted, has = at.spec.cpu.isa, ("default", *at.host.isa)
    if not at.local:
        return Answer(wanted, UNCHECKED)
    if wanted in has:
        return Answer(wanted, ", ".join(has))
    return Answer(wanted, ", ".join(has), "refuse", f"use another host, or ask for cpu.isa: {has[-1]}")


def _gpu_type(at: Launch) -> Answer:
    names = sorted({gpu.name for gpu in at.host.gpus})
    if not at.local:
        return Answer(at.gpu.type, UNCHECKED)
    if at.gpu.type in names:
        return Answer(at.gpu.type, at.gpu.type)
    return Answer(
        at.gpu.type, ", ".join(names) or "no GPU", "refuse", "use a host with this GPU: another one gives other bits"
    )


def _gpu_count(at: Launch) -> Answer:
    wanted, idle = at.gpu.count, sum(not gpu.processes for gpu in at.gpus)
    if not at.local:
        return Answer(str(wanted), UNCHECKED)
    if len(at.gpus) < wanted:
        return Answer(str(wanted), str(len(at.gpus)), "refuse", "use a host with more of them")
    if idle < wanted:
        return Answer(
            f"{wanted} idle", f"{idle} idle", "warn", "wait until other processes are done: sharing can change bits"
        )
    return Answer(str(wanted), f"{wanted} idle")


def _gpu_mig(at: Launch) -> Answer:
    whole = [gpu for gpu in at.host.gpus if gpu.name == at.gpu.type or gpu.name.startswith(f"{at.gpu.type} MIG ")]
    expected = "an instance" if " MIG " in at.gpu.type else "MIG mode off"
    if not at.local:
        return Answer(expected, UNCHECKED)
    if expected == "MIG mode off" and whole and all(gpu.mig for gpu in whole):
        return Answer(
            expected, "MIG mode on", "refuse", "switch MIG off (nvidia-smi -mig 0), or name an instance as gpu.type"
        )
    return Answer(expected, expected)


def _gpu_memory(at: Launch) -> Answer:
    expected = f"at most {GPU_MEMORY_USED:.0%} used by others"
    if not at.local:
        return Answer(expected, UNCHECKED)
    used = max((gpu.memory_used / gpu.memory for gpu in at.gpus if gpu.memory), default=0.0)
    if used > GPU_MEMORY_USED:
        return Answer(expected, f"{used:.0%} used", "refuse", "stop what uses the GPU (nvidia-smi names it)")
    return Answer(expected, f"{used:.0%} used")


def _gpu_driver(at: Launch) -> Answer:
    if not at.local:
        return Answer("a driver for the image's CUDA", UNCHECKED)
    if not at.host.cuda_driver:
        return Answer("a driver for the image's CUDA", "no NVIDIA driver", "refuse", "install the NVIDIA driver")
    if at.image is None:
        return Answer("a driver for the image's CUDA", "the image is not in the engine yet")
    arch = min((gpu.compute_capability for gpu in at.gpus), key=version, default="")
    return driver_runs_image(at.image.environment, cuda=at.host.cuda_driver, driver=at.host.gpu_driver or "", arch=arch)


def _gpu_requests(at: Launch) -> Answer:
    return check_gpu_requests(at.engine)


def _threads(at: Launch) -> Answer:
    wanted = at.spec.cpu.threads
    has = min(len(at.host.cpus), at.engine.cpus) if at.local else at.engine.cpus
    if has >= wanted:
        return Answer(str(wanted), f"{has} CPUs")
    return Answer(str(wanted), f"{has} CPUs", "refuse", "use a host with more CPUs: fewer threads give other bits")


def _memory(at: Launch) -> Answer:
    wanted, has = at.spec.resources.memory, at.engine.memory
    if has >= wanted:
        return Answer(amount(wanted), amount(has))
    return Answer(amount(wanted), amount(has), "refuse", "use a host with more memory, or lower resources.memory")


def _disk(at: Launch) -> Answer:
    expected = f"{amount(at.disk_needed + DISK_MARGIN)} free"
    if at.host.disk_free >= at.disk_needed + DISK_MARGIN:
        return Answer(expected, amount(at.host.disk_free))
    return Answer(expected, amount(at.host.disk_free), "refuse", "free some disk space, or move the cache")


def _store(at: Launch) -> Answer:
    return check_store(at.store)


def _capabilities(at: Launch) -> Answer:
    return check_capabilities(at.store)


def _clock(at: Launch) -> Answer:
    return check_clock(at.host.time, at.store.skew_s)


LAUNCH_CHECKS: Mapping[str, Callable[[Launch], Answer]] = {
    "engine": _engine,
    "host": _host,
    "image.digest": _digest,
    "image.architecture": _architecture,
    "cpu.isa": _isa,
    "gpu.type": _gpu_type,
    "gpu.count": _gpu_count,
    "gpu.mig": _gpu_mig,
    "gpu.memory": _gpu_memory,
    "gpu.driver": _gpu_driver,
    "gpu.requests": _gpu_requests,
    "cpu.threads": _threads,
    "memory": _memory,
    "disk": _disk,
    "store": _store,
    "store.capabilities": _capabilities,
    "clock": _clock,
}
"""The numbered list above."""
