import ast

import pytest

from executor.evidence.calls import literal
from executor.evidence.constructs import constructs

IMPORTS = "import gzip, glob, importlib, os, safetensors.torch, tarfile, time, torch, zipfile, numpy, pandas\n"

COUNTED = [
    ("time.strftime('%Y')", "clock"),
    ("time.localtime()", "clock"),
    ("time.ctime()", "clock"),
    ("numpy.datetime64('now')", "clock"),
    ("torch.use_deterministic_algorithms(False)", "contract"),
    ("torch.use_deterministic_algorithms(mode=flag)", "contract"),
    ("torch.use_deterministic_algorithms(True, warn_only=True)", "contract"),
    ("torch.use_deterministic_algorithms(**options)", "contract"),
    ("torch.set_float32_matmul_precision('high')", "contract"),
    ("torch.set_deterministic_debug_mode('warn')", "contract"),
    ("os.environ.setdefault('MKL_NUM_THREADS', '1')", "contract"),
    ("os.environ.update(OMP_NUM_THREADS='1')", "contract"),
    ("os.environ.update({'NPY_X': '1'})", "contract"),
    ("os.environ.update(settings)", "contract"),
    ("os.environ.clear()", "contract"),
    ("os.putenv('ATEN_CPU_CAPABILITY', 'avx512')", "contract"),
    ("gzip.open(p, 'wt')", "save"),
    ("tarfile.open(p, mode='w:gz')", "save"),
    ("zipfile.ZipFile(p, mode)", "save"),
    ("safetensors.torch.save_file(t, p, metadata={'a': '1', 'b': '2'})", "save"),
    ("safetensors.torch.save_file(t, p, metadata={**a})", "save"),
    ("safetensors.torch.save_file(t, p, meta)", "save"),
    ("torch.Tensor(3, 4)", "uninitialised"),
    ("torch.FloatTensor(3)", "uninitialised"),
    ("torch.Tensor(*shape)", "uninitialised"),
    ("numpy.ndarray((3, 4))", "uninitialised"),
    ("torch.nn.Parameter(torch.empty(3))", "uninitialised"),
    ("set(model.parameters())", "address"),
    ("frozenset(p for p in model.modules())", "address"),
    ("importlib.import_module(name)", "dynamic"),
    ("for x in os.listdir(p): ...", "directory-order"),
    ("list(glob.glob(p))", "directory-order"),
    ("sorted(os.listdir(p), key=len)", "directory-order"),
    ("sorted([os.listdir(d) for d in dirs])", "directory-order"),
    ("sorted(os.walk(p))", "directory-order"),
    ("for x in p.iterdir(): ...", "directory-order"),
    ("[f(x) for x in p.rglob('*')]", "directory-order"),
    ("xs = os.listdir(p)\nf(xs)\nxs.sort()", "directory-order"),
    ("if a:\n    xs = os.listdir(p)\nelse:\n    xs.sort()", "directory-order"),
    ("map(os.listdir, ps)", "directory-order"),
]

FINE = [
    "time.strftime('%Y', stamp)",
    "time.localtime(0)",
    "numpy.datetime64('2020-01-01')",
    "torch.use_deterministic_algorithms(True)",
    "torch.use_deterministic_algorithms(mode=True, warn_only=False)",
    "torch.set_float32_matmul_precision('highest')",
    "torch.set_deterministic_debug_mode('error')",
    "os.environ.setdefault('MASTER_PORT', '1')",
    "os.environ.update({'RANK': '0'}, WORLD_SIZE='1')",
    "os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':16:8')",
    "os.environ.update(CUBLAS_WORKSPACE_CONFIG=':4096:8')",
    "gzip.open(p)",
    "tarfile.open(p, 'r:gz')",
    "zipfile.ZipFile(p)",
    "safetensors.torch.save_file(t, p)",
    "safetensors.torch.save_file(t, p, metadata=None)",
    "safetensors.torch.save_file(t, p, metadata={'format': 'pt'})",
    "torch.Tensor([1, 2])",
    "torch.empty(0)",
    "torch.empty(3).normal_()",
    "torch.nn.init.zeros_(torch.empty(3))",
    "torch.add(a, b, out=torch.empty(3))",
    "set(names)",
    "set(f(p) for p in model.parameters())",
    "importlib.import_module('time')",
    "sorted(os.listdir(p))",
    "sorted(os.listdir(p), reverse=True)",
    "sorted(x for x in os.listdir(p) if x)",
    "sorted(list(glob.glob(p)))",
    "sorted([f(d, x) for d in os.listdir(p) for x in os.listdir(d)])",
    "sorted(join(r, x) for r, _, xs in os.walk(p) for x in xs)",
    "sorted(p.iterdir())",
    "sorted(map(str, p.rglob('*')))",
    "len(os.listdir(p))",
    "x in os.listdir(p)",
    "xs = os.listdir(p)\nxs.sort()",
]


def sources(text: str) -> set[str]:
    return {source for source, _ in constructs(ast.parse(IMPORTS + text))}


@pytest.mark.parametrize(("text", "source"), COUNTED)
def test_a_call_that_counts(text: str, source: str) -> None:
    assert sources(text) == {source}


@pytest.mark.parametrize("text", FINE)
def test_a_call_that_does_not_count(text: str) -> None:
    assert sources(text) == set()


def test_only_constants_have_a_literal_value() -> None:
    assert literal(ast.parse("3", mode="eval").body) == 3
    assert literal(ast.parse("x", mode="eval").body) is literal(None) is ...
