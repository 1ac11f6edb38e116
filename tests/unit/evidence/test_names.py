import ast

import pytest

from executor.evidence.names import read_code

EXPRESSIONS = [
    ("import os", "os.urandom", {"os.urandom"}),
    ("import os as o", "o.urandom", {"os.urandom"}),
    ("import a.b.c", "a.b.c.d", {"a.b.c.d"}),
    ("import a.b.c as x", "x.d", {"a.b.c.d"}),
    ("from time import time as now", "now", {"time.time"}),
    ("from datetime import datetime", "datetime.now", {"datetime.datetime.now"}),
    ("import time\ndef f():\n    from time import time", "time", {"time", "time.time"}),
    ("from time import *", "time", {"builtins.time", "time.time"}),
    ("import time", "getattr(time, 'time')", {"time.time"}),
    ("", "__import__('time').time", {"time.time"}),
    ("import importlib", "importlib.import_module('time').time", {"time.time"}),
    ("import torch.multiprocessing as mp", "mp.get_context('spawn').Queue", {"multiprocessing.Queue"}),
    ("", "id(x)", set()),
    ("", "id", {"builtins.id"}),
    ("for id in ids: ...", "id", set()),
    ("from .own import id", "id", set()),
    ("def id(x): ...", "id", set()),
    ("x = 1", "x.glob", set()),
    ("import a", "a" + ".b" * 8, {"a" + ".b" * 8}),
    ("import a", "a" + ".b" * 9, set()),
    ("", "f().glob", set()),
    ("", "1", set()),
    ("if TYPE_CHECKING:\n    import os", "os.urandom", {"builtins.os.urandom"}),
]


@pytest.mark.parametrize(("before", "expression", "expected"), EXPRESSIONS)
def test_what_a_name_may_stand_for(before: str, expression: str, expected: set[str]) -> None:
    tree = ast.parse(f"{before}\nz = {expression}")
    last = tree.body[-1]
    assert isinstance(last, ast.Assign)
    assert read_code(tree).names(last.value) == expected


def test_what_is_called_is_no_variable() -> None:
    tree = ast.parse("def f(id): ...\nid(x)")
    call = tree.body[-1].value  # type: ignore[attr-defined]
    assert read_code(tree).names(call.func) == {"builtins.id"}


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: A) -> A: ...",
        "x: A = 1",
        "'A'",
        "if TYPE_CHECKING:\n    A",
        "import typing\nif typing.TYPE_CHECKING:\n    A",
        "async def f(*x: A, **y: A) -> A: ...",
    ],
)
def test_what_cannot_run_is_no_node(source: str) -> None:
    nodes = read_code(ast.parse(source)).nodes
    assert not [node for node in nodes if isinstance(node, ast.Name | ast.Constant) and "A" in ast.dump(node)]


def test_the_other_branch_of_a_check_runs() -> None:
    nodes = read_code(ast.parse("if TYPE_CHECKING:\n    a\nelse:\n    b")).nodes
    assert [node.id for node in nodes if isinstance(node, ast.Name)] == ["b"]
