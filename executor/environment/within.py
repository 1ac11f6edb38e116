"""The same questions asked from inside the container, before the user's program starts. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from executor.environment.checks import UNCHECKED, Answer
from executor.environment.cuda import runs_cuda
from executor.facts import ContainerFacts, HostFacts, Severity
from executor.spec.model import Spec


@dataclass(frozen=True)
class Inside:
    """Everything that the checks inside the container look at."""

    spec: Spec
    facts: ContainerFacts
    host: HostFacts


def _inside(at: Inside) -> Answer:
    if at.facts.checked:
        return Answer("looked at from inside", f"Python {at.facts.python}")
    severity: Severity = "info" if at.spec.determinism == "off" else "warn"
    return Answer(
        "looked at from inside", at.facts.reason or UNCHECKED, severity, "use an image with Python 3.8 or newer"
    )


def _visible(at: Inside) -> Answer:
    return _equal(str(at.spec.cpu.threads), str(len(at.facts.cpus)), "the engine did not apply the CPU set")


def _torch_threads(at: Inside) -> Answer:
    seen = UNCHECKED if at.facts.threads is None else str(at.facts.threads)
    return _equal(str(at.spec.cpu.threads), seen, "the image changes the thread count; remove what sets it")


def _torch_isa(at: Inside) -> Answer:
    seen = UNCHECKED if at.facts.isa is None else {"NO AVX": "default"}.get(at.facts.isa, at.facts.isa.lower())
    return _equal(at.spec.cpu.isa, seen, "the CPU or the image caps it; ask for what is there")


def _torch(at: Inside) -> Answer:
    return Answer("whatever the image has", f"torch {at.facts.torch}" if at.facts.torch else "no torch")


def _seen_type(at: Inside) -> Answer:
    wanted = at.spec.gpu.type if at.spec.gpu else "none"
    return _equal(
        wanted, ", ".join(sorted({gpu.name for gpu in at.facts.gpus})) or "no GPU", "the engine gave other GPUs"
    )


def _seen_count(at: Inside) -> Answer:
    wanted = at.spec.gpu.count if at.spec.gpu else 0
    return _equal(str(wanted), str(len(at.facts.gpus)), "the engine did not hand over the GPUs")


def _torch_cuda(at: Inside) -> Answer:
    if at.facts.torch is None or at.host.cuda_driver is None:
        return Answer("a driver for torch's CUDA", UNCHECKED)
    if at.facts.torch_cuda is None:
        return Answer(
            "a CUDA build of torch", f"torch {at.facts.torch}", "refuse", "use an image with a CUDA build of torch"
        )
    return runs_cuda(at.facts.torch_cuda, cuda=at.host.cuda_driver)


def _equal(expected: str, observed: str, advice: str) -> Answer:
    if observed in {expected, UNCHECKED}:
        return Answer(expected, observed)
    return Answer(expected, observed, "refuse", advice)


INSIDE_CHECKS: Mapping[str, Callable[[Inside], Answer]] = {
    "inside": _inside,
    "cpu.visible": _visible,
    "cpu.threads": _torch_threads,
    "cpu.isa": _torch_isa,
    "torch.version": _torch,
    "gpu.type": _seen_type,
    "gpu.count": _seen_count,
    "gpu.driver": _torch_cuda,
}
"""A question that was asked before launch keeps its name, so that one `--allow` covers both."""
