"""How an environment differs from the one that the reference ran in, field by field. Pure: no I/O.

Each row of the table says what a difference of one field means, and why:

- `identity`: the spec already names it, so a difference is a fault of the engine: refuse;
- `bits`: it can change the bits of a result that the spec alone would not explain: refuse unless allowed;
- `processor`: the same, but only where arithmetic follows the CPU: refuse a CPU run of the native tier, warn otherwise;
- `device`: the same, but only of a GPU run: refuse it, and only record a CPU run;
- `context`: it cannot change the bits of a correct run: recorded only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from executor.environment.checks import Answer, finding
from executor.facts import Finding, Fingerprint, Severity
from executor.spec.model import Spec

Class = Literal["identity", "bits", "processor", "device", "context"]


@dataclass(frozen=True)
class Row:
    """What a difference of one observed field means."""

    name: str
    """The field of the finding, and what `--allow` takes."""
    path: str
    """Where it lies in the fingerprint; `*` stands for every element of a list."""
    kind: Class
    why: str
    """Shown as advice when it differs."""


ROWS = (
    Row("image_digest", "image.digest", "identity", "the spec names the image by this digest"),
    Row("architecture", "host.architecture", "bits", "another instruction set rounds and vectorizes differently"),
    Row("cpu_model", "host.cpu_model", "processor", "oneDNN, MKL and OpenBLAS choose kernels by CPU model"),
    Row("cpu_caches", "host.cpu_caches", "processor", "oneDNN blocks its loops by the sizes of caches"),
    Row("cpu_stepping", "host.cpu_stepping", "context", "microcode does not change what instructions compute"),
    Row("cpu_isa", "host.isa", "processor", "libm and OpenBLAS dispatch on what the CPU has, whatever the spec caps"),
    Row("gpu_driver", "host.gpu_driver", "device", "the driver compiles PTX and is not in the image"),
    Row("cuda_driver", "host.cuda_driver", "device", "the driver's CUDA is not in the image"),
    Row("python", "container.python", "bits", "another Python runs the program"),
    Row("glibc", "container.glibc", "bits", "libm's functions differ in the last bit between versions"),
    Row("cpus_visible", "container.cpus.#", "bits", "libraries split their work by the CPUs they see"),
    Row("threads", "container.threads", "bits", "another thread count sums in another order"),
    Row("isa", "container.isa", "bits", "another instruction set changes sums, and even random numbers"),
    Row("torch", "container.torch", "bits", "another torch has other kernels"),
    Row("torch_build", "container.torch_build", "bits", "another build has other libraries and flags"),
    Row("torch_cuda", "container.torch_cuda", "bits", "another CUDA has other kernels"),
    Row("cudnn", "container.cudnn", "bits", "cuDNN promises equal bits only for one version"),
    Row("distributions", "container.distributions", "bits", "another version of a package may compute something else"),
    Row("settings", "container.settings", "bits", "a determinism setting was not in force in both runs"),
    Row("environment", "container.environment", "bits", "the variable changes numbers"),
    Row("nccl", "container.nccl", "bits", "another NCCL adds up in another order"),
    Row("cublas", "container.cublas", "bits", "cuBLAS promises equal bits only for one version"),
    Row("probe", "container.probe", "bits", "fixed operations gave other numbers here"),
    Row("gpu_name", "container.gpus.*.name", "identity", "the spec names the GPU; another one gives other bits"),
    Row("gpu_capability", "container.gpus.*.compute_capability", "bits", "kernels are chosen by compute capability"),
    Row("gpu_multiprocessors", "container.gpus.*.multiprocessors", "bits",
        "cuBLAS and random numbers depend on the count of multiprocessors"),
    Row("gpu_mig", "container.gpus.*.mig", "bits", "an instance has fewer multiprocessors than the whole GPU"),
    Row("gpu_memory", "container.gpus.*.memory", "bits", "libraries choose algorithms by the memory that there is"),
    Row("hostname", "host.hostname", "context", "the container has a name of its own"),
    Row("kernel", "host.kernel", "context", "the kernel does no arithmetic for the program"),
    Row("os", "host.os", "context", "the image brings its own libraries"),
    Row("host_memory", "host.memory", "context", "the run has a memory limit of its own"),
    Row("engine_name", "engine.name", "context", "what it must do is checked, whatever its name"),
    Row("engine_version", "engine.version", "context", "it starts the container and computes nothing"),
)  # fmt: skip
"""Free disk, addresses, GPU serial numbers and time are left out: no two runs share them, and nothing follows."""


LATER = ("probe", "cpu_caches", "cpu_stepping")
"""Fields that records of before did not hold, or that not every machine tells: one side alone says nothing."""

_BLIND = "an image with Python 3.8 or newer is looked at from inside"
EXTRA = ("image", "container", "reference")
"""Fields of `compare` that are no row: whole parts, and the count."""


def compare(spec: Spec, reference: Fingerprint, now: Fingerprint) -> list[Finding]:
    """One finding for each field that differs, then one that counts those that are equal.

    Parts that `now` has not observed yet (image, container) are left out; a container that only one of the two could
    look into is one warning, since its fields cannot be compared.
    """
    before, after = _parts(reference), _parts(now)
    blind = [part for part in after if part not in before]
    findings = [finding(part, Answer("known", "not known of the reference", "warn", _BLIND)) for part in blind]
    if "container" in before and "container" not in after and now.container:
        findings.append(finding("container", Answer("known", now.container.reason or "not looked at", "warn", _BLIND)))
    shared = [row for row in ROWS if row.path.partition(".")[0] in before.keys() & after.keys()]
    differing = [one for row in shared if (one := _judge(spec, row, before, after))]
    equal = Answer(f"{len(shared)} fields as in the reference", f"{len(shared) - len(differing)} equal")
    return [*findings, *differing, finding("reference", equal)]


VISIBLE = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Variables that hold GPU serial numbers: the engine sets them, and no two machines share them."""


