"""The second half of the sentence: outputs are listed by content and stored, and the record is written last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from executor.engine.how import WATCHED, How
from executor.engine.inputs import recheck
from executor.engine.outputs import Collected, OutputLimits, collect
from executor.evidence import metrics
from executor.evidence.predict import Prediction
from executor.evidence.record import Blob, Hints, Record, Status
from executor.evidence.trace import Trace, to_parquet
from executor.facts import Finding, Outcome, OutputFile
from executor.spec.canonical import Digest
from executor.spec.globs import role_of
from executor.spec.model import Spec
from executor.steps.compared import hold
from executor.steps.history import finished
from executor.steps.prepare import Inputs, counter, hash_cache
from executor.steps.report import Heard
from executor.steps.site import Site
from executor.steps.tool import Bench
from executor.steps.traces import gather, packed_operations
from executor.steps.workspace import Workspace

LIMITS = OutputLimits()
"""What a run may leave behind."""
PRINTED = "stdout-metrics.jsonl"
"""The output that holds the numbers which the spec's pattern found in what the program printed."""
LOG, CODE, TRACE, OPERATIONS = "/log", "/code", "/trace", "/operations"
"""Names that no data tree can have."""


@dataclass(frozen=True)
class Ended:
    """An execution that ended, before anything of it is stored."""

    spec: Spec
    attempt: str
    outcome: Outcome
    heard: Heard
    inputs: Inputs
    allowed: frozenset[str]
    reference: Record | None
    """What it is held against; none for a first attempt."""
    rerun: bool
    how: How = WATCHED
    prediction: Prediction | None = None
    bench: Bench | None = None
    """Where weights can be compared as tensors; none where the image has no Python."""


def publish(ended: Ended, space: Workspace, site: Site) -> Record:
    """Collect, store contents, then the record, then the reference if there is none yet; returns the record."""
    spec, store = ended.spec, site.store
    collected = collect(space.outputs, space.staging, lambda path: role_of(path, spec.outputs), LIMITS)
    collected = with_printed(collected, space)
    trace = gather(space.report)
    files = _files(ended, space, trace)
    record = _record(ended, collected, read_metrics(collected.files, space), files, site)
    record = record.model_copy(update={"steps": trace.steps if trace else 0})
    reference = ended.reference or finished(store, spec.hash)
    if record.status == "succeeded" and reference:
        held = hold(spec, reference, record, trace, ended.bench, space, site)
        record = record.model_copy(update={"comparison": held})
    store.put_spec(spec.hash, spec.canonical())
    blobs = [(space.staging / file.path, file.digest, file.size) for file in collected.files]
    blobs += [(path, blob.digest, blob.size) for path, blob in files.values()]
    store.put_blobs(blobs, counter(site, "upload", sum(size for _, _, size in blobs)))
    store.put_record(spec.hash, record.attempt, record.to_json())
    if record.status == "succeeded" and (reference or not record.varied):
        store.put_reference(spec.hash, (reference or record).attempt)
    return record


def _record(
    ended: Ended, collected: Collected, found: metrics.Metrics, files: Mapping[str, tuple[Path, Blob]], site: Site
) -> Record:
    spec = ended.spec
    remarked = remarks(spec, collected, found) if ended.outcome.exit_code == 0 else []
    changed = [finding for data in ended.inputs.data for finding in recheck(data, hash_cache(site))]
    return Record(
        executor=site.version,
        spec_hash=spec.hash,
        experiment_key=spec.experiment_key,
        attempt=ended.attempt,
        status=status_of(ended.outcome, collected),
        spec=spec.identity(),
        hints=hints_of(spec),
        outcome=ended.outcome,
        fingerprint=ended.heard.fingerprint,
        findings=(*ended.heard.findings, *_proof_findings(ended), *ended.inputs.findings(spec), *changed, *remarked),
        allowed=tuple(sorted(ended.allowed)),
        outputs=collected.files,
        refused_outputs={refused.path: refused.reason for refused in collected.refused},
        metrics=found.final,
        unreadable_metrics=found.unreadable,
        log=files[LOG][1],
        code=files[CODE][1] if CODE in files else None,
        trace=files[TRACE][1] if TRACE in files else None,
        operations=files[OPERATIONS][1] if OPERATIONS in files else None,
        manifests={name: blob for name, (_, blob) in files.items() if name not in (LOG, CODE, TRACE, OPERATIONS)},
        proof=ended.heard.proof,
        prediction=ended.prediction,
        varied=dict(ended.how.varied),
        rerun=ended.rerun,
        created=site.now(),
    )


