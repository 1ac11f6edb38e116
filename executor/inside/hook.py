"""After-import hooks: what is to happen right after random, numpy and torch are imported, and not before."""

from __future__ import annotations

import sys

from . import lineage, seed

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


def install(number: int) -> None:
    """Seed this process and all that it starts with `number`; set, check and report torch when it is imported."""
    process = lineage.start()
    streams = seed.Streams(number, process)

    def on_numpy(_: Any) -> None:
        from . import strict

        strict.report_at_exit(process)

    def on_torch(module: Any) -> None:
        from . import strict

        streams.seed_torch(module)
        strict.enforce(module)
        strict.report_at_exit(process)

    after_import(
        {"random": streams.seed_random, "numpy.random": streams.seed_numpy, "numpy": on_numpy, "torch": on_torch}
    )
