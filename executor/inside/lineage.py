"""The place of a process in the tree of processes of a run: the same in every rerun, different for every process.

The first process is `0`, its second child `0.2`, that one's first child `0.2.1`. Children of `os.fork`, `subprocess`
and `multiprocessing` are counted in the order in which they are started. Programs that a shell starts share the shell's
place.
"""

from __future__ import annotations

import _posixsubprocess
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VARIABLE = "EXECUTOR_PROCESS"
_STARTERS = (  # each with the position of the environment in its arguments, Python 3.8 to 3.14
    (_posixsubprocess, "fork_exec", 5),
    (os, "posix_spawn", 2),
    (os, "posix_spawnp", 2),
    (os, "system", 1),  # has none: the child inherits
)


class Lineage:
    """Where this process stands, and how many children it has had."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.children = 0

    def beget(self) -> str:
        """Count one more child and give its name."""
        self.children += 1
        return "%s.%d" % (self.name, self.children)

    def become_child(self) -> None:
        """In a forked child: it is what the parent counted last."""
        self.name, self.children = "%s.%d" % (self.name, self.children), 0
        os.environ[VARIABLE] = self.name

    def naming_children(self, start: Callable[..., int], position: int) -> Callable[..., int]:
        """`start`, whose argument at `position` is an environment, so that it tells the new program its place."""

        def start_named(*arguments: Any, **options: Any) -> int:
            child, environment = self.beget(), arguments[position] if position < len(arguments) else None
            if environment is not None:
                arguments = (*arguments[:position], _named(environment, child), *arguments[position + 1 :])
                return start(*arguments, **options)
            os.environ[VARIABLE] = child
            try:
                return start(*arguments, **options)
            finally:
                os.environ[VARIABLE] = self.name

        return start_named


def _named(environment: Any, child: str) -> Any:
    if isinstance(environment, list):
        entry = os.fsencode(VARIABLE + "=")
        return [item for item in environment if not item.startswith(entry)] + [entry + os.fsencode(child)]
    return dict(environment, **{VARIABLE: child})


def start() -> Lineage:
    """The lineage of this process, from now on kept up to date in it and in its children."""
    lineage = Lineage(os.environ.setdefault(VARIABLE, "0"))
    os.register_at_fork(before=lineage.beget, after_in_child=lineage.become_child)
    for module, name, position in _STARTERS:
        setattr(module, name, lineage.naming_children(getattr(module, name), position))
    return lineage