def _proof_findings(ended: Ended) -> list[Finding]:
    """What the exit reports say that the user should know: the contract was taken back, or nothing is proven."""
    proof, strict = ended.heard.proof, ended.spec.determinism == "strict"
    found = []
    for text in proof.undetermined[:5]:
        found.append(_warning("determinism.operation", "a deterministic implementation", text,
                              "use another operation, or live with the difference: `determinism: warn`"))  # fmt: skip
    if proof.standing == "violated":
        found.append(_warning("determinism", "in force to the end", "; ".join(proof.reasons[:3]),
                              "take out what turns it off: nothing is promised of such a run"))  # fmt: skip
    elif proof.standing == "unproven" and strict and not ended.how.varied and ended.outcome.exit_code == 0:
        found.append(_warning("determinism", "proven by an exit report", "; ".join(proof.reasons[:3]),
                              "let the program end by itself; `rerun` shows whether it repeats"))  # fmt: skip
    return found


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


def read_metrics(files: tuple[OutputFile, ...], space: Workspace) -> metrics.Metrics:
    """Numbers from every metrics file."""
    found = metrics.Metrics()
    for file in files:
        if file.role == "metrics":
            with (space.staging / file.path).open("rb") as lines:
                metrics.from_lines(lines, found)
    return found


def with_printed(collected: Collected, space: Workspace) -> Collected:
    """Add what was found in the log to the outputs, as a metrics file; the program's own file of that name stays."""
    if not space.printed.stat().st_size or any(file.path == PRINTED for file in collected.files):
        return collected
    space.printed.rename(space.staging / PRINTED)
    blob = _blob(space.staging / PRINTED)
    printed = OutputFile(path=PRINTED, digest=blob.digest, size=blob.size, role="metrics")
    return replace(collected, files=(*collected.files, printed))


def remarks(spec: Spec, collected: Collected, found: metrics.Metrics) -> list[Finding]:
    """What the user of a program that ended well should know of its outputs, and would else find out too late."""
    remarks = []
    if not any(file.role != "ignored" for file in collected.files):
        beside = spec.code and spec.workdir == "/code"
        advice = "`workdir: /outputs` keeps what a script writes beside itself; what it wrote in /code is gone"
        remarks.append(_warning("outputs", "a file that counts in /outputs", "none",
                                advice if beside else "only what the program writes there is kept"))  # fmt: skip
    if found.unreadable:
        remarks.append(_warning("metrics", "one JSON object a line", f"{found.unreadable} lines that are none",
                                "write numbers, NaN and Infinity as JSON"))  # fmt: skip
    if spec.metrics.stdout and not any(file.path == PRINTED for file in collected.files):
        remarks.append(_warning("metrics.stdout", "a line that matches", "none", "look at the log, and at the pattern"))
    return remarks


def _warning(field: str, expected: str, observed: str, advice: str) -> Finding:
    return Finding(field=field, expected=expected, observed=observed, severity="warn", advice=advice)


def _files(ended: Ended, space: Workspace, trace: Trace | None) -> dict[str, tuple[Path, Blob]]:
    """What is kept beside the outputs: log, code archive, trace, and the manifest of each data tree by its name."""
    paths = {LOG: space.log}
    if trace:
        paths[TRACE] = space.folder / "trace.parquet"
        paths[TRACE].write_bytes(to_parquet(trace))
    if ended.how.trace == "operations":
        paths[OPERATIONS] = space.folder / "operations.jsonl.gz"
        paths[OPERATIONS].write_bytes(packed_operations(space.report))
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
