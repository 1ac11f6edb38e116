"""Two versions of weights files compared by their values: same or not, and where and how far they differ.

The digest of a file is over its values only, not over the format or the order that they are stored in: SHA-256 of the
schema's name and then, by name in code point order, name, type, shape and little-endian bytes of each value, each of
these after its length.

Each file has a process of its own. What a hostile pickle does there ends as a problem of that file; since it could
write into the report too, the comparison explains a difference and never proves that there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys

from . import report, weights
from .distance import Distance, between
from .leaves import Leaf, Unreadable, frame, leaf, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REFERENCE, OBSERVED = "/data/reference", "/data/observed"
_CODE = "/code"
_SCHEMA = b"executor/tensors/v1"
_SHOWN = 20


def main(_: list[str]) -> int:
    """Compare what the plan names and leave `tensors.json`; exit status."""
    if os.path.isdir(_CODE):
        sys.path.append(_CODE)  # classes that the program pickled
    report.publish(["tensors.json"], compare(REFERENCE, OBSERVED, report.plan()["tensors"]["paths"]))
    return 0


def compare(reference: str, observed: str, paths: list[str]) -> dict[str, Any]:
    """Each file below `reference` with the one below `observed` that has the same path."""
    try:
        import torch  # noqa: F401  # once for all the processes
    except Exception:  # each file will say so
        pass
    files = {}
    for path in paths:
        files[path] = _apart(os.path.join(reference, path), os.path.join(observed, path))
    return {"files": files}


def _apart(reference: str, observed: str) -> dict[str, Any]:
    """What `compare_files` gives, done in a child process: the file may crash it, fill its memory, or make it exit."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        try:
            with os.fdopen(sink, "w") as file:
                file.write(json.dumps(_guarded(reference, observed)))
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source) as file:
        answer = file.read()
    status = os.waitpid(child, 0)[1]
    try:
        return _result(**json.loads(answer))
    except (ValueError, TypeError):
        killed = "was killed by signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended too soon"
        return _result(problem="the process that compared the files %s" % killed)


def _guarded(reference: str, observed: str) -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(1)  # threads that were there before a fork would be waited for without end
    try:
        return compare_files(reference, observed)
    except BaseException as error:  # a hostile object may raise anything
        return _result(problem="the files cannot be compared: %s" % weights.sentence(error))


def _result(**fields: Any) -> dict[str, Any]:
    only = {"reference": [], "observed": []}  # type: dict[str, list[str]]
    counts = {"tensors": 0, "different": [], "different_count": 0, "only": only, "max_ulp": None}
    return dict({"reference": None, "observed": None, "problem": ""}, **dict(counts, **fields))


class Side:
    """One of the two files: its values by name, and the digest of those that were taken so far."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.problem = ""
        self.entries = {}  # type: dict[str, Any]
        self.hash = hashlib.sha256(frame(_SCHEMA))
        try:
            self.entries = weights.read(path)
        except Unreadable as error:
            self._give_up(str(error))

    def take(self, name: str) -> Leaf | None:
        """The value of this name, counted in the digest; none when it has none. To be asked in order of the names."""
        if name not in self.entries:
            return None
        try:
            found = leaf(self.entries.pop(name))
            digest(self.hash, name, found)
        except Unreadable as error:
            self._give_up(str(error))
        except Exception as error:
            self._give_up("has %s, which cannot be read: %s" % (name, weights.sentence(error)))
        else:
            return found
        return None

    def _give_up(self, problem: str) -> None:
        self.problem = self.problem or "the %s file %s" % (self.name, problem)

    @property
    def digest(self) -> str | None:
        """Of the whole file; none when it could not be read whole."""
        return None if self.problem else self.hash.hexdigest()


def digest(into: Any, name: str, value: Leaf) -> None:
    """Add one value to a hash."""
    shape = struct.pack("<%dq" % len(value.shape), *value.shape)
    values = _memory(value.values) if value.is_tensor else value.values
    into.update(frame(text(name), text(value.dtype), shape) + struct.pack("<Q", len(values)))
    into.update(values)


def _memory(tensor: Any) -> Any:
    """The bytes of a contiguous tensor where they lie; torch alone has no such thing, and numpy may be missing."""
    import ctypes

    size = tensor.numel() * tensor.element_size()
    return (ctypes.c_ubyte * size).from_address(tensor.data_ptr()) if size else b""


def compare_files(reference: str, observed: str) -> dict[str, Any]:
    """One file of two versions, in this process."""
    sides = Side("reference", reference), Side("observed", observed)
    whole = not any(side.problem for side in sides)
    names = [set(side.entries) for side in sides]
    tensors, different = 0, []
    for name in sorted(names[0] | names[1]):
        ours, theirs = (side.take(name) for side in sides)
        tensors += any(one is not None and one.is_tensor for one in (ours, theirs))
        entry = difference(name, ours, theirs) if ours and theirs else None
        different += [entry] if entry else []
    only = [sorted(names[side] - names[1 - side]) if whole else [] for side in (0, 1)]
    problems = "; ".join(side.problem for side in sides if side.problem)
    return _result(
        reference=sides[0].digest,
        observed=sides[1].digest,
        tensors=tensors,
        different=sorted(different, key=_badness)[:_SHOWN],
        different_count=len(different),
        only={"reference": only[0], "observed": only[1]},
        max_ulp=None if problems or any(only) else _widest([entry["max_ulp"] for entry in different]),
        problem=problems,
    )


def _widest(distances: list[int | None]) -> int | None:
    """The greatest distance; none when something differs that has no distance."""
    known = [distance for distance in distances if distance is not None]
    return max(known, default=0) if len(known) == len(distances) else None


def _badness(entry: dict[str, Any]) -> tuple[bool, float, float, str]:
    """Worst first: what has no distance, then by distance, by share of the elements, by name."""
    ulp = entry["max_ulp"]
    return ulp is not None, -(ulp or 0), -entry["count"] / entry["elements"], entry["name"]


def difference(name: str, ours: Leaf, theirs: Leaf) -> dict[str, Any] | None:
    """How two values of one name differ; none when they are the same bit for bit."""
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        dtype = ours.dtype if ours.dtype == theirs.dtype else "%s → %s" % (ours.dtype, theirs.dtype)
        shape = ours.shape if ours.shape == theirs.shape else "%s → %s" % (ours.shape, theirs.shape)
        size = max(_size(ours), _size(theirs), 1)
        return _entry(name, dtype, shape, size, Distance(size))
    distance = between(ours, theirs)
    return _entry(name, ours.dtype, ours.shape, _size(ours), distance) if distance.count else None


def _entry(name: str, dtype: str, shape: object, size: int, distance: Distance) -> dict[str, Any]:
    first = _place(distance.first, shape) if isinstance(shape, list) else []
    return {
        "name": name,
        "dtype": dtype,
        "shape": shape,
        "count": distance.count,
        "elements": size,
        "max_ulp": distance.ulp,
        "max_relative": distance.relative,
        "first_index": first,
    }


def _size(value: Leaf) -> int:
    return len(value.values) if value.is_tensor else 1


def _place(number: int, shape: list[int]) -> list[int]:
    """Index of an element by its number in row-major order."""
    index = []
    for size in reversed(shape):
        number, rest = divmod(number, size) if size else (0, 0)
        index.append(rest)
    return index[::-1]
