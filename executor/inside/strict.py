"""What torch does with numbers: deterministic settings put in force, verified, and read back.

Written for torch 1.11 and newer; what a version lacks is left out.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from operator import attrgetter

from . import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SETTINGS = {
    "fill_uninitialized_memory": ("utils.deterministic.fill_uninitialized_memory", False),
    "cudnn_deterministic": ("backends.cudnn.deterministic", True),
    "cudnn_benchmark": ("backends.cudnn.benchmark", False),
    "cudnn_tf32": ("backends.cudnn.allow_tf32", False),
    "matmul_tf32": ("backends.cuda.matmul.allow_tf32", False),
    "fp16_reduced_precision_reduction": ("backends.cuda.matmul.allow_fp16_reduced_precision_reduction", False),
    "bf16_reduced_precision_reduction": ("backends.cuda.matmul.allow_bf16_reduced_precision_reduction", False),
    "fp16_accumulation": ("backends.cuda.matmul.allow_fp16_accumulation", False),
}
_VML = "acos asin atan cos erf erfc erfinv exp expm1 log log10 log1p log2 sin sqrt tan tanh trunc floor ceil round"


def enforce(torch: Any, relaxed: frozenset[str] = frozenset()) -> None:
    """Set torch up as the plan says and end this process with status 97 when it is not what the plan says.

    `relaxed` names what is left out: `deterministic`, `fill`, `sqrt`, `warm_up`.
    """
    plan = report.plan()
    expect = plan["expect"]
    if os.environ.get("OMP_NUM_THREADS") == str(expect["threads"]) != str(torch.get_num_threads()):
        torch.set_num_threads(expect["threads"])
    if plan["determinism"] != "off" and "deterministic" not in relaxed:
        _deterministic(torch, warn_only=plan["determinism"] == "warn")
    if "fill" in relaxed:
        torch.utils.deterministic.fill_uninitialized_memory = True
    if plan["tier"] == "portable" and "sqrt" not in relaxed:
        _portable_sqrt(torch)
    if "warm_up" not in relaxed:
        _warm_up(torch)
    findings = check(expect, os.environ.get, str(torch.__version__), torch.get_num_threads(), isa(torch))
    refused = report.judge(findings, plan["allow"])
    report.publish(["torch.json"], dict(facts(torch), findings=findings))
    if refused:
        sys.stdout.flush()
        os._exit(report.REFUSED)


def check(expect: Any, variable: Any, version: str, threads: int, capability: str) -> list[dict[str, Any]]:
    """Compare torch with the plan; `variable` looks up an environment variable.

    A program that changes a variable before it imports torch has made a choice of its own: a warning, not a refusal.
    """
    findings = []
    if expect["torch"] not in (None, version):
        findings.append(report.finding("torch", expect["torch"], version, "run in the image of the reference"))
    if threads != expect["threads"]:
        own = variable("OMP_NUM_THREADS") != str(expect["threads"])
        advice = "the program set OMP_NUM_THREADS itself" if own else "give the run as many CPUs as `cpu.threads` says"
        findings.append(report.finding("cpu.threads", expect["threads"], threads, advice, "warn" if own else "refuse"))
    if capability != expect["isa"]:
        own = variable("ATEN_CPU_CAPABILITY") != expect["isa"]
        advice = "the program set ATEN_CPU_CAPABILITY itself" if own else "run on a CPU that has it, or lower `cpu.isa`"
        findings.append(report.finding("cpu.isa", expect["isa"], capability, advice, "warn" if own else "refuse"))
    return findings


def isa(torch: Any) -> str:
    """CPU capability that torch dispatches to: `default`, `avx2`, `avx512`, or the name that another CPU family has."""
    found = re.search(r"CPU capability usage: (.+)", torch.__config__.show())
    name = found.group(1).strip().lower() if found else "default"
    return "default" if name == "no avx" else name


def facts(torch: Any) -> dict[str, Any]:
    """The part of `executor.facts.ContainerFacts` that only torch can tell."""
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    return {
        "torch": torch.__version__,
        "torch_build": torch.__config__.show(),
        "torch_cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
        "cublas": _cublas() if torch.version.cuda else None,
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if _get(torch, "version.cuda") else None,
        "threads": torch.get_num_threads(),
        "isa": isa(torch),
        "settings": settings(torch),
    }


def _cublas() -> Any:
    """Version of the cuBLAS in this process, asked of itself; none when there is none."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        path = next((line.split(None, 5)[-1].strip() for line in maps if "libcublas.so" in line), None)
    if path is None:
        return None
    library, part = ctypes.CDLL(path), ctypes.c_int()
    found = []
    for which in range(3):  # major, minor, patch
        library.cublasGetProperty(which, ctypes.byref(part))
        found.append(str(part.value))
    return ".".join(found)


def settings(torch: Any) -> dict[str, Any]:
    """Everything in force that can change what torch computes; none where this torch has no such setting."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "threads": torch.get_num_threads(),
        "isa": isa(torch),
        "seed": torch.initial_seed(),
        "mkldnn": torch._C._get_mkldnn_enabled(),
        **{name: _get(torch, path) for name, (path, _) in _SETTINGS.items()},
    }


def _deterministic(torch: Any, warn_only: bool) -> None:
    # The public function spends a second on importing torch._inductor, to set what TORCHINDUCTOR_DETERMINISTIC sets.
    torch._C._set_deterministic_algorithms(True, warn_only=warn_only)
    for path, value in _SETTINGS.values():
        if _get(torch, path) is not None:
            owner, name = path.rsplit(".", 1)
            setattr(attrgetter(owner)(torch), name, value)


def _get(torch: Any, path: str) -> Any:
    try:
        return attrgetter(path)(torch)
    except (AttributeError, AssertionError):  # this torch has none; `torch.backends` asserts that a name is known
        return None
    except RuntimeError:  # torch refuses to sum up precisions that the program set one by one
        return "mixed"


def _warm_up(torch: Any) -> None:
    # The first concurrent call of a function of oneMKL 2024.2 may take another kernel in one of the threads; sixteen
    # elements are one thread's work.
    for dtype in (torch.float32, torch.float64):
        values = torch.full((16,), 0.5, dtype=dtype)
        for name in _VML.split():
            getattr(torch, name)(values)


def _portable_sqrt(torch: Any) -> None:
    # oneMKL's single-precision square root starts from `rsqrtps`, whose bits differ between vendors. Rounded from
    # double precision it is correct everywhere. Optimizers are where it matters.
    def rounded(original: Any) -> Any:
        def sqrt(values: Any, **options: Any) -> Any:
            if values.dtype is not torch.float32 or values.device.type != "cpu" or options:
                return original(values, **options)
            return original(values.double()).float()

        return sqrt

    root = rounded(torch.sqrt)
    torch.sqrt = torch.Tensor.sqrt = root
    torch.Tensor.sqrt_ = lambda values: values.copy_(root(values))
    torch._foreach_sqrt = lambda many: [root(values) for values in many]
    torch._foreach_sqrt_ = lambda many: [values.sqrt_() for values in many] and None
