"""Weights files of real torch, numpy and safetensors, compared in a container: formats, types, distances, harm."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor import inside

pytestmark = pytest.mark.engine

INSIDE = Path(inside.__file__).parent
PRELUDE = """
    import io, json, os, sys, warnings
    warnings.simplefilter("ignore")
    import numpy as np, torch
    from torch import nn
    from safetensors.torch import save_file

    def zipped(value, **options): return lambda path: torch.save(value, path, **options)
    def legacy(value): return zipped(value, _use_new_zipfile_serialization=False)
    def raw(content): return lambda path: open(path, "wb").write(content)
    def safe(tensors):
        own = {name: one.contiguous().clone() for name, one in tensors.items()}
        return lambda path: save_file(own, path, metadata={f"key{n}": "x" * n for n in range(8)})
    def arrays(tensors, save=np.savez):
        return lambda path: save(open(path, "wb"), **{name: one.numpy() for name, one in tensors.items()})
    def array(value): return lambda path: np.save(open(path, "wb"), value)

    def pair(name, ours, theirs):
        for folder, write in (("reference", ours), ("observed", theirs)):
            os.makedirs(os.path.dirname(f"/data/{folder}/{name}"), exist_ok=True)
            if write: write(f"/data/{folder}/{name}")

    torch.manual_seed(0)
    STATE = {"l.weight": torch.randn(4, 3), "l.bias": torch.arange(5.0, dtype=torch.float64), "none": torch.empty(0, 3),
             "count": torch.tensor(7), "mask": torch.tensor([True, False]), "half": torch.ones(3).half(),
             "c": torch.randn(3, dtype=torch.complex64)}
"""
FORMATS = """
    clones = {name: STATE[name].clone() for name in reversed(sorted(STATE))}
    big = torch.randn(7, 9)
    views = dict(STATE, **{"l.weight": big[1:5, 2:5].copy_(STATE["l.weight"]), "half": torch.ones(3, 2).half()[:, 1]})
    def renamed(path): torch.save(STATE, path + ".other"); os.rename(path + ".other", path)
    pair("renamed", zipped(STATE), renamed)
    pair("legacy", zipped(STATE), legacy(STATE))
    pair("protocol-4", zipped(STATE), zipped(STATE, pickle_protocol=4))
    pair("safetensors", zipped(STATE), safe(STATE))
    pair("npz", zipped(STATE), arrays(STATE))
    pair("npz-compressed", zipped(STATE), arrays(STATE, np.savez_compressed))
    pair("views", zipped(STATE), zipped(views))
    pair("order", zipped(STATE), zipped(clones))
    parameters = {name: nn.Parameter(one, one.is_floating_point()) for name, one in STATE.items()}
    pair("parameters", zipped(STATE), zipped(parameters))
    pair("numpy-values", zipped(STATE), zipped({k: v.numpy() for k, v in STATE.items()}))
    pair("npy", array(np.arange(6.0).reshape(2, 3).T), zipped(torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t()))
    pair("npy-scalar", array(np.float32(3)), zipped(torch.tensor(3.0)))
    pair("npy-empty", array(np.zeros((0, 3), "f4")), zipped(torch.empty(0, 3)))
    pair("npy-big-endian", array(np.arange(3, dtype=">f4")), zipped(torch.arange(3.0)))
    same = torch.randn(3)
    pair("tied", zipped({"a": same, "b": same}), safe({"a": same, "b": same}))
    safe(STATE)("/tmp/1"); files = [open("/tmp/1", "rb").read()]
    while len(set(files)) == 1 and len(files) < 50: safe(STATE)("/tmp/1"); files.append(open("/tmp/1", "rb").read())
    assert len(set(files)) == 2, "the order of the metadata should differ"
    pair("safetensors-twice", raw(files[0]), raw(files[-1]))
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward(); optimizer.step()
    pair("module", zipped(model), zipped(model.state_dict()))
    pair("torchscript", lambda path: torch.jit.script(model).save(path), zipped(model.state_dict()))
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": 0.5,
                  "tags": {"a", "b"}, "shape": torch.Size([1, 2]), "dtype": torch.bfloat16, "at": torch.device("cpu")}
    pair("sub/checkpoint", zipped(checkpoint), legacy(dict(checkpoint, model=model, optimizer=optimizer)))
    sys.path.insert(0, "/code")
    import model as own
    pair("own-class", zipped(own.Net()), zipped(own.Net().state_dict()))
