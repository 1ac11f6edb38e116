"""Two stored attempts, of one spec or of two, held against each other: what was asked, where it ran, what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from executor.environment import verify
from executor.errors import CorruptObject, NotFound
from executor.evidence.compare import compare
from executor.evidence.content.explain import explain
from executor.evidence.content.found import Explanation
from executor.evidence.divergence import CPU_FIELDS, Divergence
from executor.evidence.divergence import explain as explain_divergence
from executor.evidence.record import Comparison, FileComparison, Record
from executor.steps.compared import EXPLAINED, see
from executor.steps.history import spec_of
from executor.steps.traces import load
from executor.store.interface import Store

Pairs = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Difference:
    """How two attempts differ; every mapping holds what differs, as (before, after)."""

    spec: Pairs
    environment: Pairs
    metrics: Pairs
    comparison: Comparison


def difference(store: Store, one: Record, other: Record) -> Difference:
    """Hold `other` against `one`; weights are compared by their files alone."""
    asked = dict(_unequal("", one.spec, other.spec))
    alike = other.model_copy(update={"spec_hash": one.spec_hash})  # what was asked may differ here
    found = compare(one, alike)
    if found.verdict == "different":
        files = tuple(_explained(store, file) for file in found.files)
        found = found.model_copy(update={"files": files})
        spec = spec_of(store, other)
        seen = see(spec, one, other, load(store, one), load(store, other), found)
        found = found.model_copy(update={"divergence": _asked_otherwise(asked, explain_divergence(seen))})
    findings = verify.against_reference(spec_of(store, other), one.fingerprint, other.fingerprint, frozenset())
    environment = {f.field: (f.expected, f.observed) for f in findings if f.expected != f.observed}
    environment.pop("reference", None)
    metrics = {name: (one.metrics.get(name), other.metrics.get(name))
               for name in sorted(one.metrics.keys() | other.metrics.keys())
               if one.metrics.get(name) != other.metrics.get(name)}  # fmt: skip
    return Difference(asked, environment, metrics, found)


def _asked_otherwise(asked: Pairs, found: Divergence) -> Divergence:
    """What was asked explains a difference before anything else does."""
    if not asked:
        return found
    rank = ["cpu.threads", "cpu.isa", "seed", "image", "data", "params", "code"]
    field = min(asked, key=lambda name: next((at for at, one in enumerate(rank) if name.startswith(one)), len(rank)))
    before, after = asked[field]
    cause = {"cpu.threads": "threads", "cpu.isa": "isa", "image": "environment"}.get(field, "program")
    if field.startswith("data"):
        cause = "environment"
    reason = f"the specs differ: {field} was {before} and is {after}"
    if field in CPU_FIELDS or found.setting == field:
        reason += f"; {found.reason}"
    evidence = tuple(f"spec: {name}: {old} → {new}" for name, (old, new) in asked.items())
    return found.model_copy(
        update={"cause": cause, "setting": field, "reason": reason, "evidence": (*evidence, *found.evidence)}
    )


def _unequal(prefix: str, one: Any, other: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted fields of two plain values that differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            yield from _unequal(f"{prefix}{key}.", one.get(key), other.get(key))
    elif one != other:
        yield prefix.rstrip("."), (one, other)


def _explained(store: Store, file: FileComparison) -> FileComparison:
    if file.same or file.reference is None or file.observed is None:
        return file
    try:
        if max(store.blob_size(digest) or 0 for digest in file.both) > EXPLAINED:
            return file
        told: Explanation = explain(file.path, *(store.read_blob(digest, EXPLAINED) for digest in file.both))
    except (NotFound, CorruptObject):
        return file
    return file.model_copy(update={"explanation": told})
