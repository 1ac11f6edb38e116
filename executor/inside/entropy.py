"""What reaches the program that no seed controls: the kernel's entropy, clocks, names of the host; with file and line.

Only reads by the program's own code count: a library's while it is imported are its own affair. A place in the code is
one entry, with the count of its reads and the optimizer steps of the first and the last.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

_CLOCKS = ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time",
           "process_time_ns", "thread_time", "thread_time_ns")  # fmt: skip
_DEVICES = ("/dev/urandom", "/dev/random", "/dev/hwrng", "/proc/sys/kernel/random/")
_HOST = ("/proc/", "/sys/", "/etc/host")
_MOST = 1000
"""Places that are kept."""
_LIBRARY = (os.path.dirname(os.__file__) + "/", sys.prefix + "/lib", "/usr/lib/", "/usr/local/lib/", "/run/executor/")


class Log:
    """The entropy that one process read."""

    def __init__(self) -> None:
        self.step = lambda: 0  # type: Callable[[], int]
        """Tells the optimizer steps taken so far."""
        self._places = {}  # type: dict[tuple[str, str, str, int], list[int]]

    def install(self) -> None:
        """Watch every source; costs a fraction of a microsecond each read."""
        os.urandom = self._watched("entropy", "os.urandom", os.urandom)
        if hasattr(os, "getrandom"):
            os.getrandom = self._watched("entropy", "os.getrandom", os.getrandom)
        for name in _CLOCKS:
            if hasattr(time, name):
                setattr(time, name, self._clock(name, getattr(time, name)))
        sys.addaudithook(self._audit)
        os.register_at_fork(after_in_child=self._places.clear)

    def watch_random(self, random: Any) -> None:
        """`random.SystemRandom`, and with it `secrets`, holds a reference of its own."""
        random._urandom = os.urandom

    def note(self, kind: str, what: str) -> None:
        """Write down that the program's code, if it is that, reads something now."""
        asking = sys._getframe(2)
        if kind == "host" and not is_program(asking.f_code.co_filename):
            return  # libraries look at the machine for reasons of their own
        frame = _place(asking)
        if frame is not None and "/multiprocessing/" not in asking.f_code.co_filename:  # its keys compute nothing
            self._count(kind, what, frame)

    def document(self) -> list[dict[str, Any]]:
        """One entry for each place, in the order of the first read."""
        return [
            {"kind": kind, "what": what, "file": shown(file), "line": line, "count": count, "first": first,
             "last": last}
            for (kind, what, file, line), (count, first, last) in self._places.items()
        ]  # fmt: skip

    def _count(self, kind: str, what: str, frame: FrameType) -> None:
        key, step = (kind, what, frame.f_code.co_filename, frame.f_lineno), self.step()
        known = self._places.get(key)
        if known is not None:
            known[0] += 1
            known[2] = step
        elif len(self._places) < _MOST:
            self._places[key] = [1, step, step]

    def _watched(self, kind: str, what: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def read(*arguments: Any, **options: Any) -> Any:
            self.note(kind, what)
            return original(*arguments, **options)

        return _named(read, original)

    def _clock(self, name: str, original: Callable[[], Any]) -> Callable[[], Any]:
        """A clock is read often, by libraries too: only the caller itself is looked at."""
        caller, library = sys._getframe, _LIBRARY

        def read() -> Any:
            frame = caller(1)
            if not frame.f_code.co_filename.startswith(library):
                self._count("clock", "time." + name, frame)
            return original()

        return _named(read, original)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path = arguments[0]
            if isinstance(path, bytes):
                path = os.fsdecode(path)
            if isinstance(path, str) and path.startswith(_DEVICES + _HOST):
                self.note("entropy" if path.startswith(_DEVICES) else "host", path[:200])
        elif event == "socket.gethostname":
            self.note("host", "socket.gethostname")


def _named(function: Any, original: Any) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = original.__name__
    function.__module__, function.__doc__ = original.__module__, original.__doc__
    return function  # type: ignore[no-any-return]


def _place(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the program's own code; none when a library asks for itself while it is imported."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return None
        if is_program(file):
            return frame
        frame = frame.f_back
    return None


def is_program(file: str) -> bool:
    """Whether code of that file is the program's own, not a library's."""
    return not file.startswith(_LIBRARY) and not file.startswith("<frozen")


def where(frame: FrameType | None = None) -> str:
    """`file:line` of the program's own code that is running now; empty when there is none."""
    found = _place(frame or sys._getframe(1))
    return "%s:%d" % (shown(found.f_code.co_filename), found.f_lineno) if found is not None else ""


def shown(file: str) -> str:
    """A file as the program's author knows it."""
    for folder in ("/code/", "/outputs/"):
        if file.startswith(folder):
            return file[len(folder) :]
    return file
