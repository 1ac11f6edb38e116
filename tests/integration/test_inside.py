"""The inside of a real hermetic container: unseeded programs twice, refusals, and what is reported."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from executor import inside
from executor.facts import ContainerFacts, Finding, refused

pytestmark = pytest.mark.engine

INSIDE = Path(inside.__file__).parent
CPUS = len(os.sched_getaffinity(0))
ENVIRONMENT = {
    "PYTHONPATH": "/run/executor/inside/boot",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONHASHSEED": "20260101",
    "EXECUTOR_SEED": "20260101",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_DYNAMIC": "FALSE",
    "MKL_DYNAMIC": "FALSE",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "HOME": "/tmp",
}


@dataclass(frozen=True)
class Ran:
    """One container that has ended."""

    exit_code: int
    stdout: str
    stderr: str
    report: Path

    def json(self, name: str) -> Any:
        return json.loads((self.report / name).read_text())

    def processes(self) -> list[Any]:
        return sorted(
            (json.loads(path.read_text()) for path in self.report.glob("process-*.json")), key=lambda p: p["process"]
        )


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, torch_image: str) -> Run:
    number = iter(range(100))

    def run_once(program: str | list[str], env: dict[str, str] | None = None, **plan: Any) -> Ran:
        home = tmp_path / str(next(number))
        (home / "report").mkdir(parents=True)
        (home / "report").chmod(0o777)
        expect = {"threads": 1, "isa": "avx2", "torch": None, "gpus": [], "cpus": CPUS} | plan.pop("expect", {})
        document = {"expect": expect, "seed": 20260101, "determinism": "strict", "tier": "native", "allow": [],
                    "workdir": "/tmp"} | plan  # fmt: skip
        (home / "plan.json").write_text(json.dumps(document))
        (home / "program.py").write_text(textwrap.dedent(program) if isinstance(program, str) else "")
        options = ["--network=none", "--read-only", "--user=1000:1000", "--tmpfs=/tmp", "--cap-drop=ALL",
                   "--shm-size=256m", "--security-opt=no-new-privileges", "--hostname=run"]  # fmt: skip
        for key, value in (ENVIRONMENT | (env or {})).items():
            options.append(f"--env={key}={value}")
        mounts = {
            INSIDE: "run/executor/inside:ro",
            home / "plan.json": "run/executor/plan.json:ro",
            home / "report": "run/executor/report",
            home / "program.py": "code/program.py:ro",
        }
        options += [f"--volume={source}:/{target}" for source, target in mounts.items()]
        command = ["python", "/code/program.py"] if isinstance(program, str) else program
        start = ["docker", "run", "--rm", "--init", *options, torch_image, "python3", "/run/executor/inside", "--"]
        done = subprocess.run([*start, *command], capture_output=True, text=True, timeout=300, check=False)
        return Ran(done.returncode, done.stdout, done.stderr, home / "report")

    return run_once


RANDOM = """
    import random
    print(random.random(), random.Random().random(), random.Random().random(), random.sample(range(99), 5))
    random.seed(); print(random.random())
    print(random.Random(7).random(), hash("text"), {"a", "b", "c", "d"})
"""
NUMPY = """
    import numpy as np
    print(np.random.rand(3), np.random.default_rng().random(3), np.random.default_rng().random(3))
    print(np.random.RandomState().rand(), np.random.Generator(np.random.Philox()).random())
    print(np.random.SeedSequence().entropy)
    np.random.seed(); print(np.random.rand())
    print(np.random.default_rng(3).random())
"""
TORCH = """
    import hashlib, torch
    from torch import nn
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(torch.randn(32, 64)), torch.randint(10, (32,)))
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    for name, value in model.state_dict().items():
        print(name, hashlib.sha256(value.numpy().tobytes()).hexdigest())
"""
LOADER = """
    import random, sys
    import numpy as np, torch
    from torch.utils.data import DataLoader, Dataset
    class Noise(Dataset):
        def __len__(self): return 16
        def __getitem__(self, i):
            fresh = np.random.default_rng().random()
            own = random.Random().random()
            row = [i, random.random(), np.random.rand(), torch.rand(()).item(), fresh, own]
            return torch.tensor(row, dtype=torch.float64)
    if __name__ == "__main__":
        for workers, method in ((0, None), (2, "fork"), (2, "spawn")):
            for epoch in range(2):
                loader = DataLoader(Noise(), 4, shuffle=True, num_workers=workers, multiprocessing_context=method)
                rows = torch.cat(list(loader))
                print(workers, method, [v.hex() for v in rows.flatten().tolist()])
                assert len(set(rows[:, 1:].flatten().tolist())) == 16 * 5, "two workers drew the same"
