"""What every process that computes leaves when it ends: the settings that were in force, and what it did to them.

`process-<n>.json` is written at the end of every process that owes a report (`owed`): the program itself, and all that
import numpy or torch. One that began and left none proves nothing.
"""

from __future__ import annotations

import os
import re
import sys

from . import entropy, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .lineage import Lineage

_SETTERS = (
    "use_deterministic_algorithms",
    "set_deterministic_debug_mode",
    "set_num_threads",
    "set_num_interop_threads",
    "set_flush_denormal",
    "set_float32_matmul_precision",
    "set_default_dtype",
)
"""Functions of torch that change what it computes; who calls them is written down."""
_MOST = 200


class Ending:
    """The report of one process."""

    def __init__(self, process: Lineage, log: entropy.Log) -> None:
        self.process, self.log = process, log
        self.at_end = []  # type: list[Callable[[], None]]
        """Called before the report is written."""
        os.register_at_fork(after_in_child=self._forget)
        self._pid, self._said = 0, 0
        self._probe = {}  # type: dict[str, str]
        self._calls, self._warned = [], []  # type: list[dict[str, Any]], list[str]

    def _forget(self) -> None:
        del self._calls[:]
        del self._warned[:]

    def probed(self, found: dict[str, str]) -> None:
        """Remember the numeric probe at launch: this process takes it again at its end."""
        self._probe, self._pid = found, os.getpid()

    def watch(self, torch: Any) -> None:
        """Write down who changes settings, and which operations torch warns of."""
        for name in _SETTERS:
            if hasattr(torch, name):
                setattr(torch, name, self._watched(name, getattr(torch, name)))
        warnings = sys.modules.get("warnings")  # type: Any
        if warnings is not None:
            show = warnings.showwarning

            def showwarning(message: Any, *arguments: Any, **options: Any) -> None:
                self._hear(str(message))
                show(message, *arguments, **options)

            warnings.showwarning = showwarning

    def end(self) -> None:
        """Write the report, once in each process; a report that cannot be written is one that is missing."""
        if self._said == os.getpid():
            return
        self._said = os.getpid()
        try:
            for tell in self.at_end:
                tell()
            report.publish(report.numbered("process"), self.document())
        except Exception:  # nothing is proven then, and the record says so; the program ends as it would
            return

    def document(self) -> dict[str, Any]:
        """Everything that the report says."""
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        # a torch whose import failed half-way, or was never finished, has no settings
        ready = torch is not None and hasattr(torch, "initial_seed")
        from . import strict

        return {
            "process": self.process.name,
            "python": sys.version.split()[0],
            "numpy": getattr(numpy, "__version__", None),
            "torch": getattr(torch, "__version__", None),
            "settings": strict.settings(torch) if ready else {},
            "calls": self._calls,
            "entropy": self.log.document(),
            "undetermined": self._warned + self._raised(),
            "modules": _versions(),
            "libraries": libraries() if self._pid == os.getpid() else [],
            "probe_changed": self._probe_changed(),
        }

    def _probe_changed(self) -> list[str]:
        if self._pid != os.getpid():
            return []
        from . import numeric

        now = numeric.probe()
        return sorted(name for name, value in self._probe.items() if now.get(name) != value)

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            caller = sys._getframe(1)
            place = entropy.is_program(caller.f_code.co_filename) and entropy.where(caller)
            if place and len(self._calls) < _MOST:
                said = ", ".join([repr(one) for one in arguments] + ["%s=%r" % item for item in options.items()])
                self._calls.append({"call": "torch.%s(%s)" % (name, said[:200]), "where": place,
                                    "step": self.log.step()})  # fmt: skip
            return original(*arguments, **options)

        call.__name__, call.__doc__ = name, original.__doc__
        return call

    def _hear(self, message: str) -> None:
        found = re.match(r"(\S+) does not have a deterministic implementation", message)
        if found and len(self._warned) < _MOST:
            self._warned.append("%s at %s" % (found.group(1), entropy.where(sys._getframe(2)) or "an unknown place"))

    def _raised(self) -> list[str]:
        """The operation that ended the program, when it has no deterministic implementation."""
        error = getattr(sys, "last_value", None)
        found = re.match(r"(\S+) does not have a deterministic implementation", str(error)) if error else None
        if not found:
            return []
        step, place = getattr(error, "__traceback__", None), ""
        while step is not None:
            file = step.tb_frame.f_code.co_filename
            place = "%s:%d" % (entropy.shown(file), step.tb_lineno) if entropy.is_program(file) else place
            step = step.tb_next
        return ["%s at %s" % (found.group(1), place or "an unknown place")]


def _versions() -> dict[str, str]:
    """Version and file of every top-level module outside the standard library: which copy was really used."""
    found = {}  # type: dict[str, str]
    for name, module in sorted(sys.modules.items()):
        version = getattr(module, "__version__", None)
        if "." not in name and isinstance(version, str) and len(found) < _MOST:
            found[name] = "%s (%s)" % (version, getattr(module, "__file__", None) or "built in")
    return found


def libraries() -> list[str]:
    """Shared objects in this process, with the bytes of each: paths, sorted."""
    found = set()
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.split(None, 5)[-1].strip()
            if path.startswith("/") and ".so" in path and os.path.isfile(path):
                found.add(path)
    return ["%s %d" % (path, os.path.getsize(path)) for path in sorted(found)]
