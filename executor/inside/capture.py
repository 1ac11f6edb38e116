"""Every operation of one training step: what went in, what came out, and the line of the program that asked for it.

A diagnosis runs both sides up to the step where their traces part, with this for that step alone; whoever compares the
two lists finds the first operation with equal inputs and unequal outputs. Lines of a backward pass are those of the
forward operations that it belongs to.
"""

from __future__ import annotations

import json
import os
import re
import sys
from itertools import count

from . import digest, entropy, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .trace import Trace

_MOST = 300_000
"""Operations that are kept of one step."""
_MOST_BYTES = 1 << 28
"""Bytes of a list; the reader takes no more."""
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def install(torch: Any, trace: Trace, step: int | None) -> None:
    """Capture step number `step` (0-based count of optimizer steps), from the end of the one before to its own.

    None for all of them; the list is bounded, and ends where the bound is reached.
    """
    capture = _Capture(torch, trace)
    if step is None:
        capture.begin()
        return
    trace.on_step.append(lambda coming: capture.begin() if coming == step else capture.end())
    if step == 0:
        capture.begin()


class _Capture:
    def __init__(self, torch: Any, trace: Trace) -> None:
        self.torch, self.trace = torch, trace
        self._mode = None  # type: Any
        self._anomaly = None  # type: Any

    def begin(self) -> None:
        if self._mode is None:
            self._mode = _mode(
                self.torch, report.stream("operations-%s" % self.trace.process.name, ".jsonl"), self.trace
            )
            # records the lines of forward operations for the backward pass; does not look for NaN
            self._anomaly = self.torch.autograd.set_detect_anomaly(True, check_nan=False)
            self._mode.__enter__()

    def end(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._anomaly.__exit__()
            self._mode.file.close()
            self._mode = None


def _mode(torch: Any, file: Any, trace: Trace) -> Any:
    """The mode that writes every operation to `file`."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.file, self._pid, self._number, self._bytes = file, os.getpid(), count(), 0

        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            options = options or {}
            if str(function).startswith("profiler."):  # marks a range and computes nothing
                return function(*arguments, **options)
            line = self._before(function, arguments, options)
            result = function(*arguments, **options)
            if line is not None:
                self._after(line, function, arguments, options, result)
            return result

        def _before(self, function: Any, arguments: Any, options: Any) -> Any:
            number = next(self._number)
            if os.getpid() != self._pid or number >= _MOST or self._bytes > _MOST_BYTES:
                return None
            with torch.no_grad():
                tensors, plain = _split([arguments, options])
                line = {
                    "step": trace.step,
                    "op": str(function),
                    "in": [_known(one) for one in tensors],
                    "at": [_address(one) for one in tensors],
                    "shapes": [str(tuple(one.shape)) for one in tensors],
                    "args": plain,
                    "where": _where(torch),
                }
                if getattr(torch, "Tag", None) and torch.Tag.nondeterministic_seeded in function.tags:
                    line["rng"] = _generators(torch, options)
            return line

        def _after(self, line: Any, function: Any, arguments: Any, options: Any, result: Any) -> None:
            with torch.no_grad():
                written = _written(function, arguments, options)
                outputs = _split([result])[0] + written
                line["out"] = [_known(one) for one in outputs]
                line["to"] = [_address(one) for one in outputs]
                line["wrote"] = [_address(one) for one in written]
            data = json.dumps(line).encode() + b"\n"
            self._bytes += len(data)
            self.file.write(data)

    return Mode()


def _known(tensor: Any) -> str:
    try:
        return "%016x" % digest.value([tensor])
    except Exception:  # a tensor without values of its own
        return ""


def _address(tensor: Any) -> int:
    """What tells two tensors of one run apart; never compared between runs."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except Exception:  # a tensor without storage: no address tells it apart, and 0 is taken for none
        return 0


def _split(value: Any) -> tuple[list[Any], list[str]]:
    """Tensors and plain values in nested arguments, in order; what prints its address is left out."""
    if hasattr(value, "untyped_storage"):
        return [value], []
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, (list, tuple)):
        pairs = [_split(item) for item in value]
        return [one for tensors, _ in pairs for one in tensors], [one for _, plain in pairs for one in plain]
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return [], [repr(value)[:100]]
    text = str(value)
    return [], [text[:100]] if " at 0x" not in text and "object" not in text else []


def _written(function: Any, arguments: Any, options: Any) -> list[Any]:
    """Arguments that the operation writes to."""
    found = []
    for at, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = arguments[at] if at < len(arguments) else options.get(argument.name)
            found += _split([value])[0]
    return found


def _generators(torch: Any, options: Any) -> str:
    generator = options.get("generator") or torch.default_generator
    states = [generator.get_state()]
    if torch.cuda.is_initialized():
        states += [one.get_state() for one in torch.cuda.default_generators]
    return "%016x" % digest.value(states)


def _where(torch: Any) -> str:
    """Line of the program: of the forward operation, when this belongs to a backward pass."""
    node = torch._C._current_autograd_node() if hasattr(torch._C, "_current_autograd_node") else None
    lines = node.metadata.get("traceback_", []) if node is not None else []
    for text in reversed(lines):
        found = _FRAME.search(text)
        if found and entropy.is_program(found.group(1)):
            return "%s:%s" % (entropy.shown(found.group(1)), found.group(2))
    return entropy.where(sys._getframe(2))