"""
CHILDREN = """
    import multiprocessing, os, random, subprocess, sys
    import numpy as np, torch
    DRAW = "import random, numpy as np, torch; print(random.random(), np.random.rand(), torch.rand(()).item())"
    def draw(_=None):
        fresh, own = np.random.default_rng().random(), random.Random().random()
        return random.random(), np.random.rand(), fresh, own, torch.rand(()).item()
    def put(queue): queue.put(draw())
    if __name__ == "__main__":
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            found = []
            for _ in range(2):
                queue = context.Queue()
                child = context.Process(target=put, args=(queue,)); child.start()
                found.append(queue.get()); child.join()
            print(method, found)
            assert found[0][0] != found[1][0] and found[0][2] != found[1][2] and found[0][3] != found[1][3]
            assert found[0][4] == found[1][4], "torch repeats in children"
            if method == "spawn": assert found[0][1] != found[1][1]
            with context.Pool(2) as pool: print(method, pool.map(str, range(5)))
            with context.Pool(1) as pool: print(method, pool.map(draw, range(3)))
        ways = {}, {}, {"env": dict(os.environ, X="1")}, {"close_fds": False}, {"preexec_fn": lambda: None}
        found = [subprocess.check_output([sys.executable, "-c", DRAW], text=True, **way) for way in ways]
        print(found, flush=True)
        assert len({text.split()[0] for text in found}) == len(ways)
        os.system(f"{sys.executable} -c '{DRAW}'")
