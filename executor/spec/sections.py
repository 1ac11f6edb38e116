"""The sections of a spec as frozen values: code, data, GPU, CPU, outputs, metrics, resources. Pure: no I/O."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from executor.spec import globs
from executor.spec.complaints import complaint, shown
from executor.spec.scalars import Bytes, Commit, DigestField, Hint, Pattern, Patterns, Seconds, Text

GIB = 2**30
LEAST_DISK = 2**24
"""Bytes of the smallest file system that a run can have."""


class Frozen(BaseModel):
    """A value: strict types, no unknown keys, no NaN, never changed. Field docstrings are read by `shape`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


class Code(Frozen):
    """The program: one commit of one repository."""

    commit: Commit
    """Full commit id of 40 hex digits: identity."""
    repo: Hint = ""
    """Where to find it: a path (relative to the spec file), `https://` or `ssh://`; a hint, not identity."""


class DraftCode(Frozen):
    """The program of a draft: a commit, or a branch or tag that `lock` resolves."""

    commit: Commit | None = None
    """Full commit id, when it is already known."""
    repo: Hint = "."
    """Where to find it: a path (relative to the draft), `https://` or `ssh://`."""
    branch: Annotated[Hint, Field(min_length=1)] = "HEAD"
    """Branch or tag to resolve; `HEAD` of a local repository must have no uncommitted changes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> DraftCode:
        if self.commit and self.branch != "HEAD":
            raise complaint("expected a commit or a branch, found both; leave one of them out")
        return self


class Data(Frozen):
    """A folder of files, mounted read-only at `/data/<name>`."""

    hash: DigestField
    """Tree hash of its files, `sha256:<64 hex>`: identity."""
    source: Hint = ""
    """Where to find it: a folder or file, `s3://bucket/prefix` or `https://…`; a hint, not identity."""


class DraftData(Frozen):
    """A folder of files whose hash may still have to be computed."""

    hash: DigestField | None = None
    """Tree hash, when it is already known."""
    source: Hint = ""
    """Where to find it: a folder or file, `s3://bucket/prefix` or `https://…`."""

    @model_validator(mode="after")
    def _one_at_least(self) -> DraftData:
        if self.hash is None and not self.source:
            raise complaint("expected a hash, a source or both, found neither")
        return self


class Gpu(Frozen):
    """The GPUs that the run needs."""

    type: Annotated[Text, Field(min_length=1)]
    """Product name as NVML gives it, MIG profile included, such as `NVIDIA H100 80GB HBM3`."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """How many of them."""


class Cpu(Frozen):
    """What of the CPU changes the bits of a run."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """CPUs that the run sees and threads of every numeric library."""
    isa: Literal["default", "avx2", "avx512"] = "avx2"
    """Highest instruction set that numeric libraries may use; the host must have it."""


class OutputRules(Frozen):
    """What the files left in `/outputs` mean."""

    weights: Patterns = ("*.pt", "*.pth", "*.safetensors")
    """Patterns of weight files; compared bit for bit."""
    metrics: Pattern = "metrics.jsonl"
    """Path of the file of metrics, one JSON object a line; compared bit for bit."""
    ignore: Patterns = ()
    """Patterns of files that are uploaded and never compared: logs, event files, timings."""

    ulp: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Units in the last place by which weights may differ and still count as `close`; none for not at all."""

    @field_validator("metrics")
    @classmethod
    def _one_file(cls, path: str) -> str:
        if any(letter in path for letter in "*?["):
            raise complaint(f"expected the path of one file, found the pattern {shown(path)}")
        if path.rpartition("/")[2] == globs.TELEMETRY:
            raise complaint(f"{globs.TELEMETRY} is never compared: keep numbers that must repeat in another file")
        return path


class MetricRules(Frozen):
    """Metrics read from what the program prints."""

    stdout: Text | None = None
    """Regular expression with named groups; its numbers become the output `stdout-metrics.jsonl`, compared like any."""

    @field_validator("stdout")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                groups = re.compile(pattern).groupindex
        except (re.error, RecursionError, OverflowError, Warning) as error:
            raise complaint(f"not a regular expression that Python reads: {error}") from None
        if not groups:
            raise complaint("expected a regular expression with a named group, such as (?P<val_loss>\\S+)")
        return pattern


def _disk(size: int) -> int:
    if size < LEAST_DISK:
        raise complaint(f"expected at least {LEAST_DISK // 2**20}MiB, found {shown(size)}")
    return size


class Resources(Frozen):
    """Placement: what the host must have room for. Not identity."""

    memory: Bytes = 4 * GIB
    """Memory limit in bytes, or with a unit (`8GiB`)."""
    shm: Bytes = 1 * GIB
    """Size of `/dev/shm` in bytes, or with a unit; DataLoader workers pass batches through it."""
    disk: Annotated[Bytes, AfterValidator(_disk)] = 64 * GIB
    """Most bytes that it may write to `/code` and `/outputs`, or with a unit; never more than half of what is free."""
    timeout: Seconds | None = None
    """Longest run in seconds, or with a unit (`2h`); none by default."""
    pids: Annotated[int, Field(ge=16, le=4_194_304)] = 4096
    """Most processes and threads at a time."""