"""
TYPES = """
    bits = torch.arange(48, dtype=torch.uint8)
    for name in sorted({str(one)[6:] for one in vars(torch).values() if isinstance(one, torch.dtype)}):
        if name.startswith(("q", "bits")): continue  # no storage of their own can be made
        dtype = getattr(torch, name)
        ours, theirs = (bits % 2, bits % 2) if name == "bool" else (bits, bits.clone())
        theirs[-dtype.itemsize] ^= 1
        value, changed = ours.view(dtype), theirs.view(dtype)
        try: torch.save(value, io.BytesIO())
        except KeyError: continue  # torch itself cannot save the types of less than a byte
        pair(name, zipped({"x": value}), legacy({"x": value}) if name in ("float16", "bool") else zipped({"x": value}))
        pair(name + "-changed", zipped({"x": value}), zipped({"x": changed}))
        if name not in ("complex32", "complex128") and name[-2:] in ("16", "32", "64", "t8") or "float" in name:
            pair(name + "-safetensors", zipped({"x": value}), safe({"x": value}))
    for name, flip in (("sparse", 0), ("sparse-changed", 1)):
        one, two = torch.eye(4), torch.eye(4)
        two[3, 3] += flip
        forms = lambda t: {"coo": t.to_sparse(), "csr": t.to_sparse_csr(), "csc": t.to_sparse_csc(),
                           "bsr": t.to_sparse_bsr((2, 2)), "bsc": t.to_sparse_bsc((2, 2)),
                           "nested": torch.nested.nested_tensor([t, t[:2]]),
                           "int8": torch.quantize_per_tensor(t, 0.1, 2, torch.qint8),
                           "channels": torch.quantize_per_channel(t, torch.ones(4), torch.zeros(4), 0, torch.quint8)}
        pair(name, zipped(forms(one)), zipped(forms(two)))
    pieces = torch.sparse_coo_tensor([[3, 0, 1, 2, 3]], [0.5, 1.0, 1.0, 1.0, 0.5], (4,), check_invariants=True)
    pair("sparse-pieces", zipped(pieces), zipped(torch.ones(4).to_sparse()))
    for name, one, two in (("text", ["ab", "c"], ["ab", "d"]), ("long", np.ones(2, "g"), np.array([1, 2], "g")),
                           ("date", np.array("2020-01-01", "M8[D]"), np.array("2020-01-02", "M8[D]"))):
        pair("npy-" + name, array(np.array(one)), array(np.array(one)))
        pair("npy-" + name + "-changed", array(np.array(one)), array(np.array(two)))
"""
DISTANCES = """
    def changed(dtype, position, value):
        copy = torch.linspace(-2, 2, 600).reshape(20, 30).to(dtype); copy[position] = value
        return zipped({"steady": torch.ones(3), "w": copy})
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        name, here = str(dtype)[6:], (13, 7)
        base = torch.linspace(-2, 2, 600).reshape(20, 30).to(dtype)[here]
        integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[base.element_size()]
        next_one = (base.view(integer) + 1).view(dtype)
        pair(name + "-one-ulp", changed(dtype, here, base), changed(dtype, here, next_one))
        pair(name + "-sign", changed(dtype, here, 1.0), changed(dtype, here, -1.0))
        pair(name + "-zeros", changed(dtype, here, 0.0), changed(dtype, here, -0.0))
        pair(name + "-nan", changed(dtype, here, float("nan")), changed(dtype, here, 1.0))
        pair(name + "-same-nan", changed(dtype, here, float("nan")), changed(dtype, here, float("nan")))
        pair(name + "-infinities", changed(dtype, here, float("inf")), changed(dtype, here, float("-inf")))
    long = torch.zeros(3_000_001); other = long.clone()
    other[1_048_575] = 1e-45; other[2_999_999:] = torch.tensor([1.0, 3e-45])
    pair("chunks", zipped({"x": long}), zipped({"x": other}))
    pair("complex", zipped(torch.tensor([1 + 1j, 2j])), zipped(torch.tensor([1 + 1j, 2.0000002j])))
    pair("conjugate", zipped(torch.tensor([1 + 1j]).conj()), zipped(torch.tensor([1 - 1j])))
    pair("integers", zipped(torch.tensor([1, 2, 3])), zipped(torch.tensor([1, 2, 4])))
    small = lambda *values: zipped(torch.tensor(values).to(torch.float8_e4m3fn))
    pair("float8", small(1.0, 2.0), small(1.0, -2.0))
    pair("shape", zipped({"x": torch.ones(2, 3)}), zipped({"x": torch.ones(3, 2)}))
    pair("dtype", zipped({"x": torch.ones(2)}), zipped({"x": torch.ones(2).half()}))
    pair("bool", zipped({"x": True}), zipped({"x": torch.tensor(True)}))
    pair("missing", zipped({"a": torch.ones(1), "b": torch.ones(1)}), zipped({"b": torch.ones(1), "c": torch.ones(1)}))
    many = {f"n{n:03}": torch.full((4,), 1.0) for n in range(50)}
    pair("many", zipped(many), zipped({n: t + i * 2**-23 for i, (n, t) in enumerate(many.items())}))
"""
HARM = """
    class Evil:
        def __init__(self, code): self.code = code
        def __reduce__(self): return eval, (self.code,)
    class Gone: pass
    def evil(code): return zipped({"w": torch.ones(2), "x": Evil(code)})
    good = zipped(STATE)
    pair("system", evil("__import__('os').system('echo pwned; touch /tmp/pwned')"), good)
    pair("legacy-system", legacy({"w": Evil("__import__('os').system('exit 3')")}), good)
    for name, code in dict(exit="__import__('os')._exit(0)", kill="__import__('os').kill(__import__('os').getpid(), 9)",
                           leave="__import__('sys').exit(3)", interrupt="(_ for _ in ()).throw(KeyboardInterrupt)",
                           circle="(lambda one: (one.append(one), one))([])", object="type('Odd', (), {})()",
                           wide="(lambda one: [one.append([one[-1]] * 9) for _ in range(9)] and one)([[1]])").items():
        pair(name, evil(code), good)
    pair("forked", evil("__import__('torch').ones(10) and 0"), good)
    pair("gone", zipped(Gone()), good)
    for name, write in dict(zip=zipped(STATE), legacy=legacy(STATE), safetensors=safe(STATE), npz=arrays(STATE),
                            npy=array(np.ones(99))).items():
        write("/tmp/whole")
        content = open("/tmp/whole", "rb").read()
        for size in (0, 5, 9, 40, len(content) // 2, len(content) - 1):
            pair(f"cut/{name}-{size}", raw(content[:size]), good)
        if name in ("zip", "legacy", "npz"):
            for place in range(0, len(content), max(1, len(content) // 12)):
                hit = bytes(byte ^ 255 for byte in content[place : place + 8])
                pair(f"broken/{name}-{place}", raw(content[:place] + hit + content[place + 8 :]), good)
    pair("header", raw((1 << 62).to_bytes(8, "little") + b"{}"), good)
    def lying(dtype, shape, offsets):
        header = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).ljust(80).encode()
        return raw((80).to_bytes(8, "little") + header + b"abc")
    pair("offsets", lying("F32", [9], [0, 36]), good)
    pair("no-such-type", lying("F6", [4], [0, 3]), good)
    pair("wrong-shape", lying("U8", [4], [0, 3]), good)
    pair("objects", lambda path: np.save(open(path, "wb"), np.array([{}])), good)
    pair("meta", zipped({"x": torch.empty(3, device="meta")}), good)
    pair("not-weights", raw(b"# a text"), good)
    pair("not-there", None, good)
    os.makedirs("/data/reference/folder"); pair("folder", None, good)
"""
RUN = """
    found = [os.path.join(at, name) for at, _, names in os.walk("/data/observed") for name in names]
    plan = {"tensors": {"paths": sorted(os.path.relpath(path, "/data/observed") for path in found)}}
    json.dump(plan, open("/run/executor/plan.json", "w"))
    os.execv(sys.executable, [sys.executable, "-I", "-c", ENTRY])
"""
ENTRY = """
import sys
package = type(sys)("_executor")
package.__path__ = ["/run/executor/inside"]
sys.modules["_executor"] = package
from _executor.tensors import main
import torch
torch.ones(3_000_000) + 1  # torch has threads now, and a child that waits for them never ends
sys.exit(main([]))
"""
MODEL = """
    from torch import nn
    import torch
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.layer = nn.Linear(2, 3)
"""

Compared = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def compared(torch_image: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Compared]:
    def run(program: str) -> Compared:
        home = tmp_path_factory.mktemp("tensors")
        (home / "report").mkdir(mode=0o777)
        (home / "report").chmod(0o777)
        (home / "plan.json").touch()
        (home / "plan.json").chmod(0o666)
        (home / "code").mkdir()
        (home / "code" / "model.py").write_text(textwrap.dedent(MODEL))
        (home / "program.py").write_text(
            f"ENTRY = {ENTRY!r}\n" + "".join(map(textwrap.dedent, (PRELUDE, program, RUN)))
        )
        options = ["--network=none", "--read-only", "--user=1000:1000", "--tmpfs=/tmp", "--tmpfs=/data:uid=1000",
                   "--cap-drop=ALL", "--security-opt=no-new-privileges", "--env=PYTHONDONTWRITEBYTECODE=1",
                   f"--volume={INSIDE}:/run/executor/inside:ro", f"--volume={home}/report:/run/executor/report",
                   f"--volume={home}/plan.json:/run/executor/plan.json",
                   f"--volume={home}/code:/code:ro", f"--volume={home}/program.py:/program.py:ro"]  # fmt: skip
        command = ["docker", "run", "--rm", "--init", *options, torch_image, "python3", "/program.py"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        files: Compared = json.loads((home / "report" / "tensors.json").read_text())["files"]
        return files

    return run


@pytest.fixture(scope="module")
def formats(compared: Callable[[str], Compared]) -> Compared:
    return compared(FORMATS)


@pytest.fixture(scope="module")
def types(compared: Callable[[str], Compared]) -> Compared:
    return compared(TYPES)


@pytest.fixture(scope="module")
def distances(compared: Callable[[str], Compared]) -> Compared:
    return compared(DISTANCES)


@pytest.fixture(scope="module")
def harm(compared: Callable[[str], Compared]) -> Compared:
    return compared(HARM)


def is_same(result: dict[str, Any]) -> bool:
    same = bool(result["reference"]) and result["reference"] == result["observed"] and not result["problem"]
    if same:
        assert (result["different"], result["different_count"], result["max_ulp"]) == ([], 0, 0)
        assert result["only"] == {"reference": [], "observed": []}
    return same


def the_difference(result: dict[str, Any]) -> dict[str, Any]:
    assert (result["problem"], result["different_count"]) == ("", 1)
    assert result["reference"] != result["observed"]
    (entry,) = result["different"]
    assert isinstance(entry, dict)
    return entry


def test_the_digest_is_the_same_in_every_format(formats: Compared) -> None:
    assert [name for name, result in formats.items() if not is_same(result)] == []
    names = "renamed legacy protocol-4 safetensors npz npz-compressed views order parameters numpy-values"
    assert len({formats[name]["observed"] for name in names.split()}) == 1
    assert formats["renamed"]["tensors"] == 7
    assert formats["sub/checkpoint"]["tensors"] == 9 + 6 * 3


def test_every_type_of_torch_is_compared(types: Compared) -> None:
    changed = {name for name in types if name.endswith("-changed")}
    assert [name for name in types.keys() - changed if not is_same(types[name])] == []
    assert len(changed) > 20
    for name in changed - {"sparse-changed"}:
        entry = the_difference(types[name])
        assert (entry["count"], entry["dtype"].startswith(name.split("-")[0])) == (1, not name.startswith("npy"))
        assert entry["max_ulp"] == 1 or not name.startswith(("float16", "bfloat", "float32", "float64", "float8_e4"))


def test_sparse_and_quantized_tensors_differ_in_a_part_of_them(types: Compared) -> None:
    names = {entry["name"] for entry in types["sparse-changed"]["different"]}
    assert names == {
        "coo.values", "csr.values", "csc.values", "bsr.values", "bsc.values", "nested.0", "int8.int_repr",
        "channels.int_repr",
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_one_element_is_found_with_its_distance(distances: Compared, dtype: str) -> None:
    entry = the_difference(distances[f"{dtype}-one-ulp"])
    assert 0 < entry.pop("max_relative") < 0.01
    assert entry == {
        "name": "w", "dtype": dtype, "shape": [20, 30], "count": 1, "elements": 600, "max_ulp": 1,
        "first_index": [13, 7],
    }  # fmt: skip
    one = {"float16": 0x3C00, "bfloat16": 0x3F80, "float32": 0x3F800000, "float64": 0x3FF0000000000000}[dtype]
    infinity = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}[dtype]
    seen = {
        name: (entry["max_ulp"], entry["max_relative"])
        for name in ("sign", "zeros", "nan", "infinities")
        for entry in [the_difference(distances[f"{dtype}-{name}"])]
    }
    assert seen == {
        "sign": (2 * one, 2.0), "zeros": (0, 0.0), "nan": (None, None), "infinities": (2 * infinity, None),
    }  # fmt: skip
    assert distances[f"{dtype}-sign"]["max_ulp"] == 2 * one
    assert is_same(distances[f"{dtype}-same-nan"])


def test_large_tensors_are_compared_in_chunks(distances: Compared) -> None:
    entry = the_difference(distances["chunks"])
    assert (entry["count"], entry["max_ulp"], entry["first_index"]) == (3, 0x3F800000, [1048575])
    assert entry["elements"] == 3_000_001


def test_other_kinds_of_numbers(distances: Compared) -> None:
    complex_one = the_difference(distances["complex"])
    assert (complex_one["count"], complex_one["max_ulp"], complex_one["first_index"]) == (1, 1, [1])
    assert is_same(distances["conjugate"])
    integers = the_difference(distances["integers"])
    assert (integers["max_ulp"], integers["max_relative"], integers["first_index"]) == (None, 0.25, [2])
    assert the_difference(distances["float8"])["max_relative"] == 2.0


def test_other_shapes_types_and_names(distances: Compared) -> None:
    shape, dtype = the_difference(distances["shape"]), the_difference(distances["dtype"])
    assert (shape["dtype"], shape["shape"], shape["max_ulp"]) == ("float32", "[2, 3] → [3, 2]", None)
    assert (dtype["dtype"], dtype["shape"], dtype["max_ulp"]) == ("float32 → float16", [2], None)
    assert the_difference(distances["bool"])["dtype"] == "python.bool → bool"
    missing = distances["missing"]
    assert missing["only"] == {"reference": ["a"], "observed": ["c"]}
    assert (missing["tensors"], missing["different_count"], missing["max_ulp"]) == (3, 0, None)


def test_the_worst_twenty_of_many(distances: Compared) -> None:
    many = distances["many"]
    assert (many["tensors"], many["different_count"], many["max_ulp"]) == (50, 49, 49)
    assert [entry["max_ulp"] for entry in many["different"]] == [*range(49, 29, -1)]
    assert many["different"][0]["name"] == "n049"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("exit", "the process that compared the files ended too soon"),
        ("kill", "the process that compared the files was killed by signal 9"),
        ("leave", "the reference file cannot be read as torch: it raises SystemExit"),
        ("interrupt", "the reference file cannot be read as torch: it raises KeyboardInterrupt"),
        ("circle", "the reference file is nested too deep"),
        ("wide", "the reference file has more than 1000000 values"),
        ("gone", "the reference file cannot be read as torch: Can't get attribute 'Gone' on <module '__main__'"),
        ("object", "the reference file holds an object of the type torch.serialization.Odd at x, and it cannot be"),
        ("header", "the reference file is in none of the formats torch, safetensors, npz and npy"),
        ("offsets", "the reference file is damaged: it ends before the values of x"),
        ("no-such-type", "the reference file has x of type F6, which this torch has not"),
        ("wrong-shape", "the reference file cannot be read as safetensors: "),
        ("objects", "the reference file cannot be read as npy: Object arrays cannot be loaded"),
        ("meta", "the reference file has x, which cannot be read: Cannot copy out of meta tensor; no data!"),
        ("not-weights", "the reference file is in none of the formats torch, safetensors, npz and npy"),
        ("not-there", "the reference file is not there"),
        ("folder", "the reference file is not there"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_in_one_sentence(harm: Compared, name: str, problem: str) -> None:
    result = harm[name]
    assert result["problem"].startswith(problem)
    assert "\n" not in result["problem"]
    assert (result["reference"], result["max_ulp"]) == (None, None)
    whole = harm["system"]["observed"]
    assert result["observed"] == (None if name in ("exit", "kill") else whole)


def test_a_hostile_pickle_ends_as_an_odd_value(harm: Compared) -> None:
    assert (harm["system"]["problem"], harm["system"]["only"]["reference"]) == ("", ["w", "x"])
    assert harm["legacy-system"]["only"]["reference"] == ["w"]


def test_damaged_files_never_pass_for_whole_ones(harm: Compared) -> None:
    cut = {name: result for name, result in harm.items() if name.startswith("cut/")}
    assert len(cut) == 30
    assert [name for name, result in cut.items() if not result["problem"].startswith("the reference file ")] == []
    broken = {name: result for name, result in harm.items() if name.startswith("broken/")}
    assert len(broken) > 30
    assert all("\n" not in result["problem"] for result in broken.values())
