"""What the names of a Python file stand for, and which of its nodes can run. Pure: nothing is imported or executed.

Every import of a file counts everywhere in it, whichever function it stands in: a name may stand for several things.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise

_IMPORTS = frozenset({"builtins.__import__", "importlib.import_module"})
_CONTEXTS = frozenset({"multiprocessing.get_context", "torch.multiprocessing.get_context"})
_REACH = 8
"""How many dots and calls of an expression are followed."""
_NOT_RUN = ("annotation", "returns")
"""Fields of a node that hold types."""


@dataclass(frozen=True)
class Code:
    """A parsed file."""

    nodes: tuple[ast.AST, ...]
    """Those that can run: no annotations, no docstrings, nothing that is for type checkers only."""
    parents: Mapping[ast.AST, ast.AST]
    """What directly encloses each node."""
    following: Mapping[ast.AST, ast.AST]
    """The statement that comes next in the same block."""
    imported: Mapping[str, frozenset[str]]
    """Dotted names by imported name; by `*`, the modules that every name was imported from."""
    variables: frozenset[str]
    """Names that are assigned, or parameters."""
    defined: frozenset[str]
    """Names of functions and classes, and of what comes from beside this file."""

    def names(self, node: ast.AST, reach: int = _REACH) -> frozenset[str]:
        """Every dotted name that an expression may stand for, `builtins.id` among them; none when it is computed."""
        if isinstance(node, ast.Name):
            return self._of_name(node)
        if isinstance(node, ast.Attribute) and reach:
            return frozenset(f"{base}.{node.attr}" for base in self.names(node.value, reach - 1))
        if isinstance(node, ast.Call) and reach:
            return self._of_call(node, reach - 1)
        return frozenset()

    def calls(self, node: ast.AST) -> ast.Call | None:
        """The call whose function `node` is."""
        parent = self.parents.get(node)
        return parent if isinstance(parent, ast.Call) and parent.func is node else None

    def _of_name(self, node: ast.Name) -> frozenset[str]:
        name = node.id
        if name in self.imported:
            return self.imported[name]
        # many a variable is called `id`, yet what is called is the builtin
        if name in self.defined or (name in self.variables and not self.calls(node)):
            return frozenset()
        return frozenset(f"{module}.{name}" for module in ("builtins", *self.imported.get("*", ())))

    def _of_call(self, call: ast.Call, reach: int) -> frozenset[str]:
        called = self.names(call.func, reach)
        if called & _CONTEXTS:
            return frozenset({"multiprocessing"})
        if called & _IMPORTS:
            return frozenset(filter(None, map(_text, call.args[:1])))
        if "builtins.getattr" in called and len(call.args) > 1 and (attribute := _text(call.args[1])):
            return frozenset(f"{base}.{attribute}" for base in self.names(call.args[0], reach))
        return frozenset()


def read_code(tree: ast.Module) -> Code:
    """Look through a file once."""
    parents: dict[ast.AST, ast.AST] = {}
    nodes = tuple(_running(tree, parents))
    imported: dict[str, frozenset[str]] = {}
    for name, target in chain.from_iterable(map(_imports, nodes)):
        imported[name] = imported.get(name, frozenset()) | {target}
    return Code(
        nodes,
        parents,
        dict(_successions(nodes)),
        imported,
        frozenset(_variables(nodes)),
        frozenset(_definitions(nodes)),
    )


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _running(tree: ast.Module, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    """Every node that can run, without recursion; notes what encloses each."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for child in _children(node):
            parents[child] = node
            waiting.append(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    fields = ast.iter_fields(node)
    if isinstance(node, ast.If) and _only_for_checkers(node.test):
        fields = iter([("orelse", node.orelse)])
    for name, value in fields:
        if name not in _NOT_RUN:
            yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST))


def _only_for_checkers(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name and what it stands for, of one import statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.split(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            yield (
                ("*", node.module) if alias.name == "*" else (alias.asname or alias.name, f"{node.module}.{alias.name}")
            )


def _successions(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.AST, ast.AST]]:
    for node in nodes:
        blocks = (getattr(node, name, None) for name in ("body", "orelse", "finalbody"))
        yield from chain.from_iterable(pairwise(block) for block in blocks if isinstance(block, list))


def _variables(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _definitions(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from (alias.asname or alias.name for alias in node.names)
