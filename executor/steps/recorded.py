"""What a run left becomes its record: what was seen of it first, what it left in `/outputs` once that is listed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from executor.engine.how import WATCHED, How
from executor.engine.inputs import recheck
from executor.engine.outputs import Collected
from executor.evidence.predict import Prediction
from executor.evidence.record import Blob, Hints, Record, Status
from executor.evidence.series import MOST_SERIES
from executor.evidence.trace import Trace, to_parquet
from executor.facts import Finding, Outcome, OutputFile
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.prepare import Inputs, hash_cache
from executor.steps.report import Heard
from executor.steps.series import Gathered
from executor.steps.site import Site
from executor.steps.tool import Bench
from executor.steps.traces import gather, packed_operations
from executor.steps.workspace import Workspace

PRINTED = "stdout-metrics.jsonl"
"""The output that holds the numbers which the spec's pattern found in what the program printed."""
LOG, CODE, TRACE, OPERATIONS = "/log", "/code", "/trace", "/operations"
"""Names that no data tree can have."""
NOTHING = Collected((), ())


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
    lease: tuple[Finding, ...] = ()
    """What was found of its lease."""
    require_signed: bool = False
    """Whether it is held against nothing but a reference whose signature was looked at."""


@dataclass(frozen=True)
class Beside:
    """What is kept beside the outputs."""

    files: Mapping[str, tuple[Path, Blob]]
    """Log, code archive, trace, operations, and the manifest of each data tree by its name."""
    trace: Trace | None

    def blob(self, name: str) -> Blob | None:
        """What is kept under a name; none when there is no such thing."""
        return self.files[name][1] if name in self.files else None


def beside(ended: Ended, space: Workspace) -> Beside:
    """Write what is kept beside the outputs into `space`, and list it by content."""
    trace, paths = gather(space.report), {LOG: space.log}
    if trace:
        paths[TRACE] = space.folder / "trace.parquet"
        paths[TRACE].write_bytes(to_parquet(trace))
    if ended.how.trace == "operations":
        paths[OPERATIONS] = space.folder / "operations.jsonl.gz"
        paths[OPERATIONS].write_bytes(packed_operations(space.report))
    if ended.inputs.code:
        paths[CODE] = _own(ended.inputs.code.archive, space.folder / "code.tar")
    for data in ended.inputs.data:
        paths[data.name] = space.folder / f"manifest-{data.name}"
        paths[data.name].write_bytes(data.tree.manifest())
    return Beside({name: (path, blob_of(path)) for name, path in paths.items()}, trace)


def _own(cached: Path, target: Path) -> Path:
    """A second name for a file of the cache, which can be emptied before the result is in the store."""
    try:
        target.hardlink_to(cached)
    except OSError:  # of a file system without hard links
        shutil.copyfile(cached, target)
    return target


def drafted(ended: Ended, kept: Beside, site: Site) -> Record:
    """The record of a run whose outputs have not been looked at."""
    spec = ended.spec
    said = (*ended.heard.findings, *_proof_findings(ended), *ended.inputs.findings(spec), *ended.lease)
    changed = [finding for data in ended.inputs.data for finding in recheck(data, hash_cache(site))]
    named = (LOG, CODE, TRACE, OPERATIONS)
    return Record(
        executor=site.version,
        spec_hash=spec.hash,
        experiment_key=spec.experiment_key,
        attempt=ended.attempt,
        status=status_of(ended.outcome, NOTHING),
        spec=spec.identity(),
        hints=hints_of(spec, site.submitter),
        outcome=ended.outcome,
        fingerprint=ended.heard.fingerprint,
        findings=(*said, *changed),
        allowed=tuple(sorted(ended.allowed)),
        outputs=(),
        log=kept.blob(LOG),
        code=kept.blob(CODE),
        trace=kept.blob(TRACE),
        steps=kept.trace.steps if kept.trace else 0,
        operations=kept.blob(OPERATIONS),
        manifests={name: blob for name, (_, blob) in kept.files.items() if name not in named},
        proof=ended.heard.proof,
        prediction=ended.prediction,
        varied=dict(ended.how.varied),
        rerun=ended.rerun,
        created=site.now(),
    )


