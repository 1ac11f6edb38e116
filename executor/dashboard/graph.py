"""Where a run stands: what it was made of and what it left, as boxes and lines. A template draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from executor.dashboard.cells import short
from executor.dashboard.templating import run_url, with_query
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.steps.finding.search import compared
from executor.store import columns
from executor.store.view import View
from executor.text import size

MOST_OUTPUTS = 10
WIDTH, HEIGHT, GAP, MIDDLE = 250, 46, 12, 90
"""Of a box, between boxes, and between columns of boxes, in pixels."""
_ROLES = ("weights", "metrics", "file", "ignored")


@dataclass(frozen=True)
class Node:
    """One box."""

    kind: str
    """`code`, `image`, `data`, `run` or `output`."""
    label: str
    about: str
    """A second line."""
    url: str
    """Where it leads."""
    title: str
    """All of it."""
    others: int = 0
    """Other runs that share it."""
    x: int = 0
    y: int = 0


@dataclass(frozen=True)
class Graph:
    """All boxes; lines lead from every input to the run, and from it to every output."""

    inputs: tuple[Node, ...]
    run: Node
    outputs: tuple[Node, ...]
    more: int
    """Outputs that are left out."""
    width: int
    height: int

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them, from what went in to what came out."""
        return (*self.inputs, self.run, *self.outputs)

    @property
    def lines(self) -> list[tuple[Node, Node]]:
        """Pairs of boxes that a line joins."""
        return [(one, self.run) for one in self.inputs] + [(self.run, one) for one in self.outputs]


def graph(record: Record, view: View) -> Graph:
    """The graph of a run; the index says which other runs share an input or an output with it."""
    inputs = list(_inputs(record, view))
    outputs = sorted(record.outputs, key=lambda file: (_ROLES.index(file.role), file.path))
    left = [_output(file.path, file.digest, file.size, view) for file in outputs[:MOST_OUTPUTS]]
    url = run_url(record.spec_hash.hex, record.attempt)
    run = Node("run", record.hints.name, record.attempt, url, record.hints.name)
    tall = max(len(inputs), len(left), 1)
    height, step = tall * (HEIGHT + GAP) - GAP, WIDTH + MIDDLE
    boxes = [_stacked(column, number * step, height) for number, column in enumerate((inputs, [run], left))]
    return Graph(boxes[0], boxes[1][0], boxes[2], len(outputs) - len(left), 2 * step + WIDTH, height)


def _stacked(nodes: Sequence[Node], x: int, height: int) -> tuple[Node, ...]:
    """One below the other, in the middle."""
    top = (height - len(nodes) * (HEIGHT + GAP) + GAP) // 2
    return tuple(replace(node, x=x, y=top + number * (HEIGHT + GAP)) for number, node in enumerate(nodes))


def _inputs(record: Record, view: View) -> Iterable[Node]:
    spec, hints = record.spec, record.hints
    if spec["code"]:
        yield _input("code", f"code {short(spec['code'])}", hints.repo, "commit", spec["code"], view)
    yield _input("image", f"image {short(spec['image'])}", hints.image, "image", spec["image"], view)
    for name, digest in spec["data"].items():
        yield _input("data", f"data {name}", short(digest), f"data.{name}", digest, view)


def _input(kind: str, label: str, about: str, name: str, value: str, view: View) -> Node:
    others = columns.total(compared(view, name, "==", value)) - 1
    family, _, rest = name.partition(".")
    asked = f"{family}.`{rest}`" if rest else name
    url = with_query("/", {"q": f"{asked} == '{value}'"})
    return Node(kind, label, about, url, f"{about} {value}{_shared(others, 'uses it', 'use it')}", others)


def _output(path: str, digest: Digest, count: int, view: View) -> Node:
    others = len(view.with_file(digest.hex)) - 1
    title = f"{path} {digest}{_shared(others, 'left it', 'left it')}"
    return Node("output", path, size(count), f"/files/{digest.hex}", title, others)


def _shared(others: int, one: str, many: str) -> str:
    return f"; {others:,} more {f'run {one}' if others == 1 else f'runs {many}'}" if others > 0 else ""
