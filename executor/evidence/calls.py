"""Calls of which only some count: by their arguments, or by what is done with their result. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from executor.evidence.names import Code
from executor.evidence.uncontrolled import governs

UNKNOWN: Any = ...
"""Stands for a value that only a run can tell."""

_OBJECTS = ("parameters", "modules", "children", "buffers")
_OF_MODULES = frozenset((*_OBJECTS, *(f"named_{kind}" for kind in _OBJECTS)))
_ANY_ORDER = frozenset(f"builtins.{name}" for name in ("sorted", "len", "min", "max", "any", "all"))
_PASSED_ON = frozenset(f"builtins.{name}" for name in ("list", "tuple", "set", "frozenset", "filter", "map"))
_WALKS = frozenset({"os.walk", "os.fwalk"})
_COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.SetComp)


def literal(node: ast.AST | None) -> Any:
    """The value of a constant, or `UNKNOWN`."""
    return node.value if isinstance(node, ast.Constant) else UNKNOWN


def _argument(call: ast.Call, position: int, name: str, default: Any = None) -> Any:
    if any(word.arg is None for word in call.keywords) or any(isinstance(one, ast.Starred) for one in call.args):
        return UNKNOWN
    given = [*call.args[position : position + 1], *(word.value for word in call.keywords if word.arg == name)]
    return literal(given[0]) if given else default


def _fewer_than(count: int) -> Callable[[ast.Call], bool]:
    """Whether the time to work on is left out: it is now."""
    return lambda call: len(call.args) < count


def _now(call: ast.Call) -> bool:
    return any(literal(one) in ("now", "today") for one in call.args)


def _loosens(call: ast.Call) -> bool:
    return _argument(call, 0, "mode") is not True or _argument(call, 1, "warn_only", False) is not False


def _writes_archive(call: ast.Call) -> bool:
    """Whether an archive is opened to be written: it keeps the time."""
    mode = _argument(call, 1, "mode", "r")
    return not (isinstance(mode, str) and mode.startswith("r"))


def _sized(call: ast.Call) -> bool:
    """Whether a tensor is made of its size, and not of values."""
    return len(call.args) > 1 or any(isinstance(one, ast.Starred) or type(literal(one)) is int for one in call.args)


def _two_metadata(call: ast.Call) -> bool:
    """Whether safetensors is given two metadata or more, whose order is random."""
    given = [*call.args[2:3], *(word.value for word in call.keywords if word.arg in ("metadata", None))]
    few = (literal(one) is None or (isinstance(one, ast.Dict) and len(one.keys) < 2 and None not in one.keys)
           for one in given)  # fmt: skip
    return not all(few)


def _of_parameters(call: ast.Call) -> bool:
    """Whether a set has objects that are hashed by their address: `set(model.parameters())`."""
    return any(map(hashes_addresses, call.args[:1]))


def hashes_addresses(items: ast.AST) -> bool:
    """Whether these items of a set, or this set, are parameters or modules."""
    if isinstance(items, _COMPREHENSIONS):
        loop = items.generators[0]
        same = isinstance(items.elt, ast.Name) and isinstance(loop.target, ast.Name) and items.elt.id == loop.target.id
        return same and hashes_addresses(loop.iter)
    return isinstance(items, ast.Call) and isinstance(items.func, ast.Attribute) and items.func.attr in _OF_MODULES


def _imports_unknown(call: ast.Call) -> bool:
    return not isinstance(_argument(call, 0, "name"), str)


def _writes_variable(call: ast.Call) -> bool:
    if any(governs(word.arg, literal(word.value)) for word in call.keywords):
        return True
    if not call.args:
        return not call.keywords
    if isinstance(call.args[0], ast.Dict):
        return any(map(governs, map(literal, call.args[0].keys), map(literal, call.args[0].values)))
    return governs(literal(call.args[0]), literal(call.args[-1]))


def _always(_: ast.Call) -> bool:
    return True


CALLS: Mapping[str, tuple[str, Callable[[ast.Call], bool]]] = {
    "time.strftime": ("clock", _fewer_than(2)),
    **dict.fromkeys(
        ("time.localtime", "time.gmtime", "time.ctime", "time.asctime", "email.utils.formatdate"),
        ("clock", _fewer_than(1)),
    ),
    **dict.fromkeys(("numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime"), ("clock", _now)),
    "torch.use_deterministic_algorithms": ("contract", _loosens),
    "torch.set_deterministic_debug_mode": ("contract", lambda call: _argument(call, 0, "") not in ("error", 2)),
    "torch.set_float32_matmul_precision": ("contract", lambda call: _argument(call, 0, "precision") != "highest"),
    **dict.fromkeys(
        ("os.putenv", "os.unsetenv", *(f"os.environ.{verb}" for verb in ("setdefault", "update", "pop", "clear"))),
        ("contract", _writes_variable),
    ),
    **dict.fromkeys(
        ("gzip.open", "gzip.GzipFile", "tarfile.open", "tarfile.TarFile", "zipfile.ZipFile"), ("save", _writes_archive)
    ),
    **dict.fromkeys(
        [f"safetensors.{name}" for name in ("torch.save_file", "torch.save", "numpy.save_file", "serialize_file")],
        ("save", _two_metadata),
    ),
    **dict.fromkeys(
        [f"torch.{kind}Tensor" for kind in ("", "Float", "Double", "Half", "Long", "Int", "Short", "Byte", "Bool")],
        ("uninitialised", _sized),
    ),
    "numpy.ndarray": ("uninitialised", _always),
    **dict.fromkeys(("builtins.set", "builtins.frozenset"), ("address", _of_parameters)),
    **dict.fromkeys(("builtins.__import__", "importlib.import_module"), ("dynamic", _imports_unknown)),
}
"""Source by the function that is called, and whether a call of it counts."""


def draws_paths(call: ast.Call) -> bool:
    """Whether a figure is saved as SVG or PDF, which have random names and dates in them."""
    texts = (one.value for one in ast.walk(call) if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return any(re.search(r"(?i)(^|\.)(svgz?|pdf)$", text) for text in texts)


def order_is_lost(call: ast.Call, code: Code) -> bool:
    """Whether a listing is sorted, counted or searched at once, so that its order cannot matter."""
    node: ast.AST = call
    parent = code.parents.get(node)
    looped = not code.names(call.func) & _WALKS  # sorting what `os.walk` gives leaves the names in it unsorted
    while _passes_on(node, parent, code):
        looped |= isinstance(parent, ast.comprehension)
        node, parent = parent, code.parents.get(parent)  # type: ignore[assignment, arg-type]
    if isinstance(parent, ast.Compare):
        return isinstance(parent.ops[-1], ast.In | ast.NotIn) and parent.comparators[-1] is node
    if isinstance(parent, ast.Call):
        by_itself = all(word.arg == "reverse" for word in parent.keywords)
        return looped and by_itself and parent.args[:1] == [node] and bool(code.names(parent.func) & _ANY_ORDER)
    return looped and isinstance(parent, ast.Assign) and _sorted_next(parent, code)


def _passes_on(node: ast.AST, parent: ast.AST | None, code: Code) -> bool:
    """Whether `parent` hands on the items of the listing `node`, or what is made of each."""
    if isinstance(parent, ast.comprehension):
        return parent.iter is node
    if isinstance(parent, ast.Call):
        return node in parent.args and bool(code.names(parent.func) & _PASSED_ON)
    return isinstance(parent, _COMPREHENSIONS) and isinstance(node, ast.comprehension)


def _sorted_next(assigned: ast.Assign, code: Code) -> bool:
    """Whether the next statement is `files.sort()`."""
    target, after = assigned.targets[0], code.following.get(assigned)
    return isinstance(target, ast.Name) and after is not None and ast.unparse(after) == f"{target.id}.sort()"


def is_filled(call: ast.Call, code: Code) -> bool:
    """Whether fresh memory is filled at once (`torch.empty(3).normal_()`, `init.zeros_(…)`, `out=`), or has no size."""
    parent = code.parents.get(call)
    if isinstance(parent, ast.Call):
        return any(name.endswith("_") for name in code.names(parent.func))
    filled = isinstance(parent, ast.Attribute) and parent.attr.endswith("_") and code.calls(parent) is not None
    nothing = literal(call.args[0]) == 0 if len(call.args) == 1 else False
    return filled or nothing or (isinstance(parent, ast.keyword) and parent.arg == "out")
