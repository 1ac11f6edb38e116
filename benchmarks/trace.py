"""What the trace costs: steps of models of ten million parameters and more, with it and without it, in turn.

Every second step of one process is traced, so that what else the machine does falls on both; the ratio is the median
over neighbouring steps.
"""

from __future__ import annotations

from pathlib import Path

from executor.run import Options
from executor.spec.model import Gpu, Spec
from executor.steps.site import Site
from executor.twin import attempt

PROGRAM = Path(__file__).parent / "programs" / "steps.py"
MODELS = ("transformer", "resnet", "mlp")
"""10.7, 11.2 and 10.0 million parameters; the last does least work for each of them."""
PAIRS = 20


def cost(site: Site, image: str, folder: Path, gpu: Gpu | None = None) -> dict[str, float]:
    """A step without the trace in milliseconds, and the ratio with it at its default level, by model."""
    found: dict[str, float] = {}
    for model in MODELS:
        options = Options()
        log = attempt(_spec(image, model, folder, gpu), site, options, options.how).log
        _, plain, _, ratio = log.split()
        found |= {f"{model}_step_ms": float(plain), f"{model}_steps_ratio": float(ratio)}
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
        "command": ["python3", f"/data/program/{PROGRAM.name}", model, str(PAIRS)],
        "resources": {"memory": "8GiB"},
    })  # fmt: skip
