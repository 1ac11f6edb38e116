"""The run spec as frozen values: what is asked, every input pinned. Pure: no I/O.

`Spec` is pinned; `Draft` may still have a tag, a branch or an unhashed path, which `lock` pins. What can change the
bits of a result is identity and goes into the hash; names, hints, labels and placement do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator

from executor.spec.canonical import Digest, canonical_bytes, spec_hash
from executor.spec.complaints import complaint, complaints, shown
from executor.spec.freeze import thaw
from executor.spec.parameters import fill, param_variables, unfilled
from executor.spec.scalars import AnyImage, Params, PinnedImage, TextMap, Texts
from executor.spec.sections import (
    Code,
    Cpu,
    Data,
    DraftCode,
    DraftData,
    Frozen,
    Gpu,
    MetricRules,
    OutputRules,
    Resources,
)

__all__ = [
    "ORDER", "RESERVED_ENV", "Code", "Cpu", "Data", "Draft", "DraftCode", "DraftData", "Frozen", "Gpu", "MetricRules",
    "OutputRules", "Request", "Resources", "Spec", "fill", "param_variables",
]  # fmt: skip

RESERVED_ENV = re.compile(
    r"EXECUTOR_.*|PYTHONPATH|PYTHONHOME|PYTHONHASHSEED|LD_PRELOAD|LD_LIBRARY_PATH|HOME|HOSTNAME|PATH|TZ|LC_ALL|LANG"
    r"|NVIDIA_VISIBLE_DEVICES|CUDA_VISIBLE_DEVICES"
)
"""Variables that the executor itself sets; a spec cannot override them."""


ORDER = (
    "version", "name", "image", "code", "data", "command", "params", "seed", "gpu", "cpu", "env", "network", "workdir",
    "determinism", "tier", "outputs", "metrics", "resources", "secrets", "labels",
)  # fmt: skip
"""Fields in the order in which people write and read them."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MOST_SECRETS = 32
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


def _secrets(value: tuple[str, ...]) -> tuple[str, ...]:
    rule = "a secret's name is 1 to 64 capitals, digits and `_`, and starts with a capital"
    if bad := [(at, name) for at, name in enumerate(value) if not _SECRET.fullmatch(name)]:
        raise complaints([((at,), f"{rule}: found {shown(name)}") for at, name in bad])
    if twice := [at for at, name in enumerate(value) if name in value[:at]]:
        raise complaints([((at,), f"{value[at]} is named twice") for at in twice])
    if len(value) > _MOST_SECRETS:
        raise complaint(f"expected at most {_MOST_SECRETS} secrets, found {len(value)}")
    return value


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
    """Limits of memory, shared memory, disk and time: placement, not identity."""
    secrets: Annotated[Texts, AfterValidator(_secrets)] = ()
    """Names of secrets that the program reads from `/run/secrets/<NAME>`; their values are given when it runs."""
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
        if {"params", "seed"} <= info.data.keys() and (bad := unfilled(command, info.data["params"])):
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
            # a rule that came later is identity only where it is used: hashes of before stay
            "outputs": {key: value for key, value in self.outputs.model_dump().items() if value is not None},
            "metrics": self.metrics.model_dump(),
        }

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any], hints: Mapping[str, Any]) -> Spec:
        """Rebuild a spec from `identity()` and the hints that a record kept beside it.

        `hints` holds `name`, `image` (its name), `repo`, `sources` (data name to source), `resources`, `secrets`,
        `labels`.
        """
        plain = dict(identity)
        sources = hints.get("sources", {})
        plain["image"] = f"{hints['image']}@{identity['image']}"
        plain["code"] = {"commit": identity["code"], "repo": hints.get("repo", "")} if identity["code"] else None
        plain["data"] = {
            name: {"hash": digest, "source": sources.get(name, "")} for name, digest in identity["data"].items()
        }
        beside = {key: hints[key] for key in ("name", "resources", "secrets", "labels") if key in hints}
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