def completed(draft: Record, spec: Spec, collected: Collected, found: Gathered, series: Blob | None) -> Record:
    """The same record with the outputs, their metrics, the table of their `series`, and what follows from them."""
    remarked = remarks(spec, collected, found) if draft.outcome.exit_code == 0 else []
    return draft.model_copy(
        update={
            "status": status_of(draft.outcome, collected),
            "findings": (*draft.findings, *remarked),
            "outputs": collected.files,
            "refused_outputs": {refused.path: refused.reason for refused in collected.refused},
            "metrics": found.final,
            "lowest": found.lowest,
            "highest": found.highest,
            "series": series,
            "unreadable_metrics": found.tally.unreadable,
        }
    )


def status_of(outcome: Outcome, collected: Collected) -> Status:
    """A run succeeded when its program ended with 0 by itself and everything that it left could be kept."""
    if outcome.interrupted:
        return "interrupted"
    cut = outcome.timed_out or outcome.oom_killed or outcome.disk_full
    return "succeeded" if outcome.exit_code == 0 and not (cut or collected.refused) else "failed"


def hints_of(spec: Spec, submitter: str = "") -> Hints:
    """What the spec says beside its identity, and who submitted it."""
    return Hints(
        name=spec.name,
        image=spec.image.name,
        repo=spec.code.repo if spec.code else "",
        sources={name: data.source for name, data in spec.data.items()},
        resources=spec.resources.model_dump(),
        secrets=spec.secrets,
        labels=dict(spec.labels),
        submitter=submitter,
    )


def with_printed(collected: Collected, space: Workspace) -> Collected:
    """Add what was found in the log to the outputs, as a metrics file; the program's own file of that name stays."""
    if not space.printed.stat().st_size or any(file.path == PRINTED for file in collected.files):
        return collected
    shutil.copyfile(space.printed, space.staging / PRINTED)
    blob = blob_of(space.staging / PRINTED)
    printed = OutputFile(path=PRINTED, digest=blob.digest, size=blob.size, role="metrics")
    return replace(collected, files=(*collected.files, printed))


def remarks(spec: Spec, collected: Collected, found: Gathered) -> list[Finding]:
    """What the user of a program that ended well should know of its outputs, and would else find out too late."""
    remarks = []
    if not any(file.role != "ignored" for file in collected.files):
        beside = spec.code and spec.workdir == "/code"
        advice = "`workdir: /outputs` keeps what a script writes beside itself; what it wrote in /code is gone"
        remarks.append(_warning("outputs", "a file that counts in /outputs", "none",
                                advice if beside else "only what the program writes there is kept"))  # fmt: skip
    if found.tally.unreadable:
        remarks.append(_warning("metrics", "one JSON object a line", f"{found.tally.unreadable} lines that are none",
                                "write numbers, NaN and Infinity as JSON"))  # fmt: skip
    if found.tally.left_out:
        remarks.append(_warning("metrics", f"at most {MOST_SERIES} series", f"{found.tally.left_out} values of others",
                                "values that are not a series each have no name of their own"))  # fmt: skip
    if spec.metrics.stdout and not any(file.path == PRINTED for file in collected.files):
        remarks.append(_warning("metrics.stdout", "a line that matches", "none", "look at the log, and at the pattern"))
    return remarks


def _warning(field: str, expected: str, observed: str, advice: str) -> Finding:
    return Finding(field=field, expected=expected, observed=observed, severity="warn", advice=advice)


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


def blob_of(path: Path) -> Blob:
    """A file by its content."""
    with path.open("rb") as stream:
        digest, size = Digest.of_stream(stream)
    return Blob(digest=digest, size=size)
