"""What a container looks like from inside without importing torch, and the check of it against the plan."""

from __future__ import annotations

import os
import re
import sys

from .report import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NUMERIC = re.compile(
    r"(ATEN|BLIS|CUBLAS|CUDA|CUDNN|DNNL|FLASH_ATTENTION|GLIBC|GOMP|KMP|MKL|NCCL|NPY|NUMEXPR|NVIDIA|NVTE|OMP|ONEDNN|OPENBLAS"
    r"|PYTHON|PYTORCH|TORCH|TORCHINDUCTOR|TF|XLA|LC|LD|MAMBA|CAUSAL_CONV1D|TOKENIZERS)_?[A-Z0-9_]*|LANG|TZ|HF_(HUB|DATASETS)_OFFLINE|HOSTNAME|MPLBACKEND|SOURCE_DATE_EPOCH|EXECUTOR_SEED"
)
_NEEDED = {
    "default": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
}  # type: dict[str, set[str]]


def container() -> dict[str, Any]:
    """The fields of `executor.facts.ContainerFacts` that can be known without torch and without the CUDA driver."""
    version = torch_version(sys.path)
    return {
        "checked": True,
        "python": sys.version.split()[0],
        "glibc": glibc(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "torch": version.get("__version__"),
        "torch_cuda": version.get("cuda"),
        "gpus": [],
        "distributions": distributions(sys.path),
        "environment": {key: os.environ[key] for key in sorted(os.environ) if _NUMERIC.fullmatch(key)},
    }


def check(expect: Any, facts: Any, flags: set[str], no_gpu: str) -> list[dict[str, Any]]:
    """Compare the container with what the plan expects; `flags` are the CPU's, `no_gpu` is why none was seen. Pure."""
    findings = []
    if len(facts["cpus"]) != expect["cpus"]:
        advice = "the engine gave the container other CPUs than the plan asks for"
        findings.append(finding("cpu.threads", "%d CPUs" % expect["cpus"], "%d CPUs" % len(facts["cpus"]), advice))
    missing = sorted(_NEEDED[expect["isa"]] - flags)
    if missing:
        advice = "run on a CPU that has it, or lower `cpu.isa`"
        findings.append(finding("cpu.isa", expect["isa"], "a CPU without " + ", ".join(missing), advice))
    if expect["torch"] not in (None, facts["torch"]):
        findings.append(finding("torch", expect["torch"], facts["torch"], "run in the image of the reference"))
    return findings + _check_gpus(expect["gpus"], facts["gpus"], no_gpu)


def _check_gpus(expected: Any, observed: Any, no_gpu: str) -> list[dict[str, Any]]:
    if len(expected) != len(observed):
        seen = "%d%s" % (len(observed), " (%s)" % no_gpu if expected and no_gpu else "")
        return [finding("gpu.count", len(expected), seen, "the engine must give the container exactly these GPUs")]
    findings = []
    for field, key, text in (("gpu.type", "name", str), ("gpu.uuid", "uuid", _bare)):
        wanted, found = (sorted(text(gpu[key]) for gpu in gpus) for gpus in (expected, observed))
        if wanted != found and all(wanted):  # the serial numbers of another machine's GPUs are not known before
            advice = "the engine gave the container another GPU than was chosen"
            findings.append(finding(field, ", ".join(wanted), ", ".join(found), advice))
    return findings


def _bare(uuid: str) -> str:
    return uuid.split("-", 1)[-1].lower()


def cpu_flags() -> set[str]:
    """Features of the CPU, as Linux names them; empty where it names none."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())


def glibc() -> str:
    """Version of glibc; empty with another C library."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").replace("glibc ", "")
    except ValueError:
        return ""


def torch_version(path: list[str]) -> dict[str, Any]:
    """The constants of `torch/version.py` on `path`, read without importing torch; empty when there is no torch."""
    values = {}  # type: dict[str, Any]
    for entry in path:
        file = os.path.join(entry, "torch", "version.py")
        if os.path.isfile(file):
            with open(file, encoding="utf-8") as source:
                exec(source.read(), values)
            break
    return values


def distributions(path: list[str]) -> dict[str, str]:
    """Installed Python distributions (normalised names) and versions on `path`; the first one counts."""
    found = {}  # type: dict[str, str]
    for folder in path:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            match = re.match(r"([^-]+)-([^-]+)(-.*)?\.(dist|egg)-info$", name)
            if match:
                found.setdefault(re.sub(r"[-_.]+", "-", match.group(1)).lower(), match.group(2))
    return found
