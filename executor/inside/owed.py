"""A process that owes a report: says that it began, and reports whenever it ends in a way that can be seen.

Ends by `os._exit`, as those of forked children, are ends too. Imports nothing that Python has not imported already.
"""

from __future__ import annotations

import atexit
import os

from .lineage import Lineage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_REPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "report")


_owing = []  # type: list[str]


def owe(process: Lineage, end: Callable[[], None]) -> None:
    """Leave `began-<process>-<pid>.json`, and call `end` at the end, of forked children too; once."""
    if _owing or not _said(process.name):
        return
    _owing.append(process.name)
    atexit.register(end)
    leave = os._exit

    def _exit(status: int) -> None:
        end()
        leave(status)

    os._exit = _exit  # type: ignore[assignment]


def _said(name: str) -> bool:
    try:
        path = os.path.join(_REPORT, "began-%s-%d.json" % (name, os.getpid()))
        file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)  # there already when a program became another one
    except OSError:  # nowhere to report to: nothing will be proven, and the program goes on
        return False
    os.write(file, b'{"process": "%s"}' % name.encode())
    os.close(file)
    return True
