"""The numeric probe: hashes of fixed operations on fixed numbers, with no word of the program's.

Two machines whose hashes agree are far better candidates for equal results than two whose CPUs have one name. Each
family is computed where its library is in the process already, and never imports one. Random operations draw from
generators of their own.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MATH = ("exp", "log", "sin", "cos", "tan", "tanh", "atan", "log1p", "expm1", "erf")
_PRODUCTS = {"cpu": ((96, 128, 64), (1, 512, 512), (256, 256, 256)), "cuda": ((512, 2048, 512), (64, 64, 64))}
"""Rows, depth and columns of matrix products."""
_POINTWISE = ("exp", "log", "sqrt", "sin", "tanh", "sigmoid", "erf", "rsqrt")


def probe() -> dict[str, str]:
    """Sixteen hex digits for each operation that this process has the library for; `error` where it failed."""
    found = dict(_hashed(_math()))
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")  # type: Any, Any
    if hasattr(numpy, "linalg"):
        found.update(_hashed(_numpy(numpy)))
    if hasattr(torch, "optim"):
        with torch.no_grad():
            found.update(_hashed(_torch(torch, "cpu")))
            if torch.cuda.is_available():
                found.update(_hashed(_torch(torch, "cuda")))
    return found


def main() -> int:
    """Take the probe in a process of its own, under the same contract: `probe.json`, and torch's facts."""
    import torch

    try:
        import numpy as np  # noqa: F401 it has operations of its own
    except ImportError:
        pass
    from . import report, strict

    strict.enforce(torch, frozenset(os.environ.get("EXECUTOR_RELAXED", "").split(",")))
    report.publish(["probe.json"], {"probe": probe()})
    return 0


def _hashed(operations: Iterator[tuple[str, Callable[[], Any]]]) -> Iterator[tuple[str, str]]:
    for name, compute in operations:
        try:
            result = compute()
            data = result if isinstance(result, bytes) else _raw(result)
            yield name, hashlib.sha256(data).hexdigest()[:16]
        except Exception:  # an operation that this version or device lacks: the same everywhere it lacks it
            yield name, "error"


def _raw(result: Any) -> bytes:
    if hasattr(result, "detach"):
        from . import digest

        return digest._bytes(result.detach().contiguous().cpu())
    return bytes(result.tobytes())


def _math() -> Iterator[tuple[str, Callable[[], Any]]]:
    values = [(at * 7919 % 10007 + 1) / 4001 for at in range(500)]
    for name in _MATH:
        function = getattr(math, name)
        yield "math." + name, partial(_packed, function, values)
    yield "math.pow", lambda: struct.pack("<500d", *(one**1.37 for one in values))
    yield "denormal", lambda: struct.pack("<2d", 5e-324 * 1.0, 2.3e-308 / 3)


def _packed(function: Callable[[float], float], values: list[float]) -> bytes:
    return struct.pack("<500d", *map(function, values))


def _numpy(numpy: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    wide = (numpy.arange(128 * 96) * 7919 % 10007 / 4001 - 1).reshape(128, 96)
    narrow = wide.astype("float32")
    yield "numpy.dot", lambda: wide.T @ wide
    yield "numpy.dot32", lambda: narrow.T @ narrow
    yield "numpy.svd", lambda: numpy.linalg.svd(wide)[1]
    yield "numpy.sum", lambda: numpy.asarray([narrow.sum(), wide.mean()])
    yield "numpy.exp", lambda: numpy.exp(wide)
    yield "numpy.exp32", lambda: numpy.exp(narrow)
    yield "numpy.tanh32", lambda: numpy.tanh(narrow)
    yield "numpy.normal", lambda: numpy.random.RandomState(0).randn(1000)


def _torch(torch: Any, device: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    functional, at = torch.nn.functional, "torch." if device == "cpu" else "cuda."

    def numbers(*shape: int) -> Any:  # exact in every instruction set
        count = math.prod(shape)
        return (torch.arange(count) * 7919 % 10007 / 4001 - 1).to(device).reshape(shape)

    def product(rows: int, depth: int, columns: int) -> Any:
        return numbers(rows, depth) @ numbers(depth, columns)

    def generator() -> Any:
        return torch.Generator(device).manual_seed(0)

    matrix, line = numbers(96, 128), numbers(40_000).abs() + 0.1
    for size in _PRODUCTS[device]:
        yield at + "mm%d" % size[0], partial(product, *size)
    yield at + "mm64", lambda: matrix.double() @ matrix.double().T
    yield at + "mm16", lambda: matrix.bfloat16() @ matrix.bfloat16().T
    yield at + "mv", lambda: matrix @ numbers(128)
    yield at + "conv2d", lambda: functional.conv2d(numbers(2, 8, 20, 20), numbers(16, 8, 3, 3))
    yield at + "sum", lambda: torch.stack([line.sum(), line.mean(), line.var()])
    yield at + "sum_rows", lambda: matrix.sum(1)
    yield at + "cumsum", lambda: line.cumsum(0)
    yield at + "softmax", lambda: matrix.softmax(1)
    yield at + "log_softmax", lambda: matrix.log_softmax(1)
    yield at + "layer_norm", lambda: functional.layer_norm(matrix, (128,))
    yield at + "batch_norm", lambda: functional.batch_norm(matrix, None, None, training=True)
    yield at + "gelu", lambda: functional.gelu(matrix)
    yield at + "attention", lambda: functional.scaled_dot_product_attention(*[numbers(1, 2, 64, 16)] * 3)
    for name in _POINTWISE:
        yield at + name, partial(getattr(torch, name), line)
    yield at + "pow", lambda: line**1.37
    yield at + "randn", lambda: torch.randn(5000, generator=generator(), device=device)
    yield at + "rand", lambda: torch.rand(600_000, generator=generator(), device=device)
    yield at + "randperm", lambda: torch.randperm(1000, generator=generator(), device=device)
    yield at + "index_put", lambda: _accumulated(torch, line, device)


def _accumulated(torch: Any, line: Any, device: str) -> Any:
    places = (torch.arange(line.numel()) * 31 % 97).to(device)
    return torch.zeros(97, device=device).index_put_((places,), line, accumulate=True)
