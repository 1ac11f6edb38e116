"""Reproducible-run executor: a spec is run in a pinned container, kept under its hash, and run again bit for bit.

From Python, `executor.open()` gives a `Client` with the verbs of the command line: docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executor.api.client import Client as Client
    from executor.api.client import open as open  # noqa: A004 - `executor.open`, never a bare name
    from executor.api.run import Points as Points
    from executor.api.run import Run as Run
    from executor.api.tables import Table as Table

__version__ = "0.1.0"
_FROM_PYTHON = {"Client": "client", "Points": "run", "Run": "run", "Table": "tables", "open": "client"}
"""Names for users and the modules that they come from."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A name for users, imported when it is first used: to import the package costs nothing."""
        from importlib import import_module

        if name not in _FROM_PYTHON:
            raise AttributeError(f"module 'executor' has no attribute {name!r}")
        return getattr(import_module(f"executor.api.{_FROM_PYTHON[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM_PYTHON])
