"""The trace: one row of digests for each optimizer step of any PyTorch program, through torch's global hooks.

A row is taken at the step: what went into the model since the last one, where the random-number generators stand,
settings and gradients before it, parameters after it, the optimizer's state at every sixteenth. Rows are 64-bit numbers
in `trace-<process>.bin`, chained. Where tensors are on a GPU their sums are fetched once a step, without waiting, and
the row is written at the next step.

A trace must never disturb the program that it looks at: it draws no random numbers, leaves gradients and settings as
they are, and when it fails it says so in its header and ends.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import sys
from contextlib import nullcontext
from hashlib import sha256
from struct import Struct

from . import digest, loose, report
from .digest import Pending
from .lineage import Lineage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COLUMNS = ("inputs", "samples", "python", "numpy", "torch", "cuda", "gradients", "parameters", "state", "chain")
"""64-bit columns, after `step`, `optimizer`, `threads` and `flags`; zero where nothing was observed."""
ROW = Struct("<qHHI%dQ" % len(COLUMNS))
"""Step (-1: the parameters before the first one), optimizer, threads, flags, then `COLUMNS`; little-endian."""
STOPPED = 98
"""Exit status of a program that was ended after the step up to which it was to run."""
STATE_EVERY = 16
"""Steps between two digests of the optimizer's state."""
_MASK = 0xFFFFFFFFFFFFFFFF


