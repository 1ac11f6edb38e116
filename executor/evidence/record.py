"""The record: the JSON that says everything about an attempt; written last, never changed. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from executor.errors import CorruptObject, count
from executor.evidence.content.found import Explanation
from executor.evidence.divergence import Divergence
from executor.evidence.predict import Prediction
from executor.evidence.proof import Proof
from executor.facts import Fact, Finding, Fingerprint, Outcome, OutputFile
from executor.spec.canonical import Digest, canonical_bytes, sealed, unsealed
from executor.spec.scalars import DigestField

Status = Literal["succeeded", "failed", "interrupted"]
Verdict = Literal["identical", "close", "different", "incomparable"]


class _Gpu(Fact):
    type: str
    count: int


class _Cpu(Fact):
    threads: int
    isa: str


class _Identity(Fact):
    """What a stored record's spec has for certain, so that whoever tells of it need not ask.

    Whether it is a spec that can run is `Spec.of_identity`'s to say.
    """

    image: DigestField
    code: str | None
    data: dict[str, DigestField]
    command: list[str]
    params: dict[str, Any]
    seed: int
    gpu: _Gpu | None
    cpu: _Cpu
    env: dict[str, str]
    outputs: dict[str, Any]


class Hints(Fact):
    """What a spec says beside its identity: for people, and for finding the inputs again."""

    name: str
    image: str
    """Name of the image, without its digest."""
    repo: str = ""
    sources: dict[str, str] = {}
    """Data name to where it was found."""
    resources: dict[str, Any] = {}
    secrets: tuple[str, ...] = ()
    """Names of the secrets that it reads, never their values."""
    labels: dict[str, str] = {}
    submitter: str = ""
    """Who submitted it, as they say themselves; a signature says more."""


class Blob(Fact):
    """A blob in the store."""

    digest: DigestField
    size: int
    """Bytes."""


class TensorDifference(Fact):
    """One tensor that differs between two weight files."""

    name: str
    dtype: str
    shape: tuple[int, ...] | str
    """Such as `[128, 64]`, or `before → after` in words."""
    count: int
    """Elements that differ."""
    elements: int
    max_ulp: int | None
    """Largest distance in units in the last place; none where there is no such distance."""
    max_relative: float | None
    """Largest difference relative to the reference's value."""
    first_index: tuple[int, ...]


