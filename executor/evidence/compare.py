"""Two attempts of one spec become a verdict, file by file. Pure: no I/O.

- Files count bit for bit, by path and digest; those whose role is `ignored` never count.
- A file that only one side has is a difference.
- Weights whose values are within the bound of the spec (`outputs.ulp`) are `close`, if nothing else differs.
- Comparing nothing is no success: without a file that counts, two attempts are `incomparable`.
"""

from __future__ import annotations

from collections.abc import Mapping

from executor.errors import count
from executor.evidence.record import Comparison, FileComparison, Record, TensorComparison


def compare(reference: Record, observed: Record, tensors: Mapping[str, TensorComparison] | None = None) -> Comparison:
    """Hold `observed` against `reference`; `tensors` says of weight files that differ how their values do."""
    told = tensors or {}
    if problem := _incomparable(reference, observed):
        return Comparison(reference=reference.attempt, verdict="incomparable", reason=problem)
    old, new = reference.compared, observed.compared
    files = tuple(
        FileComparison(
            path=path,
            role=(new.get(path) or old[path]).role,
            reference=old[path].digest if path in old else None,
            observed=new[path].digest if path in new else None,
            tensors=told.get(path),
        )
        for path in sorted(old.keys() | new.keys())
    )
    different = [file.path for file in files if not file.same]
    if not different:
        which = "the only file is" if len(files) == 1 else f"all {len(files)} files are"
        reason = f"{which} the same, bit for bit"
        return Comparison(reference=reference.attempt, verdict="identical", reason=reason, files=files)
    which = f"{len(different)} of {count(len(files), 'file')} {'differs' if len(different) == 1 else 'differ'}"
    reason = f"{which}: {', '.join(different[:3])}{'…' * (len(different) > 3)}"
    bound = observed.spec["outputs"].get("ulp")
    if bound is not None and all(file.same or _within(file.tensors, bound) for file in files):
        reason += f"; every value is within {bound} units in the last place"
        return Comparison(reference=reference.attempt, verdict="close", reason=reason, files=files)
    return Comparison(reference=reference.attempt, verdict="different", reason=reason, files=files)


def _within(tensors: TensorComparison | None, bound: int) -> bool:
    if tensors is None or tensors.problem or any(tensors.only.values()):
        return False
    return tensors.same or (tensors.max_ulp is not None and tensors.max_ulp <= bound)


def _incomparable(reference: Record, observed: Record) -> str:
    """Why the two cannot be compared, or nothing."""
    if reference.spec_hash != observed.spec_hash:
        return "they are attempts of different specs"
    for which, record in (("the reference", reference), ("this attempt", observed)):
        if record.status != "succeeded":
            return f"{which} {record.status}"
    if not reference.compared and not observed.compared:
        return "neither left a file that counts in /outputs"
    return ""
