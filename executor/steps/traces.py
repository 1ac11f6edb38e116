"""Traces on their way: from a run's report folder, to the store and back."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path

from executor.errors import NotFound
from executor.evidence.operations import Operation
from executor.evidence.operations import read as read_operations
from executor.evidence.record import Record
from executor.evidence.trace import PROGRAM, Process, Row, Trace, from_parquet, own_lines, rows
from executor.spec.canonical import Digest
from executor.steps.report import Allowance, names, read, read_bytes
from executor.store.interface import Store

LIMIT = 1 << 29
"""Bytes of all traces of a run together, and of a stored trace, that are read."""
MOST = 1024
"""Processes whose traces are read."""
_NAME = re.compile(r"trace-[0-9.]+(?:-\d+)?\.bin")
_OPERATIONS = re.compile(r"operations-.*\.jsonl")


def gather(report: Path) -> Trace | None:
    """The traces that a run left; none when it took no step."""
    found, allowance = {}, Allowance(LIMIT)
    for name in names(report, _NAME, MOST):
        data = allowance.bytes(report / name, LIMIT)
        if data and (taken := rows(data)):
            process = name.removeprefix("trace-").removesuffix(".bin")
            found[process] = _process(process, report / name, taken, allowance)
    if own := own_lines((allowance.bytes(report / "steps.jsonl", LIMIT) or b"").splitlines()):
        found[PROGRAM] = Process(PROGRAM, own)
    return Trace(found) if found else None


def _process(name: str, path: Path, taken: list[Row], allowance: Allowance) -> Process:
    about = read(path.with_suffix(".json"))
    parameters = about.get("names", ())
    each = {}
    for line in (allowance.bytes(path.with_suffix(".jsonl"), LIMIT) or b"").splitlines():
        try:
            entry = json.loads(line)
            each[int(entry["step"])] = {
                kind: [int(one) & (2**64 - 1) for one in entry[kind]] for kind in ("gradients", "parameters")
            }
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            break
    return Process(
        name, taken, tuple(str(one) for one in parameters) if isinstance(parameters, list) else (),
        str(about.get("problem", "" if about else "the process left no end of its trace"))[:200],
        "tensors" if each else "steps", each,
    )  # fmt: skip


def operations(report: Path, process: str) -> list[Operation]:
    """The operations that were captured in a process."""
    return read_operations((read_bytes(report / f"operations-{process}.jsonl", LIMIT) or b"").splitlines())


def packed_operations(report: Path) -> bytes:
    """The operations of every process as JSON lines in gzip, each with its process; whole lines alone are kept."""
    packed, allowance = io.BytesIO(), Allowance(LIMIT)
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for name in names(report, _OPERATIONS, MOST):
            process = name.removeprefix("operations-").removesuffix(".jsonl")
            for line in (allowance.bytes(report / name, LIMIT) or b"").splitlines():
                try:
                    file.write(json.dumps({"process": process, **json.loads(line)}).encode() + b"\n")
                except (ValueError, TypeError, RecursionError):
                    break
    return packed.getvalue()


def load(store: Store, record: Record) -> Trace | None:
    """The stored trace of an attempt; none when it has none, or the store lost it."""
    if record.trace is None:
        return None
    try:
        data = store.read_blob(record.trace.digest, LIMIT)
    except NotFound:
        return None
    return from_parquet(data, key_of(record.trace.digest))


def key_of(digest: Digest) -> str:
    """What a stored trace is called in messages."""
    return f"trace {digest}"
