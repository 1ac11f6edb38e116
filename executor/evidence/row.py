"""A record as one flat row: what an index keeps of a run, and what a person can ask for by name. Pure: no I/O.

A row holds only what there is: an absent name is an absent value. Names with a dot belong to a family, such as
`params.lr`; those without one are the `FIELDS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from executor.spec.canonical import spec_hash
from executor.text import duration

if TYPE_CHECKING:
    from executor.evidence.record import Record

Value: TypeAlias = "bool | int | float | str | list[Any]"
"""What a row holds under a name; NaN and infinity are numbers, a list is a parameter that is one."""
Kind = Literal["text", "number", "time", "seconds", "flag"]
ROW_VERSION = 2
"""Another one whenever rows of the same record come out otherwise: what was kept of before is then made anew."""
MOST_DIGESTS = 200
"""Files of a run that can be found by their digest: weights first."""
FAMILIES = {
    "params": "parameters of the spec, nested ones with more dots",
    "metrics": "final metrics",
    "lowest": "smallest value of each series",
    "highest": "largest value of each series",
    "labels": "labels of the spec",
    "data": "tree hashes of its data, by name",
}
"""What stands before the dot, and what it holds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTPUT_ORDER = ("weights", "file", "metrics")


@dataclass(frozen=True)
class Field:
    """A name without a dot."""

    kind: Kind
    """`time` is whole microseconds since 1970, UTC; `seconds` are a number too."""
    about: str
    """What it is, a few words."""
    among: tuple[str, ...] = ()
    """All texts that it can be, when there are few."""


FIELDS: Mapping[str, Field] = {
    "name": Field("text", "name of the spec"),
    "spec": Field("text", "spec hash, 64 hex digits"),
    "experiment": Field("text", "experiment key: equal for runs that differ in their GPUs alone"),
    "config": Field("text", "equal for runs that differ in their GPUs and their seed alone"),
    "attempt": Field("text", "id of the attempt"),
    "status": Field("text", "how the program ended", ("succeeded", "failed", "interrupted")),
    "verdict": Field("text", "what a comparison with the reference said",
                     ("identical", "close", "different", "incomparable")),
    "proof": Field("text", "what its exit reports prove", ("proven", "violated", "unproven")),
    "created": Field("time", "when the record was written"),
    "runtime_s": Field("seconds", "wall time of the program"),
    "exit_code": Field("number", "exit status of the program"),
    "seed": Field("number", "seed of the spec"),
    "submitter": Field("text", "who submitted it, as they say themselves"),
    "host": Field("text", "name of the machine that it ran on"),
    "cpu": Field("text", "model of that machine's CPU"),
    "gpu": Field("text", "type of the GPUs that the spec asks for; nothing for a CPU run"),
    "gpus": Field("number", "how many GPUs the spec asks for"),
    "image": Field("text", "digest of the image, sha256:…"),
    "image_name": Field("text", "name of the image"),
    "commit": Field("text", "commit of the code"),
    "rerun": Field("flag", "whether it was made by `rerun`"),
    "varied": Field("text", "what was varied on purpose, such as `threads=4`"),
    "outputs": Field("number", "how many files it left"),
    "executor": Field("text", "version of the program that ran it"),
}  # fmt: skip
"""Every name without a dot, in the order in which they are listed."""


@dataclass(frozen=True)
class Row:
    """One attempt, flat."""

    spec: str
    """Spec hash, 64 hex digits."""
    attempt: str
    values: Mapping[str, Value]
    """By name; those of `spec` and `attempt` among them."""
    digests: tuple[str, ...] = ()
    """Of the files that it left, 64 hex digits each: at most `MOST_DIGESTS`."""


def row(record: Record) -> Row:
    """The row of a record."""
    digests = tuple(dict.fromkeys(
        file.digest.hex for role in _OUTPUT_ORDER for file in record.outputs if file.role == role
    ))  # fmt: skip
    values = {name: value for name, value in _values(record) if value is not None}
    return Row(record.spec_hash.hex, record.attempt, values, digests[:MOST_DIGESTS])


def microseconds(moment: datetime) -> int:
    """A moment as rows hold it: whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The moment of such a number."""
    return _EPOCH + timedelta(microseconds=value)


def _values(record: Record) -> Iterator[tuple[str, Value | None]]:
    spec, gpu = record.spec, record.spec["gpu"] or {}
    yield "spec", record.spec_hash.hex
    yield "experiment", record.experiment_key.hex
    yield "config", spec_hash({key: value for key, value in spec.items() if key not in ("gpu", "seed")}).hex
    yield "attempt", record.attempt
    yield "name", record.hints.name
    yield "status", record.status
    yield "verdict", record.comparison.verdict if record.comparison else None
    yield "proof", record.proof.standing if record.proof else None
    yield "created", microseconds(record.created)
    yield "runtime_s", record.outcome.runtime_s
    yield "exit_code", record.outcome.exit_code
    yield "seed", spec["seed"]
    yield "submitter", record.hints.submitter or None
    yield "host", record.fingerprint.host.hostname
    yield "cpu", record.fingerprint.host.cpu_model
    yield "gpu", gpu.get("type")
    yield "gpus", gpu.get("count", 0)
    yield "image", spec["image"]
    yield "image_name", record.hints.image
    yield "commit", spec["code"]
    yield "rerun", record.rerun
    yield "varied", varied(record) or None
    yield "outputs", len(record.outputs)
    yield "executor", record.executor
    yield from flat("labels", record.hints.labels)
    yield from flat("data", spec["data"])
    yield from flat("params", spec["params"])
    for family in ("metrics", "lowest", "highest"):
        yield from ((f"{family}.{name}", value) for name, value in getattr(record, family).items())


def varied(record: Record) -> str:
    """What was varied on purpose, such as `seed=2, threads=4`; empty when nothing was."""
    return ", ".join(f"{name}={value}" for name, value in sorted(record.varied.items()))


def parameters(record: Record) -> dict[str, Value | None]:
    """Parameters of the spec by dotted names, and its seed: `spec.seed` where a parameter has that name."""
    found = {name.removeprefix("params."): value for name, value in flat("params", record.spec["params"])}
    return found | {"spec.seed" if "seed" in found else "seed": record.spec["seed"]}


def flat(name: str, value: Any) -> Iterator[tuple[str, Value | None]]:
    """Every leaf of a mapping under its dotted name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(f"{name}.{key}", item)
    else:
        yield name, value


def written(name: str, value: Any) -> str:
    """What a row holds under a name, in few characters; nothing for a run that has none."""
    kind = FIELDS[name].kind if name in FIELDS else ""
    if value is None:
        return ""
    if kind == "time":
        return f"{moment(value):%Y-%m-%d %H:%M}"
    if kind == "seconds":
        return duration(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if name == "submitter":
        return str(value).partition(" <")[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
