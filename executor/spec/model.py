"""The run spec as frozen values: what is asked, every input pinned. Pure: no I/O.

`Spec` is pinned; `Draft` may still have a tag, a branch or an unhashed path, which `lock` pins. What can change the bits
of a result is identity and goes into the hash; names, hints, labels and placement do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from executor.spec.canonical import Digest, canonical_bytes, spec_hash
from executor.spec.scalars import (
    AnyImage,
    Bytes,
    Commit,
    DigestField,
    Params,
    PinnedImage,
    Seconds,
    TextMap,
    Texts,
    complaint,
    thaw,
)

GIB = 2**30
RESERVED_ENV = re.compile(
    r"EXECUTOR_.*|PYTHONPATH|PYTHONHASHSEED|LD_PRELOAD|LD_LIBRARY_PATH|HOME|HOSTNAME|PATH|TZ|LC_ALL|LANG"
)
"""Variables that the executor itself sets; a spec cannot override them."""

_PLACEHOLDER = re.compile(r"\{(\{?)(seed|params(?:\.[A-Za-z0-9_-]+)*)\}(\}?)")


class Frozen(BaseModel):
    """A value: strict types, no unknown keys, no NaN, never changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )  # fmt: skip


class Code(Frozen):
    """The program: one commit of one repository."""

    commit: Commit
    """Full commit id: identity."""
    repo: str = ""
    """Where to find it: a path (relative to the spec file), `https://` or `ssh://`; a hint, not identity."""


class DraftCode(Frozen):
    """The program of a draft: a commit, or a branch or tag that `lock` resolves."""

    commit: Commit | None = None
    """Full commit id, when it is already known."""
    repo: str = "."
    """Where to find it: a path (relative to the draft), `https://` or `ssh://`."""
    branch: str = "HEAD"
    """Branch or tag to resolve; `HEAD` of a local repository must have no uncommitted changes."""


class Data(Frozen):
    """A folder of files, mounted read-only at `/data/<name>`."""

    hash: DigestField
    """Tree hash of its files: identity."""
    source: str = ""
    """Where to find it: a folder or file, `s3://bucket/prefix` or `https://…`; a hint, not identity."""


class DraftData(Frozen):
    """A folder of files whose hash may still have to be computed."""

    hash: DigestField | None = None
    """Tree hash, when it is already known."""
    source: str = ""
    """Where to find it: a folder or file, `s3://bucket/prefix` or `https://…`."""


class Gpu(Frozen):
    """The GPUs that the run needs."""

    type: Annotated[str, Field(min_length=1)]
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

    weights: Texts = ("*.pt", "*.pth", "*.safetensors")
    """Patterns of weight files; compared bit for bit."""
    metrics: str = "metrics.jsonl"
    """The file of metrics, one JSON object a line; compared bit for bit."""
    ignore: Texts = ()
    """Patterns of files that are uploaded and never compared: logs, event files, timings."""


class MetricRules(Frozen):
    """Metrics read from what the program prints."""

    stdout: str | None = None
    """Regular expression with named groups; each match gives numbers."""

    @model_validator(mode="after")
    def _compiles(self) -> MetricRules:
        if self.stdout is not None:
            try:
                groups = re.compile(self.stdout).groupindex
            except (re.error, RecursionError, OverflowError) as error:
                raise complaint(f"not a regular expression: {error}") from None
            if not groups:
                raise complaint("expected at least one named group, such as (?P<val_loss>\\S+)")
        return self


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


_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise complaint(
            f"a name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: found {value!r}"
        )
    return value


def _labels(value: Mapping[str, str]) -> Mapping[str, str]:
    if bad := [key for key in value if not _LABEL.fullmatch(key)]:
        raise complaint(f"a label's name is 1 to 63 letters, digits, `.`, `_`, `/`, `-`: found {bad[0]!r}")
    return value


def _environment(value: Mapping[str, str]) -> Mapping[str, str]:
    for key, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", key):
            raise complaint(f"not the name of an environment variable: {key!r}")
        if RESERVED_ENV.fullmatch(key):
            raise complaint(f"{key} is set by the executor and cannot be set in a spec")
        if "\0" in text:
            raise complaint(f"{key} holds a NUL byte")
    return value


def _data_names(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if bad := [key for key in value if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", key)]:
        raise complaint(
            f"a data name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: "
            f"found {bad[0]!r}"
        )
    return MappingProxyType(dict(value))


def _none(value: object) -> object:
    return None if value == "none" else value


def _dump(value: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {key: item.model_dump() for key, item in value.items()}


_Named: TypeAlias = Annotated[str, AfterValidator(_name)]
_Optional = BeforeValidator(_none)


class Request(Frozen):
    """What a spec and a draft have in common."""

    version: Literal[1]
    """Schema version of this file."""
    name: _Named
    """A label for people, not identity."""
    command: Annotated[Texts, Field(min_length=1)]
    """The program and its arguments; `{params.x}` and `{seed}` are filled in (`{{seed}}` stays as it is)."""
    params: Params = Field(default_factory=dict, validate_default=True)
    """Hyperparameters: numbers, text, lists, mappings."""
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]
    """Seed of every random-number generator, 0 to 2**64-1."""
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

    @model_validator(mode="after")
    def _command_fits(self) -> Request:
        for word in self.command:
            if "\0" in word:
                raise complaint("command: a word holds a NUL byte")
            fill(word, self.params, self.seed)
        param_variables(self.params)
        return self

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
                known = ", ".join(sorted(found)) if isinstance(found, Mapping) else "nothing"
                raise complaint(f"command: {match[0]} names no parameter; there is {known or 'none'}")
            found = found[step]
        return match[1] + (found if isinstance(found, str) else canonical_bytes(found).decode()) + match[3]

    return _PLACEHOLDER.sub(value, word)


def param_variables(params: Mapping[str, Any], prefix: str = "EXECUTOR_PARAM") -> dict[str, str]:
    """`EXECUTOR_PARAM_X` for every parameter, nested names joined by `_`; two that collide are a complaint."""
    found: dict[str, str] = {}
    for key, value in params.items():
        name = f"{prefix}_{key.upper().replace('-', '_')}"
        nested = param_variables(value, name) if isinstance(value, Mapping) else {}
        text = value if isinstance(value, str) else canonical_bytes(value).decode()
        for variable, content in {name: text, **nested}.items():
            if variable in found:
                raise complaint(f"params: two parameters become the environment variable {variable}")
            if "\0" in content:
                raise complaint(f"params: {key} holds a NUL byte")
            found[variable] = content
    return found
