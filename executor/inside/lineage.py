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
_ENVIRONMENT = 5  # position of the environment in the arguments of `_posixsubprocess.fork_exec`, 3.8 to 3.14


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

    def naming_children(self, fork_exec: Callable[..., int]) -> Callable[..., int]:
        """`_posixsubprocess.fork_exec` that tells the new program its place in its environment."""

        def named_fork_exec(*arguments: Any) -> int:
            child, environment = self.beget(), arguments[_ENVIRONMENT]
            if environment is not None:
                entry = b"%s=" % VARIABLE.encode()
                kept = [item for item in environment if not item.startswith(entry)]
                changed = (*arguments[:_ENVIRONMENT], [*kept, entry + child.encode()], *arguments[_ENVIRONMENT + 1 :])
                return fork_exec(*changed)
            os.environ[VARIABLE] = child
            try:
                return fork_exec(*arguments)
            finally:
                os.environ[VARIABLE] = self.name

        return named_fork_exec


def start() -> Lineage:
    """The lineage of this process, from now on kept up to date in it and in its children."""
    lineage = Lineage(os.environ.setdefault(VARIABLE, "0"))
    os.register_at_fork(before=lineage.beget, after_in_child=lineage.become_child)
    _posixsubprocess.fork_exec = lineage.naming_children(_posixsubprocess.fork_exec)
    return lineage