class TensorComparison(Fact):
    """Two weight files compared as tensors, in the run's own image."""

    reference: str | None
    """Canonical tensor digest, hex: over sorted names, dtypes, shapes and bytes; none when it could not be read."""
    observed: str | None
    tensors: int = 0
    different: tuple[TensorDifference, ...] = ()
    """The worst, at most twenty."""
    different_count: int = 0
    max_ulp: int | None = None
    only: dict[str, tuple[str, ...]] = {}
    """Names of tensors that only the `reference`, or only the `observed` file has."""
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether the values are equal, whatever the files look like."""
        return self.reference is not None and self.reference == self.observed


class FileComparison(Fact):
    """One file of two attempts."""

    path: str
    role: str
    reference: DigestField | None
    """Digest in the reference; none when it has no such file."""
    observed: DigestField | None
    """Digest in the other attempt; none when it has no such file."""
    tensors: TensorComparison | None = None
    """What differs between the weights in it."""
    explanation: Explanation | None = None
    """What differs in its content."""

    @property
    def same(self) -> bool:
        """Whether both have the file, bit for bit."""
        return self.reference == self.observed

    @property
    def both(self) -> tuple[Digest, Digest]:
        """The digests of a file that both have; `ValueError` for any other."""
        if self.reference is None or self.observed is None:
            raise ValueError(f"{self.path} is in one of the two alone")
        return self.reference, self.observed


class Comparison(Fact):
    """An attempt held against the reference."""

    reference: str
    """Attempt id of the reference."""
    verdict: Verdict
    reason: str
    """One sentence."""
    files: tuple[FileComparison, ...] = ()
    divergence: Divergence | None = None
    """Where the two parted and why, as far as what both left tells."""


class Record(Fact):
    """Everything about one attempt."""

    version: Literal[1] = 1
    executor: str
    """Version of this program."""
    spec_hash: DigestField
    experiment_key: DigestField
    attempt: str
    """Attempt id: the time it was made, and random digits."""
    status: Status
    spec: dict[str, Any]
    """The spec's identity, as in its canonical bytes."""
    hints: Hints
    outcome: Outcome
    fingerprint: Fingerprint
    findings: tuple[Finding, ...]
    """Every finding of this attempt's checks, the allowed ones among them."""
    allowed: tuple[str, ...] = ()
    """Fields that the user allowed to differ."""
    outputs: tuple[OutputFile, ...]
    refused_outputs: dict[str, str] = {}
    """Paths that were not collected, and why."""
    metrics: dict[str, float] = {}
    """Final value of each series."""
    lowest: dict[str, float] = {}
    """Smallest value of each series that has one: not of one that is NaN throughout."""
    highest: dict[str, float] = {}
    """Largest value, likewise."""
    series: Blob | None = None
    """Every value of every series, a Parquet table."""
    unreadable_metrics: int = 0
    """Lines of metrics that could not be read."""
    log: Blob | None = None
    code: Blob | None = None
    """The code archive."""
    manifests: dict[str, Blob] = {}
    """Data name to the manifest of its tree."""
    trace: Blob | None = None
    """The trace, a Parquet table."""
    steps: int = 0
    """Optimizer steps in the trace."""
    operations: Blob | None = None
    """Every operation, JSON lines in gzip, when the trace was asked to hold them."""
    proof: Proof | None = None
    """What the exit reports prove; none in records of before."""
    prediction: Prediction | None = None
    """What was said before this rerun."""
    varied: dict[str, str] = {}
    """What was varied on purpose: such an attempt is never the reference."""
    comparison: Comparison | None = None
    """This attempt against the reference, when there was one."""
    rerun: bool = False
    """Whether it was made by `rerun`."""
    created: datetime
    """When the record was written, UTC."""

    @property
    def compared(self) -> dict[str, OutputFile]:
        """The outputs that count, by path."""
        return {file.path: file for file in self.outputs if file.role != "ignored"}

    @property
    def result_digest(self) -> Digest:
        """One digest over all outputs that count: equal in two attempts if and only if they agree bit for bit."""
        return Digest.of(canonical_bytes([[path, str(file.digest)] for path, file in sorted(self.compared.items())]))

    @property
    def beside(self) -> dict[str, Blob]:
        """What is kept beside the outputs, by what it is; the manifests of data are not among it."""
        named = {"log": self.log, "code": self.code, "trace": self.trace, "operations": self.operations,
                 "series": self.series}  # fmt: skip
        return {name: blob for name, blob in named.items() if blob}

    def blobs(self) -> dict[Digest, int]:
        """Every blob that this record needs, with its size in bytes."""
        found = {file.digest: file.size for file in self.outputs}
        return found | {blob.digest: blob.size for blob in (*self.beside.values(), *self.manifests.values())}

    def to_json(self) -> bytes:
        """The bytes that are stored: indented JSON, keys sorted, that begins with the digest of the rest."""
        return sealed(json.loads(self.model_dump_json()))

    @classmethod
    def from_json(cls, data: bytes, key: str) -> Record:
        """Read stored bytes; `key` says whose they are.

        Raises `CorruptObject` for anything that is no record, and for one whose seal is broken.
        """
        body, expected, observed = unsealed(data)
        if expected != observed:
            raise CorruptObject(key, expected=f"a record with {expected}", observed=str(observed))
        try:
            found = cls.model_validate_json(body)
            _Identity.model_validate(found.spec, strict=True)
        except ValidationError as error:
            raise CorruptObject(key, expected="a record", observed=count(error.error_count(), "wrong field")) from error
        return found


def agreement(records: Iterable[Record]) -> tuple[int, int]:
    """How many successful attempts agree with the first one bit for bit, and how many there are."""
    digests = [record.result_digest for record in records if record.status == "succeeded" and not record.varied]
    return sum(digest == digests[0] for digest in digests), len(digests)


def view(record: Record, *, cached: bool, store: str, outputs: bool = True) -> dict[str, Any]:
    """The JSON that `submit`, `rerun`, `show` and `ls` promise for one attempt; `store` is its URL."""
    found: dict[str, Any] = {
        "spec_hash": record.spec_hash.hex,
        "experiment_key": record.experiment_key.hex,
        "name": record.hints.name,
        "submitter": record.hints.submitter,
        "attempt": record.attempt,
        "status": record.status,
        "cached": cached,
        "exit_code": record.outcome.exit_code,
        "reason": record.outcome.reason,
        "verdict": record.comparison.verdict if record.comparison else None,
        "metrics": json.loads(record.model_dump_json(include={"metrics"}))["metrics"],
        "findings": [finding.model_dump(mode="json") for finding in record.findings],
        "prediction": record.prediction.model_dump(mode="json") if record.prediction else None,
        "proof": {"standing": record.proof.standing, "reasons": list(record.proof.reasons)} if record.proof else None,
        "varied": dict(record.varied),
        "runtime_s": record.outcome.runtime_s,
        "created": record.created.isoformat(),
        "store": store,
    }
    if outputs:
        found["outputs"] = [file.model_dump(mode="json") for file in record.outputs]
        found["refused_outputs"] = dict(record.refused_outputs)
        found["comparison"] = record.comparison.model_dump(mode="json") if record.comparison else None
    if record.comparison and record.comparison.verdict in ("different", "close"):
        found["divergence"] = divergence(record.comparison)
    return found


def divergence(comparison: Comparison) -> dict[str, Any]:
    """Where two attempts parted; of a record of before divergences were looked for, as far as its files tell."""
    if comparison.divergence:
        return comparison.divergence.model_dump(mode="json")
    first = next((file.path for file in comparison.files if not file.same), None)
    fields = dict.fromkeys(("step", "tensor", "cause", "where", "prediction"))
    return {**fields, "kind": "output", "file": first}
