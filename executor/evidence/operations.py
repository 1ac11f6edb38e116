"""Two lists of operations of one training step: the first that explains how they differ. Pure: no I/O.

An operation with equal inputs and unequal outputs is where a difference began. When an operation's input differs and
no operation before it made that input, it came from outside torch. Memory that nobody wrote to (`empty`) has other
contents in every run: that matters only when something reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

What = Literal["operation", "random", "outside", "uninitialised", "scalar", "other-way", "changed-outside"]
"""`operation`: equal inputs, unequal outputs. `random`: its generator stood elsewhere. `outside`: a tensor came from
outside torch with other values. `uninitialised`: memory was read that nobody wrote. `scalar`: a number came with
another value. `other-way`: another operation was run. `changed-outside`: a tensor was changed between operations."""
MOST = 300_000


@dataclass(frozen=True)
class Operation:
    """One operation that was run."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Digests, those of written arguments last."""
    scalars: tuple[str, ...]
    where: str
    """`file:line` of the program."""
    rng: str
    sources: tuple[int, ...]
    """Storage of each input: tells tensors of one run apart."""
    targets: tuple[int, ...]
    wrote: frozenset[int]
    shapes: tuple[str, ...] = ()
    """Shape of each input."""


@dataclass(frozen=True)
class Origin:
    """Where two lists part."""

    what: What
    index: int
    operation: str
    where: str
    detail: str = ""


def read(lines: Iterable[bytes]) -> list[Operation]:
    """Parse what the inside room wrote; reading ends at the first line that is not whole."""
    found: list[Operation] = []
    for line in lines:
        try:
            entry = json.loads(line)
            found.append(_operation(entry))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            break
        if len(found) >= MOST:
            break
    return found


def _operation(entry: dict[str, Any]) -> Operation:
    return Operation(
        name=str(entry["op"]), inputs=tuple(map(str, entry["in"])), outputs=tuple(map(str, entry["out"])),
        scalars=tuple(map(str, entry["args"])), where=str(entry["where"]), rng=str(entry.get("rng", "")),
        sources=tuple(map(int, entry["at"])), targets=tuple(map(int, entry["to"])),
        wrote=frozenset(map(int, entry["wrote"])), shapes=tuple(map(str, entry.get("shapes", ()))),
    )  # fmt: skip


_FRESH = ("aten.empty", "aten.new_empty", "aten.resize", "aten._efficientzerotensor")
_SCRATCH = ("aten.mkldnn_rnn_layer.", "aten._cudnn_rnn.", "aten.miopen_rnn.")
"""Operations whose last output is a working memory, of which parts are never written nor read."""
_OVERWRITES = frozenset({"fill_", "zero_", "copy_", "uniform_", "normal_", "random_", "bernoulli_", "exponential_",
                         "geometric_", "log_normal_", "cauchy_", "_foreach_zero_", "_foreach_copy_"})  # fmt: skip
"""Operations that write all of an argument without reading it."""


def origin(one: Sequence[Operation], other: Sequence[Operation]) -> Origin | None:
    """The first difference that is not one of memory nobody reads; none when the lists agree."""
    unwritten: dict[int, str] = {}
    fresh: dict[int, str] = {}
    made: set[int] = set()
    scratch: set[int] = set()
    for index, (left, right) in enumerate(zip_longest(one, other)):
        if left is None or right is None or left.name != right.name:
            shown = right or left
            return Origin("other-way", index, shown.name, shown.where, _names(left, right))
        if left.shapes != right.shapes:
            detail = " against ".join(", ".join(op.shapes) for op in (left, right))
            return Origin("other-way", index, left.name, left.where or right.where, f"tensors of {detail}")
        if len(left.inputs) != len(right.inputs):
            detail = f"{len(left.inputs)} against {len(right.inputs)} tensors"
            return Origin("other-way", index, left.name, left.where or right.where, detail)
        if left.name.startswith(_SCRATCH):
            scratch.add(left.targets[-1])
            left, right = (replace(op, outputs=op.outputs[:-1]) for op in (left, right))
        if found := _differs(index, left, right, unwritten | fresh, made, scratch):
            return found
        _remember(left, right, unwritten)
        if left.name.startswith(_FRESH):
            fresh.update(unwritten)
        for target in _filled(left):
            fresh.pop(target, None)
        made.update(left.targets)
    return None


def _names(left: Operation | None, right: Operation | None) -> str:
    return " against ".join(op.name if op else "the end" for op in (left, right))


def _differs(
    index: int, left: Operation, right: Operation, unwritten: dict[int, str], made: set[int], scratch: set[int]
) -> Origin | None:
    def at(what: What, detail: str = "", where: str = "") -> Origin:
        return Origin(what, index, left.name, where or left.where or right.where, detail)

    if left.name.startswith(_FRESH) or _views(left, unwritten):
        return None
    if left.name.startswith("aten.set_") and left.outputs != right.outputs:  # memory that somebody else filled
        return at("outside")
    for place, (before, after, source) in enumerate(zip(left.inputs, right.inputs, left.sources, strict=False)):
        if before == after or source in scratch or (source in left.wrote and _overwrites(left)):
            continue
        if source in unwritten:
            return at("uninitialised", f"memory made at {unwritten[source]}", unwritten[source])
        return at("changed-outside" if source in made else "outside", f"input {place}")
    if left.scalars != right.scalars:
        return at("scalar", ", ".join(f"{a} against {b}" for a, b in _unequal(left.scalars, right.scalars)))
    if left.rng != right.rng:
        return at("random")
    return at("operation") if left.outputs != right.outputs else None


def _views(operation: Operation, unwritten: Mapping[int, str]) -> bool:
    """Whether it only looks at memory that nobody wrote to, and reads nothing of it."""
    aliases = bool(operation.targets) and {*operation.targets} <= {*operation.sources}
    return aliases and not operation.wrote and {*operation.sources} <= unwritten.keys()


def _unequal(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((a, b) for a, b in zip_longest(one, other, fillvalue="nothing") if a != b)


def _overwrites(operation: Operation) -> bool:
    _, _, rest = operation.name.partition(".")
    name, _, overload = rest.partition(".")
    return name in _OVERWRITES or overload == "out" or overload.endswith("_out")


def _filled(operation: Operation) -> set[int]:
    """Storages that are new, whatever was at their address before."""
    return set() if operation.name.startswith(_FRESH) else set(operation.targets) - set(operation.sources)


def _remember(left: Operation, right: Operation, unwritten: dict[int, str]) -> None:
    """Memory that `empty` gave counts as unwritten until an operation writes to it."""
    if left.name.startswith(_FRESH):
        unwritten.update((target, left.where) for target in left.targets)
        return
    for target in (*left.wrote, *left.targets):
        if left.outputs == right.outputs:
            unwritten.pop(target, None)
