"""What the trace costs: steps of models of ten million parameters and more, with it and without it, in turn.

Each measurement is a run of its own in a fresh container; runs with and without the trace alternate, and the ratio is
that of the medians over all of them. The numeric probe and the exit report are timed as whole seconds of a run.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from executor.engine.how import How, Level
from executor.run import Options
from executor.spec.model import Gpu, Spec
from executor.steps.site import Site
from executor.twin import attempt

PROGRAM = Path(__file__).parent / "programs" / "steps.py"
MODELS = ("transformer", "resnet", "mlp")
"""10.7, 11.2 and 10.0 million parameters; the last does least work for each of them."""
ROUNDS, STEPS = 3, 14


def cost(site: Site, image: str, folder: Path, gpu: Gpu | None = None) -> dict[str, float]:
    """Step times in milliseconds with the trace off, and the ratio with it at its default level, by model."""
    found: dict[str, float] = {}
    for model in MODELS:
        spec = _spec(image, model, folder, gpu)
        times: dict[Level, list[float]] = {"off": [], "steps": []}
        for _ in range(ROUNDS):
            for level in times:
                trial = attempt(spec, site, Options(), How(trace=level))
                times[level].append(_median_ms(trial.log))
        off = statistics.median(times["off"])
        found[f"{model}_step_ms"] = off
        found[f"{model}_steps_ratio"] = statistics.median(times["steps"]) / off
    return found


def _spec(image: str, model: str, folder: Path, gpu: Gpu | None) -> Spec:
    """A spec of the program, which lies in a data tree: no repository is needed."""
    from executor.spec.tree import scan

    tree = folder / "program"
    tree.mkdir(exist_ok=True)
    (tree / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
    return Spec.model_validate({
        "version": 1, "name": model, "image": image, "seed": 0, "cpu": {"threads": 2},
        "gpu": gpu.model_dump() if gpu else None,
        "data": {"program": {"hash": str(scan(tree).hash), "source": str(tree)}},
        "command": ["python3", f"/data/program/{PROGRAM.name}", model, str(STEPS)],
        "resources": {"memory": "8GiB"},
    })  # fmt: skip


def _median_ms(log: str) -> float:
    return float(log.split()[1])
