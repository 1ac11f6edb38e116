"""Golden plans: specs with the exact engine request that each must become.

`python -m tests.unit.engine.plans` writes them anew; a changed line there is a changed container.
"""

import json
from pathlib import Path
from typing import Any

from executor.engine.plan import Placement, Plan, make_plan
from executor.facts import GpuFacts
from executor.spec.model import Spec

FOLDER = Path(__file__).parents[2] / "golden" / "plans"
IMAGE = "localhost/torch@sha256:" + "1" * 64
CPU_RUN = {
    "version": 1, "name": "cpu", "image": IMAGE, "code": {"commit": "2" * 40}, "seed": 2**64 - 1,
    "data": {"digits": {"hash": "sha256:" + "3" * 64}}, "command": ["python", "train.py", "--lr", "{params.lr}"],
    "params": {"lr": 1e-3, "hidden": [128, 64], "optim": {"name": "adam"}}, "cpu": {"threads": 2, "isa": "avx2"},
    "env": {"TOKENIZERS_PARALLELISM": "true"}, "resources": {"memory": "8GiB", "shm": "1GiB", "timeout": "2h"},
}  # fmt: skip
GPU_RUN = CPU_RUN | {
    "name": "gpu", "gpu": {"type": "NVIDIA H100 80GB HBM3", "count": 2}, "network": True, "workdir": "/outputs",
    "tier": "portable", "cpu": {"threads": 4, "isa": "avx512"},
}  # fmt: skip
BARE = {"version": 1, "name": "bare", "image": IMAGE, "command": ["true"], "seed": 0, "determinism": "off"}
GPUS = tuple(GpuFacts(index=i, uuid=f"GPU-{i}", name="NVIDIA H100 80GB HBM3", memory=85899345920) for i in (0, 1))


def planned(spec: dict[str, Any], **changes: Any) -> Plan:
    read = Spec.model_validate(spec)
    values: dict[str, Any] = {
        "attempt": "20260101T120000Z-00000000",
        "image": "sha256:" + "4" * 64,
        "work": Path("/home/attempts/a"),
        "data": {name: Path("/trees", name) for name in read.data},
        "cpus": tuple(range(read.cpu.threads)),
        "gpus": GPUS if read.gpu else (),
    }
    return make_plan(read, Placement(**values | changes))


def written(plan: Plan) -> str:
    files = {name: content.decode() for name, content in plan.files.items()}
    carried = {target: str(folder) for target, folder in plan.carried.items()}
    shown = {"request": plan.request, "files": files, "timeout": plan.timeout, "carried": carried}
    return json.dumps(shown, indent=1, sort_keys=True) + "\n"


PLANS = {
    "cpu": planned(CPU_RUN),
    "gpu": planned(GPU_RUN),
    "gpu_cdi": planned(GPU_RUN, gpu_request="cdi"),
    "bare": planned(BARE),
    "remote": planned(GPU_RUN, remote=True, gpus=(), disk=2**36),
    "secrets": planned(CPU_RUN | {"secrets": ["TOKEN"]}, secrets=Path("/dev/shm/a/secrets")),
    "remote_cdi": planned(GPU_RUN, remote=True, gpus=(), gpu_request="cdi"),
}

if __name__ == "__main__":
    for name, plan in PLANS.items():
        (FOLDER / f"{name}.json").write_text(written(plan))
