"""Two attempts of one spec become a verdict, file by file. Pure: no I/O.

- Files count bit for bit, by path and digest; those whose role is `ignored` never count.
- A file that only one side has is a difference.
- Comparing nothing is no success: without a file that counts, two attempts are `incomparable`.
"""

from __future__ import annotations

from executor.errors import count
from executor.evidence.record import Comparison, FileComparison, Record


def compare(reference: Record, observed: Record) -> Comparison:
    """Hold `observed` against `reference`."""
    if problem := _incomparable(reference, observed):
        return Comparison(reference=reference.attempt, verdict="incomparable", reason=problem)
    old, new = reference.compared, observed.compared
    files = tuple(
        FileComparison(
            path=path,
            role=(new.get(path) or old[path]).role,
            reference=old[path].digest if path in old else None,
            observed=new[path].digest if path in new else None,
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
    return Comparison(reference=reference.attempt, verdict="different", reason=reason, files=files)


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