class Trace:
    """The trace of one process."""

    def __init__(self, torch: Any, process: Lineage, level: str, stop_after: int | None) -> None:
        self.torch, self.process, self.level, self.stop_after = torch, process, level, stop_after
        self.step = 0
        """Optimizer steps taken so far."""
        self.on_step = []  # type: list[Callable[[int], None]]
        """Called with the number of the step that comes next, at the end of each."""
        self._optimizers = {}  # type: dict[int, int]
        self._names = {}  # type: dict[int, str]
        self.roots = []  # type: list[Any]
        self._begin()
        # what is buffered would be written by the child too
        os.register_at_fork(before=self._spill, after_in_child=self._begin)

    def _begin(self) -> None:
        """In a forked child too: a trace of its own, from step 0."""
        self.step, self._pid, self._chain, self._problem, self._closed = 0, os.getpid(), 0, "", False
        self._inputs, self._samples, self._depth = [], 0, 0  # type: list[int], int, int
        self._unseen = 0
        self._open = []  # type: list[dict[str, Any]]  # one optimizer may step another
        self._late, self._order = [], []  # type: list[Any], list[int]
        self._begun = set()  # type: set[int]
        self._file, self._each, self._stem = None, None, ""  # type: Any, Any, str

    def _spill(self) -> None:
        if self._file is not None:
            self._file.flush()

    def install(self) -> None:
        """Hook every optimizer and the outermost call of every module."""
        from torch.nn.modules import module

        optimizer = sys.modules["torch.optim.optimizer"]  # type: Any
        if not hasattr(optimizer, "register_optimizer_step_post_hook"):  # torch before 2.1
            return
        optimizer.register_optimizer_step_pre_hook(self.before)
        optimizer.register_optimizer_step_post_hook(self.after)
        self._by_hand = loose.ByHand(self.torch, self)
        module.register_module_forward_pre_hook(self._enter)
        module.register_module_forward_hook(self._leave, always_call=True)
        atexit.register(self.close)

    def _take(self, tensors: list[Any]) -> None:
        """Take what goes into a model into the row of the next step; tensors without values of their own are left."""
        if not tensors or self.torch.jit.is_tracing():
            return
        try:
            with self.torch.no_grad(), _unobserved(self.torch):
                self._inputs.append(digest.value(tensors))
                self._samples += sum(digest.samples(tensor) for tensor in tensors)
        except Exception:  # tensors without values of their own: told in the header, never the program's trouble
            self._inputs.append(0)
            self._unseen += 1

    def close(self) -> None:
        """Write what is still held back, and names; at exit, and before a fork's `_exit`."""
        if os.getpid() != self._pid or self._closed or not (self._file or self._problem):
            return
        self._closed, self.stop_after = True, None  # it ends already
        self._by_hand.close()
        if self._file is not None:
            self._guarded(self._flush)()
            self._file.flush()
        problem, self._problem = self._problem, ""
        names = [self._names.get(one, "parameter %d" % at) for at, one in enumerate(self._order)]
        document = {"process": self.process.name, "level": self.level, "steps": self.step, "problem": problem,
                    "names": names, "unseen_inputs": self._unseen}  # fmt: skip
        report.publish([(self._stem or "trace-%s" % self.process.name) + ".json"], document)

    # Hooks

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if self._problem or os.getpid() != self._pid:
                return
            try:
                with self.torch.no_grad(), _unobserved(self.torch):
                    hook(*arguments)
            except Exception as error:  # a tensor of a kind that nobody has seen: the run goes on without a trace
                self._problem = "%s at step %d: %s" % (type(error).__name__, self.step, error)
                self._late = []

        return guarded

    def _enter(self, module: Any, arguments: Any) -> None:
        if self.torch.compiler.is_compiling():
            return
        if not self._depth and not self._problem and os.getpid() == self._pid:
            if not any(module is root for root in self.roots) and len(self.roots) < 64:
                self.roots.append(module)
            self._by_hand.close()
            # hooks of all modules are not given keyword arguments; the frame that calls them has them
            named = sys._getframe(1).f_locals.get("kwargs")
            self._take([one for one in _leaves([arguments, named]) if not one.requires_grad])
        self._depth += 1

    def _leave(self, *_: Any) -> None:
        if not self.torch.compiler.is_compiling():
            self._depth = max(0, self._depth - 1)

    def before(self, optimizer: Any, *_: Any) -> None:
        """A step of an optimizer begins."""
        self._guarded(self._before)(optimizer)

    def after(self, optimizer: Any, *_: Any) -> None:
        """A step of an optimizer is over."""
        self._guarded(self._after)(optimizer)
        self._stepped()

    def _before(self, optimizer: Any) -> None:
        self._depth = 0
        number = self._optimizers.setdefault(id(optimizer), len(self._optimizers))
        parameters = _parameters(optimizer)
        if number not in self._begun:
            self._begun.add(number)
            self._write({"step": -1, "optimizer": number, "parameters": digest.digest(parameters)})
        row = {
            "step": self.step,
            "optimizer": number,
            "threads": min(self.torch.get_num_threads(), 0xFFFF),
            "flags": flags(self.torch),
            "inputs": _joined(self._inputs),
            "samples": self._samples & _MASK,
            **generators(self.torch),
            "gradients": digest.digest([one.grad for one in parameters]),
        }
        if self.level != "steps":
            row["each"] = [0 if one.grad is None else digest.value([one.grad]) for one in parameters]
        self._inputs, self._samples = [], 0
        self._open.append(row)

    def _after(self, optimizer: Any) -> None:
        parameters = _parameters(optimizer)
        row = self._open.pop()
        row.update(step=self.step, parameters=digest.digest(parameters))
        if self.step % STATE_EVERY == 0:
            row["state"] = digest.digest(_state(optimizer, parameters))
        if self.level != "steps":
            self._keep_each(row, parameters)
        self._write(row)
        if not self._names:
            self._names = {id(one): name for root in self.roots for name, one in root.named_parameters()}
        self._order = [id(one) for one in parameters]

    def _stepped(self) -> None:
        """Count it. Not within `_guarded`: a capture enters and leaves its mode here."""
        if os.getpid() != self._pid:
            return
        self.step += 1
        for tell in self.on_step:
            tell(self.step)
        if self.stop_after is not None and self.step > self.stop_after:
            sys.stdout.flush()
            os._exit(STOPPED)  # which reports first

    # Rows

    def _write(self, row: dict[str, Any]) -> None:
        """Hold the row back until its sums are here: on the CPU they are, from a GPU they come while the next runs."""
        if self._file is None:
            self._file = report.stream("trace-%s" % self.process.name, ".bin", held=10 * ROW.size)  # followed live
            self._stem = os.path.basename(self._file.name)[:-4]
        self._flush()
        waiting = {name: one for name, one in row.items() if isinstance(one, Pending)}
        far = [part for one in waiting.values() for part in one.sums if part.device.type != "cpu"]
        self._late.append((row, waiting, _fetch(self.torch, far)))
        if not far:
            self._flush()

    def _flush(self) -> None:
        for row, waiting, arrive in self._late:
            fetched = arrive()
            for name, one in waiting.items():
                near = [fetched.pop(0) if part.device.type != "cpu" else digest._bytes(part) for part in one.sums]
                row[name] = one.value(near)
            values = [row.get(name, 0) for name in COLUMNS[:-1]]
            head = [row["step"], row["optimizer"], row.get("threads", 0), row.get("flags", 0)]
            link = sha256(ROW.pack(*head, *values, self._chain)).digest()
            self._chain = int.from_bytes(link[:8], "little")
            self._file.write(ROW.pack(*head, *values, self._chain))
        self._late = []

    def _keep_each(self, row: dict[str, Any], parameters: list[Any]) -> None:
        if self._each is None:
            self._each = report.stream(self._stem, ".jsonl")
        line = {"step": self.step, "gradients": row.pop("each"),
                "parameters": [digest.value([one]) for one in parameters]}  # fmt: skip
        self._each.write(json.dumps(line).encode() + b"\n")
        self._each.flush()


