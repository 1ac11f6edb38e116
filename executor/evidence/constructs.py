"""Finds in Python the constructs that the determinism contract does not control. Pure.

`uncontrolled` says what counts, `calls` which calls of the doubtful ones, `names` what a name stands for.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from executor.evidence.calls import CALLS, UNKNOWN, draws_paths, hashes_addresses, is_filled, literal, order_is_lost
from executor.evidence.names import Code, read_code
from executor.evidence.uncontrolled import FIELDS, KEYWORDS, SETTINGS, governs, of_method, of_name

_PLACES = re.compile(r"(?<![\w./-])/(?:(dev/u?random)|proc|sys)(?![\w-])")
_MODULES = (sys.stdlib_module_names - {"builtins"}) | {"torch", "numpy"}
_ENVIRON = frozenset({"os.environ", "os.environb"})
_PICKLES = re.compile(r"(pickle|cPickle|dill|cloudpickle)\.dumps?")
_EXCUSES = {"directory-order": order_is_lost, "uninitialised": is_filled}


def constructs(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Source and line of each, in no order, some of them twice."""
    code = read_code(tree)
    for node in code.nodes:
        if isinstance(node, ast.Constant):
            yield from ((source, node.lineno) for source in _of_constant(node))
        elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from ((source, node.lineno) for source in _of_target(node, code))
        elif isinstance(node, ast.Name | ast.Attribute | ast.Call):
            yield from ((source, _line(node)) for source in _of_use(node, code))
        elif isinstance(node, ast.SetComp) and hashes_addresses(node):
            yield "address", node.lineno
        if isinstance(node, ast.Call):
            yield from ((source, _line(node)) for source in _of_call(node, code))
            yield from _of_keywords(node, code)


def _line(node: ast.Name | ast.Attribute | ast.Call) -> int:
    """Where the last name stands, not where a chain of calls begins."""
    named = node.func if isinstance(node, ast.Call) else node
    return named.end_lineno or node.lineno


def _names(node: ast.AST, code: Code) -> frozenset[str]:
    """What an expression may stand for; torch's multiprocessing is the standard one."""
    return frozenset(name.removeprefix("torch.") if ".multiprocessing" in name else name for name in code.names(node))


def _of_constant(node: ast.Constant) -> Iterator[str]:
    text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
    if isinstance(text, str):
        yield from ("entropy" if place.group(1) else "host" for place in _PLACES.finditer(text))


def _of_use(node: ast.Name | ast.Attribute | ast.Call, code: Code) -> Iterator[str]:
    for source in filter(None, map(of_name, _names(node, code))):
        if not _excused(source, node, code):
            yield source
    if isinstance(node, ast.Attribute) and node.attr in FIELDS:
        yield FIELDS[node.attr]


def _of_call(call: ast.Call, code: Code) -> Iterator[str]:
    names = _names(call.func, code)
    yield from (CALLS[name][0] for name in names & CALLS.keys() if CALLS[name][1](call))
    if "torch" in code.imported and any(map(_PICKLES.fullmatch, names)):
        yield "save"  # a pickled tensor has an address in it
    if isinstance(call.func, ast.Attribute) and not {name.split(".")[0] for name in names} & _MODULES:
        yield from _of_method(call, call.func, code)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "savefig" and draws_paths(call):
        yield "save"


def _of_method(call: ast.Call, method: ast.Attribute, code: Code) -> Iterator[str]:
    if isinstance(method.value, ast.Name) and method.value.id in ("self", "cls"):
        return  # a function of the program, which is looked at itself
    source = of_method(method.attr)
    if source and not _excused(source, method, code):
        yield source
    if method.attr == "seed" and not call.args and not call.keywords:
        yield "entropy"


def _excused(source: str, node: ast.AST, code: Code) -> bool:
    call = code.calls(node)
    return bool(call and source in _EXCUSES and _EXCUSES[source](call, code))


def _of_keywords(call: ast.Call, code: Code) -> Iterator[tuple[str, int]]:
    for word in call.keywords:
        for beginning, argument, fine, source in KEYWORDS:
            meant = word.arg == argument and any(map(re.compile(beginning).match, _names(call.func, code) or {""}))
            if meant and literal(word.value) not in fine:
                yield source, word.value.lineno


def _of_target(node: ast.Name | ast.Attribute | ast.Subscript, code: Code) -> Iterator[str]:
    """Of what is assigned or deleted."""
    parent = code.parents.get(node)
    value = literal(parent.value) if isinstance(parent, ast.Assign | ast.AnnAssign) else UNKNOWN
    if isinstance(node, ast.Subscript) and code.names(node.value) & _ENVIRON and governs(literal(node.slice), value):
        yield "contract"
    for name in code.names(node) if isinstance(node, ast.Attribute) else ():
        setting = name.rpartition(".")[2]
        if name.startswith("torch.backends.") and setting in SETTINGS and value != SETTINGS[setting]:
            yield "contract"
