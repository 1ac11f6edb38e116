"""The second half of the sentence: outputs are listed by content and stored, and the record is written last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from executor.engine.inputs import recheck
from executor.engine.outputs import Collected, OutputLimits, collect
from executor.evidence import metrics
from executor.evidence.compare import compare
from executor.evidence.record import Blob, Hints, Record, Status
from executor.facts import Finding, Fingerprint, Outcome
from executor.spec.canonical import Digest
from executor.spec.globs import role_of
from executor.spec.model import Spec
from executor.steps.history import finished
from executor.steps.prepare import Inputs, counter, hash_cache
from executor.steps.site import Site
from executor.steps.workspace import Workspace

LIMITS = OutputLimits()
"""What a run may leave behind."""
LOG, CODE = "/log", "/code"
"""Names that no data tree can have."""


@dataclass(frozen=True)
class Ended:
    """An execution that ended, before anything of it is stored."""

    spec: Spec
    attempt: str
    outcome: Outcome
    fingerprint: Fingerprint
    findings: tuple[Finding, ...]
    inputs: Inputs
    allowed: frozenset[str]
    reference: Record | None
    """What it is held against; none for a first attempt."""
    rerun: bool


def publish(ended: Ended, space: Workspace, site: Site) -> Record:
    """Collect, store contents, then the record, then the reference if there is none yet; returns the record."""
    spec, store = ended.spec, site.store
    collected = collect(space.outputs, space.staging, lambda path: role_of(path, spec.outputs), LIMITS)
    files = _files(ended, space)
    record = _record(ended, collected, read_metrics(spec, collected, space), files, site)
    reference = ended.reference or finished(store, spec.hash)
    if record.status == "succeeded" and reference:
        record = record.model_copy(update={"comparison": compare(reference, record)})
    store.put_spec(spec.hash, spec.canonical())
    blobs = [(space.staging / file.path, file.digest, file.size) for file in collected.files]
    blobs += [(path, blob.digest, blob.size) for path, blob in files.values()]
    store.put_blobs(blobs, counter(site, "upload", sum(size for _, _, size in blobs)))
    store.put_record(spec.hash, record.attempt, record.to_json())
    if record.status == "succeeded":
        store.put_reference(spec.hash, (reference or record).attempt)
    return record


def _record(
    ended: Ended, collected: Collected, found: metrics.Metrics, files: Mapping[str, tuple[Path, Blob]], site: Site
) -> Record:
    spec = ended.spec
    return Record(
        executor=site.version,
        spec_hash=spec.hash,
        experiment_key=spec.experiment_key,
        attempt=ended.attempt,
        status=status_of(ended.outcome, collected),
        spec=spec.identity(),
        hints=hints_of(spec),
        outcome=ended.outcome,
        fingerprint=ended.fingerprint,
        findings=(*ended.findings, *(f for data in ended.inputs.data for f in recheck(data, hash_cache(site)))),
        allowed=tuple(sorted(ended.allowed)),
        outputs=collected.files,
        refused_outputs={refused.path: refused.reason for refused in collected.refused},
        metrics=found.final,
        unreadable_metrics=found.unreadable,
        log=files[LOG][1],
        code=files[CODE][1] if CODE in files else None,
        manifests={name: blob for name, (_, blob) in files.items() if name not in (LOG, CODE)},
        rerun=ended.rerun,
        created=site.now(),
    )


def status_of(outcome: Outcome, collected: Collected) -> Status:
    """A run succeeded when its program ended with 0 by itself and everything that it left could be kept."""
    if outcome.interrupted:
        return "interrupted"
    clean = outcome.exit_code == 0 and not (outcome.timed_out or outcome.oom_killed or collected.refused)
    return "succeeded" if clean else "failed"


def hints_of(spec: Spec) -> Hints:
    """What the spec says beside its identity."""
    return Hints(
        name=spec.name,
        image=spec.image.name,
        repo=spec.code.repo if spec.code else "",
        sources={name: data.source for name, data in spec.data.items()},
        resources=spec.resources.model_dump(),
        labels=dict(spec.labels),
    )


def read_metrics(spec: Spec, collected: Collected, space: Workspace) -> metrics.Metrics:
    """Numbers from the metrics file, then those that the log gives by the spec's pattern."""
    found = metrics.Metrics()
    for file in collected.files:
        if file.role == "metrics":
            found = metrics.from_lines(_lines(space.staging / file.path))
    if spec.metrics.stdout:
        metrics.from_log(spec.metrics.stdout, _lines(space.log), found)
    return found


def _files(ended: Ended, space: Workspace) -> dict[str, tuple[Path, Blob]]:
    """What is kept beside the outputs: the log, the code archive, and the manifest of each data tree by its name."""
    paths = {LOG: space.log}
    if ended.inputs.code:
        paths[CODE] = ended.inputs.code.archive
    for data in ended.inputs.data:
        paths[data.name] = space.folder / f"manifest-{data.name}"
        paths[data.name].write_bytes(data.tree.manifest())
    return {name: (path, _blob(path)) for name, path in paths.items()}


def _blob(path: Path) -> Blob:
    with path.open("rb") as stream:
        digest, size = Digest.of_stream(stream)
    return Blob(digest=digest, size=size)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream
