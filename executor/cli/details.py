"""What `show` and `ls` say of a run beside its result: what was asked, how its attempts differ, numbers that fit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from executor.cli.output import size, table
from executor.errors import count

WIDTH = 100
"""Columns of a line that fits most terminals."""
MOST_FILES = 3
"""Files that differ which an attempt names."""


def asked(spec: Mapping[str, Any], hints: Mapping[str, Any]) -> str:
    """What the spec says, one aligned line for each thing that is set; `spec` is its identity."""
    return "\n".join(f"  {name:<9} {text}" for name, text in _asked(spec, hints) if text)


def _asked(spec: Mapping[str, Any], hints: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "command", shlex.join(spec["command"])
    yield (
        "params",
        "  ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in spec["params"].items()),
    )
    yield "seed", str(spec["seed"])
    yield "cpu", f"{count(spec['cpu']['threads'], 'thread')}, {spec['cpu']['isa']}"
    if gpu := spec["gpu"]:
        yield "gpu", f"{gpu['count']} × {gpu['type']}"
    yield "image", f"{hints['image']}@{spec['image']}"
    if spec["code"]:
        yield "code", f"{spec['code']}  {hints['repo']}".rstrip()
    for name, digest in spec["data"].items():
        yield "data", f"{name}  {digest}  {hints['sources'].get(name, '')}".rstrip()
    yield "labels", "  ".join(f"{name}={value}" for name, value in hints["labels"].items())


def kept(archived: Sequence[Mapping[str, Any]]) -> str:
    """What else the store keeps of a run, with its size."""
    return ", ".join(f"{one['what']} ({'not whole' if one['size'] is None else size(one['size'])})" for one in archived)


def attempts(views: Sequence[Mapping[str, Any]], reference: str | None) -> str:
    """One line for each attempt, and under it the files that differ from the reference."""
    lines = []
    for one in views:
        lines.append(f"   {'*' if one['attempt'] == reference else ' '} {one['attempt']}  {one['status']}")
        if one["comparison"]:
            lines[-1] += f"  {one['comparison']['verdict']}"
            lines += _parted(one["comparison"]["files"])
    return "\n".join(lines)


def _parted(files: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [file["path"] for file in files if file["reference"] != file["observed"]]
    more = [f"… and {count(len(names) - MOST_FILES, 'more file')}"] if len(names) > MOST_FILES else []
    return [f"       ≠ {text}" for text in names[:MOST_FILES] + more]


HEAD = ("SPEC", "NAME", "WHEN (UTC)", "STATUS", "VERDICT", "TIME", "METRICS")


def listed(views: Sequence[Mapping[str, Any]]) -> str:
    """The table of `ls`: as many metrics, with six digits, as fit the width."""
    rows = [
        (one["spec_hash"][:12], one["name"], one["created"][:16].replace("T", " "), one["status"],
         one["verdict"] or "", f"{one['runtime_s']:.1f} s")
        for one in views
    ]  # fmt: skip
    taken = max(len(line) for line in table([(*row, "|") for row in rows], (*HEAD[:-1], "|")).splitlines()) - 1
    return table([(*row, _numbers(one["metrics"], WIDTH - taken)) for row, one in zip(rows, views, strict=True)], HEAD)


def _numbers(metrics: Mapping[str, Any], room: int) -> str:
    """The first metrics that fit `room` columns, and a mark when there are more."""
    words: list[str] = []
    for name, value in metrics.items():
        word = f"{name}={float(value):.6g}"
        if len(" ".join([*words, word])) > room - 2:
            return " ".join([*words, "…"])
        words.append(word)
    return " ".join(words)
