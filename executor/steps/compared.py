"""An attempt held against its reference: files, then values, then traces, then the reason."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from executor.environment import verify
from executor.errors import CorruptObject, ExecutorError, NotFound
from executor.evidence.compare import compare
from executor.evidence.content.found import Explanation
from executor.evidence.divergence import Seen
from executor.evidence.divergence import explain as explain_divergence
from executor.evidence.record import Comparison, FileComparison, Record, TensorComparison
from executor.evidence.trace import Trace, part
from executor.log import get_logger
from executor.spec.model import Spec
from executor.steps.report import read
from executor.steps.site import Site
from executor.steps.tool import Bench, bench_space, run_tool
from executor.steps.traces import load
from executor.steps.workspace import Workspace, hand_over

EXPLAINED = 32 << 20
"""Bytes of the largest file whose content is looked into."""
MOST_EXPLAINED = 20
"""Files whose content is looked into."""
_TENSORS = TypeAdapter(dict[str, TensorComparison])


def hold(
    spec: Spec,
    reference: Record,
    record: Record,
    trace: Trace | None,
    bench: Bench | None,
    space: Workspace,
    site: Site,
) -> Comparison:
    """Compare an attempt, whose outputs are in `space`, with its reference, and say why they differ if they do."""
    found = compare(reference, record)
    before = load(site.store, reference)
    if found.verdict != "different":
        return _with_parting(found, before, trace)
    differing = [file for file in found.files if not file.same]
    tensors = _tensors(spec, differing, bench, space, site)
    found = compare(reference, record, tensors)
    differing = [file for file in found.files if not file.same]
    told = {file.path: _explained(file, space, site) for file in differing[:MOST_EXPLAINED]}
    files = tuple(file.model_copy(update={"explanation": told.get(file.path)}) for file in found.files)
    found = found.model_copy(update={"files": files})
    seen = see(spec, reference, record, before, trace, found)
    return found.model_copy(update={"divergence": explain_divergence(seen)})


def _with_parting(found: Comparison, before: Trace | None, after: Trace | None) -> Comparison:
    """Equal files say nothing of the way there: steps that differ are told."""
    parting = part(before, after) if before and after else None
    if parting is None:
        return found
    said = f"{found.reason}, though the traces part at step {parting.step} ({parting.kind})"
    return found.model_copy(update={"reason": said})


def see(
    spec: Spec, reference: Record, record: Record, before: Trace | None, after: Trace | None, found: Comparison
) -> Seen:
    """What is known of two attempts that differ."""
    differing = [file for file in found.files if not file.same]
    first = next((file for file in differing if file.role == "weights"), next(iter(differing), None))
    weights, telling = [file for file in differing if file.role == "weights"], _most_telling(differing)
    alone = len(differing) == len(weights) and all(file.tensors and file.tensors.same for file in weights)
    return Seen(
        parting=part(before, after) if before and after else None,
        traced=bool(before and after and before.steps and before.version == after.version),
        findings=verify.against_reference(spec, reference.fingerprint, record.fingerprint, frozenset()),
        proofs=(reference.proof, record.proof),
        file=first.path if first else None,
        explanation=telling.explanation if telling else None,
        explained=telling.path if telling else None,
        equal_tensors=alone if weights else None,
        predicted=record.prediction.value if record.prediction else None,
    )


def _most_telling(files: Sequence[FileComparison]) -> FileComparison | None:
    """Of the files that differ and are explained, one whose values do; else the first there is."""
    told = [file for file in files if file.explanation]
    return next((one for one in told if one.explanation and not one.explanation.same_values), next(iter(told), None))


def _explained(file: FileComparison, space: Workspace, site: Site) -> Explanation | None:
    if file.reference is None or file.observed is None:
        return None
    from executor.evidence.content.explain import explain  # every format's reader: only a difference needs them

    here = space.staging / file.path
    try:
        if here.stat().st_size > EXPLAINED or (site.store.blob_size(file.reference) or 0) > EXPLAINED:
            return None
        return explain(file.path, site.store.read_blob(file.reference, EXPLAINED), here.read_bytes())
    except (NotFound, CorruptObject):
        return None


def _tensors(
    spec: Spec, files: Sequence[FileComparison], bench: Bench | None, space: Workspace, site: Site
) -> dict[str, TensorComparison]:
    """Weight files that differ, compared as tensors; empty where that cannot be done."""
    weights = [file for file in files if file.role == "weights" and file.reference and file.observed]
    if not weights or bench is None:
        return {}
    try:
        return _compared(spec, weights, bench, space, site)
    except (ExecutorError, OSError) as error:  # the verdict on the files stands without it
        get_logger("compared").warning("weights were not compared as tensors", problem=str(error))
        return {}


def _compared(
    spec: Spec, weights: Sequence[FileComparison], bench: Bench, space: Workspace, site: Site
) -> dict[str, TensorComparison]:
    site.reporter.stage("comparing weights as tensors")
    tool = bench_space(space, "tensors")
    folders = {"reference": space.folder / "reference", "observed": space.staging}
    for file in weights:
        target = folders["reference"] / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        site.store.get_blob(file.both[0], target)
    if space.code.is_dir():  # classes that a pickle names
        shutil.copytree(space.code, tool.code, symlinks=True, dirs_exist_ok=True)
        hand_over(tool.code)
    paths = [file.path for file in weights]
    run_tool(spec, site, bench, space, tool, "tensors", {"paths": paths}, data=folders)
    return _read(tool.report, paths)


def _read(report: Path, paths: Sequence[str]) -> dict[str, TensorComparison]:
    told = read(report / "tensors.json").get("files", {})
    try:
        found = _TENSORS.validate_python({path: told[path] for path in paths if path in told})
    except (ValidationError, TypeError):
        return {}
    return found