"""


@pytest.mark.parametrize(
    "program", [RANDOM, NUMPY, TORCH, LOADER, CHILDREN], ids=["random", "numpy", "torch", "loader", "children"]
)
def test_an_unseeded_program_repeats(run: Run, program: str) -> None:
    first, second = run(program), run(program)
    assert (first.exit_code, first.stderr) == (0, ""), first.stderr
    assert first.stdout
    assert first.stdout == second.stdout
    assert first.processes() == second.processes()


def test_another_seed_gives_other_numbers(run: Run) -> None:
    first, other = run(NUMPY), run(NUMPY, env={"EXECUTOR_SEED": str(2**64 - 1)})
    assert other.exit_code == 0, other.stderr
    seeded_by_the_program = first.stdout.splitlines()[-1]
    assert {*first.stdout.splitlines()} & {*other.stdout.splitlines()} == {seeded_by_the_program}


def test_a_program_s_own_seed_wins(run: Run) -> None:
    program = """
        import random, numpy as np, torch
        random.seed(1); np.random.seed(1); torch.manual_seed(1)
        print(random.random(), np.random.rand(), torch.rand(()).item())
    """
    plain = run(program, env={"PYTHONPATH": ""})
    assert run(program).stdout == plain.stdout
    assert plain.stdout.startswith("0.13436424411240122 0.417022004702574 ")


def test_the_report_reads_as_container_facts(run: Run) -> None:
    ran = run("import torch; torch.set_num_threads(2)")
    facts = ContainerFacts.model_validate(ran.json("launch.json") | ran.json("torch.json"))
    assert facts.checked
    assert facts.torch == facts.distributions["torch"]
    assert (facts.threads, facts.isa, facts.torch_cuda, facts.gpus) == (1, "avx2", None, ())
    assert len(facts.cpus) == CPUS
    assert facts.glibc.startswith("2.")
    assert facts.settings["deterministic_algorithms"] is True
    assert facts.environment["MKL_DYNAMIC"] == "FALSE"
    assert ran.json("launch.json")["findings"] == ran.json("torch.json")["findings"] == []
    (process,) = ran.processes()
    assert process["settings"]["threads"] == 2, "settings are those in force at the end"


@pytest.mark.parametrize(
    ("expect", "field"),
    [
        ({"cpus": CPUS + 1}, "cpu.threads"),
        ({"torch": "1.0"}, "torch"),
        ({"gpus": [{"name": "H", "uuid": "GPU-1"}]}, "gpu.count"),
    ],
)
def test_a_mismatch_is_refused_before_the_program_starts(run: Run, expect: dict[str, Any], field: str) -> None:
    ran = run("print('started')", expect=expect)
    assert (ran.exit_code, ran.stdout) == (97, "")
    assert field in ran.stderr
    findings = [Finding.model_validate(line) for line in ran.json("refusal.json")["findings"]]
    assert [finding.field for finding in refused(findings)] == [field]


def test_a_thread_count_that_a_library_cut_is_mended(run: Run) -> None:
    threads = str(CPUS + 1)
    ran = run(
        "import torch; print(torch.get_num_threads())",
        env={"OMP_NUM_THREADS": threads, "MKL_DYNAMIC": "TRUE"},
        expect={"threads": CPUS + 1},
    )
    assert (ran.exit_code, ran.stdout) == (0, threads + "\n")


def test_a_choice_of_the_program_s_own_is_a_warning(run: Run) -> None:
    ran = run(
        "import os; os.environ.update(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')\n"
        "import torch; print(torch.get_num_threads())",
        env={"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        expect={"threads": 2},
    )
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "1\n", "")
    (finding,) = ran.json("torch.json")["findings"]
    assert (finding["field"], finding["severity"], finding["observed"]) == ("cpu.threads", "warn", "1")


def test_another_torch_than_the_image_s_is_refused_at_its_import(run: Run) -> None:
    program = """
        import os, sys, pathlib
        site = pathlib.Path("/tmp/other/torch"); site.mkdir(parents=True)
        import importlib.util
        real = importlib.util.find_spec("torch").origin
        (site / "__init__.py").write_text(f"__path__ = [{os.path.dirname(real)!r}]; __file__ = {real!r}\\n"
                                          f"exec(open({real!r}).read()); __version__ = '9.9'")
        sys.path.insert(0, "/tmp/other")
        print("before", flush=True)
        try:
            import torch
        finally:
            print("after")
    """
    version = run("import torch; print(torch.__version__)").stdout.strip()
    ran = run(program, expect={"torch": version})
    assert (ran.exit_code, ran.stdout) == (97, "before\n"), ran.stderr
    assert f"torch: expected {version}, found 9.9" in ran.stderr
    assert ran.json("refusal.json")["findings"][0]["field"] == "torch"


def test_an_allowed_mismatch_runs_and_is_kept(run: Run) -> None:
    ran = run("print('started')", expect={"cpus": CPUS + 1}, allow=["cpu.threads"])
    assert (ran.exit_code, ran.stdout) == (0, "started\n")
    assert ran.json("launch.json")["findings"][0]["allowed"] is True


def test_strict_fails_where_warn_warns_and_off_says_nothing(run: Run) -> None:
    program = """
        import torch
        print(torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    """
    seen = [run(program, determinism=level).stdout for level in ("strict", "warn", "off")]
    assert seen == ["True False\n", "True True\n", "False False\n"]


@pytest.mark.parametrize(
    ("command", "code", "stdout"),
    [
        (["sh", "-c", "yes | head -1; exit 3"], 3, "y\n"),
        (["/no/such/program"], 127, ""),
        (["/code"], 126, ""),
        (["python", "-m", "timeit", "-h"], 0, None),
        (["python", "-c", "import sys; sys.exit(5)"], 5, ""),
        (["python", "-I", "-c", "print(1)"], 0, "1\n"),
    ],
)
def test_any_command_runs_as_it_would_by_itself(run: Run, command: list[str], code: int, stdout: str | None) -> None:
    ran = run(command)
    assert ran.exit_code == code
    assert stdout is None or ran.stdout == stdout
    assert bool(ran.stderr) == (code in (126, 127))
    assert bool(list(ran.report.glob("process-*"))) == (command[0] == "python" and "-I" not in command)


def test_the_portable_square_root_is_correctly_rounded(run: Run) -> None:
    program = """
        import numpy as np, torch
        x = torch.rand(200_000) * 100
        right = torch.from_numpy(np.sqrt(x.numpy()))
        print((x.sqrt() != right).sum().item(), (x.clone().sqrt_() != right).sum().item())
        print(*((roots[0] != right).sum().item() for roots in (torch._foreach_sqrt([x]), [torch.sqrt(x)])))
        y = torch.tensor([4.0], requires_grad=True); y.sqrt().backward(); print(y.grad.item())
    """
    assert run(program, tier="portable").stdout == "0 0\n0 0\n0.25\n"
    assert run(program).stdout != "0 0\n0 0\n0.25\n", "without it torch is not exact, so the test would prove nothing"
