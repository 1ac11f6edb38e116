"""Runs at the start of every Python process of a run: seeds it and waits for torch; then the image's own sitecustomize.

Imports nothing that Python has not imported by itself, so that a tool without numpy and torch pays next to nothing.
"""

from __future__ import annotations

import os
import sys
from os.path import abspath, dirname


def prepare() -> None:
    """Make this process seeded and checked; without `EXECUTOR_SEED` it is no process of a run and is left alone."""
    package = type(sys)("_executor")
    package.__path__ = [dirname(dirname(abspath(__file__)))]
    sys.modules["_executor"] = package
    from _executor import hook  # type: ignore[import-not-found]

    hook.install(int(os.environ["EXECUTOR_SEED"]), frozenset(os.environ.get("EXECUTOR_RELAXED", "").split(",")))


def chain() -> None:
    """Run the sitecustomize that this one stands before, as if this one were not there."""
    here = dirname(abspath(__file__))
    path_finder = next(finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "PathFinder")
    spec = path_finder.find_spec("sitecustomize", [entry for entry in sys.path if abspath(entry) != here])
    if spec and spec.loader:
        module = type(sys)("sitecustomize")
        module.__file__, module.__spec__, module.__loader__ = spec.origin, spec, spec.loader
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def launching() -> bool:
    """Whether this is the launcher, which becomes the program: that one is prepared when it starts."""
    with open("/proc/self/cmdline", "rb") as line:
        return line.read(4096).split(b"\0")[1:2] == [b"/run/executor/inside"]


if "EXECUTOR_SEED" in os.environ and not launching():
    prepare()
chain()