def _parts(fingerprint: Fingerprint) -> dict[str, Any]:
    """The observed parts as plain data; a container that could not be looked into is left out."""
    parts = fingerprint.model_dump(mode="json")
    for name in VISIBLE if fingerprint.container else ():
        parts["container"]["environment"].pop(name, None)
    seen = fingerprint.container is not None and fingerprint.container.checked
    return {name: part for name, part in parts.items() if part is not None and (name != "container" or seen)}


def _judge(spec: Spec, row: Row, before: Mapping[str, Any], after: Mapping[str, Any]) -> Finding | None:
    expected, observed = _look(before, row.path), _look(after, row.path)
    if expected == observed or (row.name in LATER and not (expected and observed)):
        return None
    if row.name == "probe":  # what a run took depends on the libraries that it loads
        shared = expected.keys() & observed.keys()
        expected, observed = ({name: side[name] for name in shared} for side in (expected, observed))
        if expected == observed:
            return None
    if isinstance(expected, dict) and isinstance(observed, dict):
        expected, observed = _only_differing(expected, observed)
    return finding(row.name, Answer(_text(expected), _text(observed), _severity(spec, row.kind), row.why))


def _severity(spec: Spec, kind: Class) -> Severity:
    if kind == "device":
        return "refuse" if spec.gpu else "info"
    if kind == "processor":
        return "refuse" if spec.tier == "native" and spec.gpu is None else "warn"
    return "info" if kind == "context" else "refuse"


def _look(value: Any, path: str) -> Any:
    """Follow a path; `*` maps over a list, sorted so that the order of GPUs does not matter, `#` counts it."""
    step, _, rest = path.partition(".")
    if not step:
        return value
    if step == "#":
        return len(value)
    if step == "*":
        return sorted((_look(item, rest) for item in value), key=str)
    return _look(value[step], rest)


def _only_differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    return {name: left.get(name) for name in names}, {name: right.get(name) for name in names}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value in (None, "") else str(value)
