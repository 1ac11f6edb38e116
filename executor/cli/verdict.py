"""A verdict for people: what differs, where it began, why, and what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from executor.errors import count

MOST_FILES = 20
"""Files that are listed; `--json` has them all."""
MOST_LINES = 3
"""Sentences about one file."""
KINDS = {
    "init": "before the first step: the initial parameters differ",
    "rng": "in the random-number generators",
    "data": "in the data that went into the model",
    "gradient": "in the gradients",
    "optimizer": "in the parameters after the step",
    "serialization": "only in how files are written",
    "output": "in what was written",
}


def verdict(view: Mapping[str, Any]) -> list[str]:
    """The verdict, why, then every file that differs and those that are the same, as far as there is room."""
    comparison = view["comparison"]
    lines = [f"  verdict   {comparison['verdict']}: {comparison['reason']}"]
    if view.get("divergence"):
        lines += divergence(view["divergence"])
    if predicted := view.get("prediction"):
        lines.append(f"  predicted {predicted['value']}: {predicted['why']}")
    return lines + _files(comparison["files"])


def divergence(found: Mapping[str, Any]) -> list[str]:
    """Where and why, and what it was concluded from."""
    if "reason" not in found:  # a record of before divergences were looked for
        return []
    lines = [f"  parted    {where(found)}"]
    sure = "shown by trying" if found["confirmed"] else "the likeliest of what is known"
    lines.append(f"  because   {found['reason']}  [{found['cause']}, {sure}]")
    lines += [f"    · {line}" for line in found["evidence"][:8]]
    if not found["confirmed"] and found["step"] is not None and found["cause"] != "serialization":
        lines.append("      → `executor rerun --diagnose` runs both sides up to there and looks at every operation")
    return lines


def where(found: Mapping[str, Any]) -> str:
    """Where two runs parted, in words."""
    kind = KINDS.get(found["kind"], str(found["kind"]))
    if found["step"] is None:
        return kind
    process = f", process {found['process']}" if found.get("process") not in (None, "0") else ""
    tensor = f", first in {found['tensor']}" if found.get("tensor") else ""
    return f"at step {found['step']}, {kind}{tensor}{process}"


def _files(files: list[Mapping[str, Any]]) -> list[str]:
    files = sorted(files, key=lambda file: file["reference"] == file["observed"])
    lines = []
    for file in files[:MOST_FILES]:
        before, after = short(file["reference"]), short(file["observed"])
        if before == after:
            lines.append(f"    = {file['path']}  {after}")
            continue
        lines.append(f"    ≠ {file['path']}  {before} → {after}")
        lines += [f"        {line}" for line in _within(file)]
    if len(files) > MOST_FILES:
        lines.append(f"    … and {count(len(files) - MOST_FILES, 'more file')}")
    if any("tfevents" in file["path"] and file["reference"] != file["observed"] for file in files):
        lines.append("      → event files carry times and process ids: put them under outputs.ignore")
    return lines


def _within(file: Mapping[str, Any]) -> Iterator[str]:
    """What differs in one file: tensors, or what its content says."""
    tensors, told = file.get("tensors"), file.get("explanation")
    if tensors and not tensors["problem"]:
        if tensors["reference"] == tensors["observed"]:
            yield "every value is equal; only the bytes of the file differ"
            return
        yield f"{tensors['different_count']} of {count(tensors['tensors'], 'tensor')} differ" + (
            f", by up to {tensors['max_ulp']} units in the last place" if tensors["max_ulp"] is not None else ""
        )
        for one in tensors["different"][:MOST_LINES]:
            yield (f"{one['name']}: {one['count']} of {one['elements']} elements, first at {list(one['first_index'])}, "
                   f"up to {one['max_ulp']} ulp, {_relative(one['max_relative'])}")  # fmt: skip
    elif told:
        yield from told["lines"][:MOST_LINES]


def _relative(value: float | None) -> str:
    return "of another kind" if value is None else f"{value:.2g} relative"


def short(digest: str | None) -> str:
    """Enough of a digest to tell two apart by eye; `--json` has them whole."""
    return f"{digest[:19]}…" if digest else "absent"
