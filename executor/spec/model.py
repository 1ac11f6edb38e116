"""The run spec as frozen values: what is asked, every input pinned. Pure: no I/O.

`Spec` is pinned; `Draft` may still have a tag, a branch or an unhashed path, which `lock` pins. What can change the
bits of a result is identity and goes into the hash; names, hints, labels and placement do not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from executor.spec import globs
from executor.spec.canonical import Digest, canonical_bytes, spec_hash
from executor.spec.scalars import (
    AnyImage,
    Bytes,
    Commit,
    DigestField,
    Hint,
    Params,
    Pattern,
    Patterns,
    PinnedImage,
    Place,
    Seconds,
    Text,
    TextMap,
    Texts,
    complaint,
    complaints,
    shown,
    thaw,
)

GIB = 2**30
RESERVED_ENV = re.compile(
    r"EXECUTOR_.*|PYTHONPATH|PYTHONHOME|PYTHONHASHSEED|LD_PRELOAD|LD_LIBRARY_PATH|HOME|HOSTNAME|PATH|TZ|LC_ALL|LANG"
    r"|NVIDIA_VISIBLE_DEVICES|CUDA_VISIBLE_DEVICES"
)
"""Variables that the executor itself sets; a spec cannot override them."""

_PLACEHOLDER = re.compile(r"\{(\{?)(seed|params(?:\.[A-Za-z0-9_-]+)*)\}(\}?)")


ORDER = (
    "version", "name", "image", "code", "data", "command", "params", "seed", "gpu", "cpu", "env", "network", "workdir",
    "determinism", "tier", "outputs", "metrics", "resources", "labels",
)  # fmt: skip
"""Fields in the order in which people write and read them."""

_LONGEST_WORD = 131_071
"""Bytes: the kernel's limit for one argument."""


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
    """Regular expression with named groups; each match gives numbers."""

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


class Resources(Frozen):
    """Placement: what the host must have room for. Not identity."""

    memory: Bytes = 4 * GIB
    """Memory limit in bytes, or with a unit (`8GiB`)."""
    shm: Bytes = 1 * GIB
    """Size of `/dev/shm` in bytes, or with a unit; DataLoader workers pass batches through it."""
    timeout: Seconds | None = None
    """Longest run in seconds, or with a unit (`2h`); none by default."""
    pids: Annotated[int, Field(ge=16, le=4_194_304)] = 4096
    """Most processes and threads at a time."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NAME_RULE = "is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit"


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise complaint(f"a name {_NAME_RULE}: found {shown(value)}")
    return value


def _keys(value: Mapping[str, Any], pattern: re.Pattern[str], rule: str) -> Mapping[str, Any]:
    if bad := [key for key in value if not pattern.fullmatch(key)]:
        raise complaints([((key,), f"{rule}: found {shown(key)}") for key in bad])
    return MappingProxyType(dict(value))


def _labels(value: Mapping[str, str]) -> Mapping[str, str]:
    rule = "a label's name is 1 to 63 letters, digits, `.`, `_`, `/`, `-`, and starts with a letter or digit"
    return _keys(value, _LABEL, rule)


def _environment(value: Mapping[str, str]) -> Mapping[str, str]:
    if taken := [key for key in value if RESERVED_ENV.fullmatch(key)]:
        raise complaints([((key,), f"{key} is set by the executor and cannot be set in a spec") for key in taken])
    return _keys(value, _VARIABLE, "a variable's name is 1 to 128 letters, digits and `_`, and starts with no digit")


def _data_names(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return _keys(value, _NAME, f"a data name {_NAME_RULE}")


def _exactly_one(value: object) -> object:
    if type(value) is not int or value != 1:
        raise complaint(f"expected 1, the version that this executor reads, found {shown(value)}")
    return value


def _none(value: object) -> object:
    return None if value == "none" else value


def _dump(value: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {key: item.model_dump() for key, item in value.items()}


_Named: TypeAlias = Annotated[str, AfterValidator(_name)]
_Optional = BeforeValidator(_none)


class Request(Frozen):
    """What a spec and a draft have in common."""

    version: Annotated[Literal[1], BeforeValidator(_exactly_one)]
    """Schema version of this file."""
    name: _Named
    """A label for people, not identity."""
    params: Params = Field(default_factory=dict, validate_default=True)
    """Hyperparameters: numbers, text, lists, mappings."""
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]
    """Seed of every random-number generator, 0 to 2**64-1."""
    command: Annotated[Texts, Field(min_length=1)]
    """The program and its arguments; `{params.x}` and `{seed}` are filled in (`{{seed}}` stays as it is)."""
    gpu: Annotated[Gpu | None, _Optional] = None
    """The GPUs, or `none` for a CPU run."""
    cpu: Cpu = Cpu()
    """Thread count and instruction set: both change the bits."""
    env: Annotated[TextMap, AfterValidator(_environment)] = Field(default_factory=dict, validate_default=True)
    """Environment variables of the program; values are text."""
    network: bool = False
    """Whether the run may use the network: a run that does is not hermetic."""
    workdir: Literal["/code", "/outputs"] = "/code"
    """Working directory: `/outputs` for scripts that write beside themselves."""
    determinism: Literal["strict", "warn", "off"] = "strict"
    """`strict` fails on an operation without a deterministic implementation, `warn` records it, `off` only seeds."""
    tier: Literal["native", "portable"] = "native"
    """`native` is fast; `portable` gives the same bits on x86-64 CPUs of any vendor, about twice as slow."""
    outputs: OutputRules = OutputRules()
    """What the files left in `/outputs` mean."""
    metrics: MetricRules = MetricRules()
    """Metrics read from what the program prints, beside those in its metrics file."""
    resources: Resources = Resources()
    """Limits of memory, shared memory and time: placement, not identity."""
    labels: Annotated[TextMap, AfterValidator(_labels)] = Field(default_factory=dict, validate_default=True)
    """Labels for people and tools, not identity."""

    @field_validator("params")
    @classmethod
    def _variables(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        param_variables(params)
        return params

    @field_validator("command")
    @classmethod
    def _fits(cls, command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if {"params", "seed"} <= info.data.keys() and (bad := _unfilled(command, info.data["params"])):
            raise complaints(bad)
        return command

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command with its placeholders filled in."""
        return tuple(fill(word, self.params, self.seed) for word in self.command)