def generators(torch: Any) -> dict[str, int]:
    """Where each random-number generator stands, as 64 bits; generators of modules not imported are left out."""
    found = {"python": _short(repr(random.getstate()[1]).encode()) if "random" in sys.modules else 0}
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        name, key, position, *rest = numpy.get_state()
        found["numpy"] = _short(key.tobytes() + repr((name, position, rest)).encode())
    found["torch"] = _short(digest._bytes(torch.get_rng_state()))
    if torch.cuda.is_initialized():
        states = [digest._bytes(one.get_state()) for one in torch.cuda.default_generators]
        found["cuda"] = _short(b"".join(states))
    return found


def flags(torch: Any) -> int:
    """The switches that change what torch computes, as bits: deterministic, warn only, cuDNN, TF32, default dtype."""
    switches = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch._C._get_cudnn_deterministic(),
        torch._C._get_cudnn_benchmark(),
        torch._C._get_mkldnn_enabled(),
        torch.get_default_dtype() is torch.float32,
        torch.utils.deterministic.fill_uninitialized_memory if hasattr(torch.utils, "deterministic") else False,
        torch._C._get_cublas_allow_tf32(),
        torch._C._get_cudnn_allow_tf32(),
    )
    return sum(1 << at for at, on in enumerate(switches) if on)


def _fetch(torch: Any, sums: list[Any]) -> Callable[[], list[bytes]]:
    """Start to bring sums here; the function that is returned gives their bytes, one for each."""
    if not sums:
        return list
    flat = torch.cat([one.reshape(-1).view(torch.uint8) for one in sums])
    lengths = [one.numel() * one.element_size() for one in sums]
    pinned = torch.empty(flat.shape, dtype=torch.uint8, pin_memory=flat.is_cuda)
    pinned.copy_(flat, non_blocking=True)
    done = torch.cuda.Event() if flat.is_cuda else None
    if done is not None:
        done.record()

    def arrive() -> list[bytes]:
        if done is not None:
            done.synchronize()
        data, at, found = digest._bytes(pinned), 0, []
        for length in lengths:
            found.append(data[at : at + length])
            at += length
        return found

    return arrive


def _parameters(optimizer: Any) -> list[Any]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def _state(optimizer: Any, parameters: list[Any]) -> list[Any]:
    found = []
    for one in parameters:
        state = optimizer.state.get(one, {})
        found += [state[key] for key in sorted(state) if hasattr(state[key], "data_ptr")]
    return found


def _leaves(value: Any) -> list[Any]:
    """The tensors in nested arguments."""
    if hasattr(value, "data_ptr") and hasattr(value, "requires_grad"):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [leaf for item in items for leaf in _leaves(item)]


def _unobserved(torch: Any) -> Any:
    """A context in which what we compute is seen by no mode of the program's, nor by our own capture."""
    if not torch._C._len_torch_dispatch_stack():
        return nullcontext()
    from torch.utils._python_dispatch import _disable_current_modes

    return _disable_current_modes()


def _joined(digests: list[int]) -> int:
    return _short(b"".join(one.to_bytes(8, "little") for one in digests)) if digests else 0


def _short(data: bytes) -> int:
    return int.from_bytes(sha256(data).digest()[:8], "little")
