"""After-import hooks: what is to happen right after random, numpy and torch are imported, and not before."""

from __future__ import annotations

import sys

from . import entropy, lineage, owed, seed

TYPE_CHECKING = False  # `typing` itself costs milliseconds that every process of a run would pay
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hooks = dict[str, Callable[[Any], None]]


class Finder:
    """A meta path finder that lets the others find a module and runs its hook when it has been executed."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders give; its loader runs the hook once, then is as it was."""
        if name not in self.hooks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not self else None
            if spec:
                if spec.loader:
                    self._watch(name, spec.loader)
                return spec
        return None

    def _watch(self, name: str, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            del loader.exec_module
            execute(module)
            self.run(name, module)

        loader.exec_module = exec_module

    def run(self, name: str, module: Any) -> None:
        """Run a hook, unless it has run before."""
        hook = self.hooks.pop(name, None)
        if hook:
            hook(module)


def after_import(hooks: Hooks) -> Finder:
    """Run each hook with its module: now when it is imported already, else right after it is."""
    finder = Finder(dict(hooks))
    sys.meta_path.insert(0, finder)
    for name in hooks:
        if name in sys.modules:
            finder.run(name, sys.modules[name])
    return finder


def install(number: int, relaxed: frozenset[str]) -> None:
    """Seed this process and all that it starts with `number`; set, check, trace and report what it computes.

    `relaxed` names the parts of the contract that a varied run goes without.
    """
    process, log = lineage.start(), entropy.Log()
    streams, reports = seed.Streams(number, process, relaxed, log), []  # type: seed.Streams, list[Any]
    log.install()

    def ending() -> Any:
        from .exit import Ending

        if not reports:
            reports.append(Ending(process, log))
        return reports[0]

    def owe() -> None:
        owed.owe(process, lambda: ending().end())

    def on_random(module: Any) -> None:
        log.watch_random(module)
        streams.seed_random(module)

    def on_torch(module: Any) -> None:
        from . import strict

        streams.seed_torch(module)
        strict.enforce(module, relaxed)
        owe()
        ending().watch(module)
        _observe(module, process, log, ending())

    hooks = {"random": on_random, "numpy.random": streams.seed_numpy, "numpy": lambda _: owe(), "torch": on_torch}
    after_import(hooks)
    if process.name == "0":  # the program itself owes a report whatever it imports
        owe()


def _observe(torch: Any, process: lineage.Lineage, log: entropy.Log, ending: Any) -> None:
    """Take the numeric probe, once in a run, and start the trace."""
    from . import capture, numeric, report, trace

    if report.claim("probe"):
        found = numeric.probe()
        ending.probed(found)
        report.publish(["probe.json"], {"probe": found})
    wanted = report.plan().get("trace", {})
    if wanted.get("level", "off") != "off":
        rows = trace.Trace(torch, process, wanted["level"], wanted.get("stop_after"))
        rows.install()
        log.step = lambda: rows.step
        ending.at_end.append(rows.close)
        if wanted.get("capture") is not None or wanted["level"] == "operations":
            capture.install(torch, rows, wanted.get("capture"))