class Spec(Request):
    """A run spec: every input pinned."""

    image: PinnedImage
    """The image by the digest of its manifest: `name@sha256:<64 hex>`; the name is a hint."""
    code: Annotated[Code | None, _Optional] = None
    """The program's commit, or `none` when the image holds all that is run."""
    data: Annotated[Mapping[str, Data], AfterValidator(_data_names), PlainSerializer(_dump)] = Field(
        default_factory=dict, validate_default=True
    )
    """Data trees by name, mounted read-only at `/data/<name>`."""

    def identity(self) -> dict[str, Any]:
        """Everything that can change the bits, and nothing else, as plain data."""
        return {
            "version": self.version,
            "image": str(self.image.pinned),
            "code": self.code.commit if self.code else None,
            "data": {name: str(data.hash) for name, data in self.data.items()},
            "command": list(self.command),
            "params": thaw(self.params),
            "seed": self.seed,
            "gpu": self.gpu.model_dump() if self.gpu else None,
            "cpu": self.cpu.model_dump(),
            "env": dict(self.env),
            "network": self.network,
            "workdir": self.workdir,
            "determinism": self.determinism,
            "tier": self.tier,
            "outputs": self.outputs.model_dump(),
            "metrics": self.metrics.model_dump(),
        }

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any], hints: Mapping[str, Any]) -> Spec:
        """Rebuild a spec from `identity()` and the hints that a record kept beside it.

        `hints` holds `name`, `image` (its name), `repo`, `sources` (data name to source), `resources`, `labels`.
        """
        plain = dict(identity)
        sources = hints.get("sources", {})
        plain["image"] = f"{hints['image']}@{identity['image']}"
        plain["code"] = {"commit": identity["code"], "repo": hints.get("repo", "")} if identity["code"] else None
        plain["data"] = {
            name: {"hash": digest, "source": sources.get(name, "")} for name, digest in identity["data"].items()
        }
        beside = {key: hints[key] for key in ("name", "resources", "labels") if key in hints}
        return cls.model_validate(plain | beside)

    def canonical(self) -> bytes:
        """The bytes that are hashed (after the schema tag), stored and given to the container."""
        return canonical_bytes(self.identity())

    @property
    def hash(self) -> Digest:
        """The spec hash: identity of the experiment and key in the store."""
        return spec_hash(self.identity())

    @property
    def experiment_key(self) -> Digest:
        """The same hash without the GPU: groups runs of one experiment over GPU types."""
        return spec_hash({key: value for key, value in self.identity().items() if key != "gpu"})


class Draft(Request):
    """A spec to be: a tag, a branch or an unhashed path may still stand where a pin will."""

    image: AnyImage
    """The image by tag or digest."""
    code: Annotated[DraftCode | None, _Optional] = None
    """The program's commit or branch, or `none`."""
    data: Annotated[Mapping[str, DraftData], AfterValidator(_data_names), PlainSerializer(_dump)] = Field(
        default_factory=dict, validate_default=True
    )
    """Data trees by name; a missing hash is computed from the source."""


def fill(word: str, params: Mapping[str, Any], seed: int) -> str:
    """Fill `{params.x}` and `{seed}` in one word of the command; every other brace stays as it is.

    Numbers are written as in the canonical bytes, lists and mappings as canonical JSON, text as it is. Raises a
    complaint when a parameter does not exist.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] and match[3]:
            return match[0][1:-1]
        path = match[2].split(".")
        found: Any = seed if path == ["seed"] else params
        for step in path[1:]:
            if not isinstance(found, Mapping) or step not in found:
                known = ", ".join(sorted(found)) if isinstance(found, Mapping) and found else "none"
                raise complaint(f"{match[0]} names no parameter; there is {known}")
            found = found[step]
        return match[1] + _written(found) + match[3]

    return _PLACEHOLDER.sub(value, word)


def _unfilled(command: tuple[str, ...], params: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Words that name no parameter, or grow too long for the kernel; the widest seed stands for any."""
    found: list[tuple[Place, str]] = []
    for position, word in enumerate(command):
        try:
            if len(fill(word, params, 2**64 - 1).encode()) > _LONGEST_WORD:
                found.append(((position,), f"longer than {_LONGEST_WORD} bytes once its parameters are filled in"))
        except PydanticCustomError as error:
            found.append(((position,), error.message()))
    return found


def param_variables(params: Mapping[str, Any], prefix: str = "EXECUTOR_PARAM") -> dict[str, str]:
    """`EXECUTOR_PARAM_X` for every parameter, nested names joined by `_`; two that collide are a complaint."""
    found: dict[str, str] = {}
    for key, value in params.items():
        name = f"{prefix}_{key.upper().replace('-', '_')}"
        nested = param_variables(value, name) if isinstance(value, Mapping) else {}
        for variable, content in {name: _written(value), **nested}.items():
            if variable in found:
                raise complaint(f"two parameters become the same environment variable {variable}; rename one of them")
            found[variable] = content
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else canonical_bytes(value).decode()
