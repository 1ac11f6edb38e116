"""What a rerun will give, said before it runs: what is known here, put before the rules of `evidence/predict.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from executor.engine.how import How
from executor.environment import verify
from executor.errors import ExecutorError
from executor.evidence.predict import Before, Prediction, predict
from executor.evidence.record import Record
from executor.facts import Finding, Fingerprint
from executor.log import get_logger
from executor.spec.model import Spec
from executor.steps.history import records
from executor.steps.prepare import Environment
from executor.steps.report import read, read_bytes
from executor.steps.site import Site
from executor.steps.tool import Bench, bench_space, run_tool
from executor.steps.workspace import Workspace

if TYPE_CHECKING:
    from executor.evidence.screen import Suspect

SOURCE_LIMIT = 2 << 20
"""Bytes of a source file that is looked at."""
MOST_SOURCES = 5_000


class Asked(Protocol):
    """What the user asked for, as far as it matters here."""

    @property
    def allow(self) -> frozenset[str]:
        """Fields that may differ."""
        ...

    @property
    def how(self) -> How:
        """What is varied."""
        ...

    @property
    def twin(self) -> int | None:
        """Steps that were just run twice."""
        ...


def foresee(
    spec: Spec, reference: Record, here: Environment, bench: Bench, asked: Asked, space: Workspace, site: Site
) -> Prediction:
    """Predict the verdict of a rerun of `reference`, whose code lies in `space`, and tell the user."""
    findings = verify.against_reference(spec, reference.fingerprint, here.fingerprint, asked.allow)
    findings += [one for one in here.findings if one.allowed and one not in findings] + _gpus(here, reference)
    changed = any(one.severity in ("refuse", "warn") for one in findings) or bool(asked.how.varied)
    agreed, disagreed = _history(records(site.store, spec.hash), reference, here.fingerprint)
    container = reference.fingerprint.container
    before = Before(
        strict=spec.determinism == "strict",
        proof=reference.proof,
        findings=findings,
        varied=asked.how.varied,
        reference_probe=container.probe if container else {},
        probe=_probe(spec, bench, asked.how, space, site) if changed and container and container.probe else {},
        agreed=agreed,
        disagreed=disagreed,
        suspects=suspects(spec, space.code),
        twin=asked.twin is not None,
    )
    said = predict(before)
    site.reporter.stage(f"prediction: {said.value} ({said.why})")
    return said


def suspects(spec: Spec, code: Path) -> tuple[Suspect, ...]:
    """Constructs beyond the contract in what the command can reach of the code; what cannot be looked at is one."""
    from executor.evidence.reach import reachable
    from executor.evidence.screen import screen

    if spec.code is None:
        return (_unseen("the image", "the program lies in the image, where nobody looked"),)
    files, unseen = {}, []
    sources = sorted(path for path in code.rglob("*") if path.suffix in {".py", ".sh", ""} and path.is_file())
    for path in sources[:MOST_SOURCES]:
        name, data = path.relative_to(code).as_posix(), read_bytes(path, SOURCE_LIMIT)
        if data is not None:
            files[name] = data
        elif path.suffix:
            unseen.append(_unseen(name, "too large to be looked at"))
    if len(sources) > MOST_SOURCES:
        unseen.append(_unseen(".", f"more than {MOST_SOURCES} source files"))
    return (*unseen, *screen(reachable(files, spec.arguments)))


def _unseen(name: str, why: str) -> Suspect:
    from executor.evidence.screen import Suspect

    return Suspect(source="unreadable", file=name, line=0, text=why)


def _gpus(here: Environment, reference: Record) -> list[Finding]:
    """How the GPUs that were chosen differ from the reference's, before a container has seen them."""
    container = reference.fingerprint.container
    before = sorted((one.name, one.compute_capability, one.multiprocessors or 0)
                    for one in (container.gpus if container else ()))  # fmt: skip
    after = sorted((one.name, one.compute_capability, one.multiprocessors or 0) for one in here.gpus)
    if not after or before == after:
        return []
    return [Finding(field="gpu_name", expected=str(before), observed=str(after), severity="warn")]


def _history(every: Iterable[Record], reference: Record, here: Fingerprint) -> tuple[int, int]:
    """Attempts on machines like this one that agree with the reference, it among them, and that do not."""
    alike = [one for one in every if one.status == "succeeded" and not one.varied
             and one.fingerprint.host.cpu_model == here.host.cpu_model
             and one.fingerprint.host.gpu_driver == here.host.gpu_driver
             and [gpu.name for gpu in one.fingerprint.host.gpus] == [gpu.name for gpu in here.host.gpus]]  # fmt: skip
    same = sum(one.result_digest == reference.result_digest for one in alike)
    return same, len(alike) - same


def _probe(spec: Spec, bench: Bench, how: How, space: Workspace, site: Site) -> dict[str, str]:
    """The numeric probe in this environment, in a container of its own; empty when it could not be taken."""
    tool = bench_space(space, "numeric")
    try:
        run_tool(spec, site, bench, space, tool, "numeric", {}, how=how)
    except ExecutorError as error:  # the run itself will say what is wrong
        get_logger("foresee").warning("the numeric probe was not taken", problem=error.message)
        return {}
    found = read(tool.report / "probe.json").get("probe", {})
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
