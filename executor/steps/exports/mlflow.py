"""A run as a run of an MLflow server: parameters, every point of its metrics, tags, and its files as artifacts.

It is found again by its tags: the same attempt is in an experiment once, however often it is exported.
"""

from __future__ import annotations

import json
import posixpath
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.evidence import series
from executor.evidence.record import Record
from executor.evidence.row import parameters, varied
from executor.spec.canonical import Digest
from executor.steps.exports.genuine import genuine
from executor.steps.exports.numbers import series_table
from executor.steps.exports.tracking import PAGE, Point, Tracking
from executor.steps.history import pull
from executor.store.interface import Store

SPEC, ATTEMPT = "executor.spec_hash", "executor.attempt"
"""Tags that say which attempt a run of MLflow is."""
STATUSES = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
UNFINISHED = ("RUNNING", "SCHEDULED")
LONGEST_VALUE, LONGEST_NAME = 6_000, 250
"""Characters of a parameter's value, and of a name, that MLflow takes."""
_ODD = re.compile(r"[^/\w.\- :]")
_ODD_IN_FILES = re.compile(r"[^/\w.\-+=,@ ]")
"""Characters that MLflow refuses, and those at which it cuts the name of a file short without a word."""
_LATEST = 253_402_300_800
"""Seconds since 1970 until the year 10000: a wall time beyond is none."""


@dataclass(frozen=True)
class Exported:
    """A run in MLflow."""

    url: str
    """Where people see it."""
    run_id: str
    new: bool
    """False when it was there already, and nothing was sent."""


def export(record: Record, store: Store, tracking: Tracking, experiment: str | None, scratch: Path) -> Exported:
    """Bring a run into an experiment, by default that of its spec's name; its outputs lie in `scratch` on the way.

    A run that is there whole is left as it is. One that another export left half done is deleted there and begun
    anew. Raises `CorruptObject` before anything is sent of outputs that are wrong.
    """
    genuine(record, store)
    place = tracking.experiment(experiment or record.hints.name)
    asked = f"tags.`{SPEC}` = '{record.spec_hash.hex}' and tags.`{ATTEMPT}` = '{record.attempt}'"
    for one in tracking.runs(place, asked):
        if one.info.status not in UNFINISHED:
            return Exported(_page(tracking, place, one.info.run_id), one.info.run_id, new=False)
        tracking.discard(one.info.run_id)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files = _files(record, store, Path(folder, "files"))
        table = series_table(record, store, files.with_name("series"))
        name = f"{record.hints.name}-{record.spec_hash.hex[:12]}"
        run = tracking.begin(place, name, record.outcome.started, tags(record))
        tracking.put_params(run, params(record))
        _send_points(record, tracking, run, table)
        tracking.put_files(run, files)
    tracking.end(run, STATUSES[record.status], record.outcome.finished)
    return Exported(_page(tracking, place, run), run, new=True)


def _page(tracking: Tracking, experiment: str, run: str) -> str:
    return f"{tracking.url}/#/experiments/{experiment}/runs/{run}"


def tags(record: Record) -> dict[str, str]:
    """What is said of the run; what is not known is left out."""
    spec, hints = record.spec, record.hints
    known: dict[str, Any] = {
        SPEC: record.spec_hash.hex, ATTEMPT: record.attempt, "executor.experiment_key": record.experiment_key.hex,
        "executor.status": record.status, "executor.version": record.executor, "executor.image": spec["image"],
        "executor.image_name": hints.image, "executor.exit_code": record.outcome.exit_code,
        "executor.verdict": record.comparison.verdict if record.comparison else None,
        "executor.proof": record.proof.standing if record.proof else None,
        "executor.varied": varied(record),
        **{f"executor.data.{name}": digest for name, digest in spec["data"].items()},
        **{f"executor.label.{name}": value for name, value in hints.labels.items()},
        "mlflow.user": hints.submitter, "mlflow.source.git.commit": spec["code"],
        "mlflow.source.git.repoURL": hints.repo, "mlflow.source.name": " ".join(map(str, spec["command"])),
    }  # fmt: skip
    return {named(name): str(value)[:LONGEST_VALUE] for name, value in known.items() if value not in (None, "")}


def params(record: Record) -> dict[str, str]:
    """Parameters and seed as texts."""
    found = parameters(record).items()
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in found}
    return {named(name): text[:LONGEST_VALUE] for name, text in texts.items()}


def named(name: str) -> str:
    """A name as MLflow takes it: what it refuses is cleaned, and marked with digits of its own."""
    path = posixpath.normpath(name)
    good = name == path and not path.startswith((".", "/")) and not _ODD.search(name) and len(name) <= LONGEST_NAME
    if good:
        return name
    clean = _ODD.sub("_", name).replace("/", "_").lstrip(".")
    return f"{clean[: LONGEST_NAME - 9]}-{_digits(name)}"


def artifact(path: str) -> str:
    """The path of an output as MLflow keeps it whole; `record.json` beside it has the right ones."""
    clean = _ODD_IN_FILES.sub("_", path)
    folder, slash, name = clean.rpartition("/")
    return path if clean == path else f"{folder}{slash}{_digits(path)}-{name}"


def _digits(text: str) -> str:
    return Digest.of(text.encode()).hex[:8]


def _files(record: Record, store: Store, folder: Path) -> Path:
    """The outputs, verified, with spec, record and log beside them."""
    folder.mkdir()
    folder.with_name("series").mkdir()
    outputs = folder / "outputs"
    for file in pull(store, record, outputs, lambda *_: None):
        target = outputs / artifact(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        (outputs / file.path).rename(target)
    (folder / "spec.json").write_bytes(store.get_spec(record.spec_hash))
    (folder / "record.json").write_bytes(store.get_record(record.spec_hash, record.attempt))
    if record.log:
        store.get_blob(record.log.digest, folder / "log.txt")
    return folder


def _send_points(record: Record, tracking: Tracking, run: str, table: Path | None) -> None:
    """Send every point, as many at a time as MLflow takes."""
    held: list[Point] = []
    for point in _points(record, table) if table else ():
        held.append(point)
        if len(held) == PAGE:
            tracking.put_points(run, held)
            held = []
    if held:
        tracking.put_points(run, held)


def _points(record: Record, table: Path) -> Iterator[Point]:
    """Every point; one without a time has that of the run's end."""
    end = record.outcome.finished.timestamp()
    with table.open("rb") as source:
        for name, part in series.read(source, str(table)):
            told = named(name)
            times = part.times or [end] * len(part.values)
            for value, step, time in zip(part.values, part.steps, times, strict=True):
                yield Point(told, value, int(1000 * (time if 0 <= time < _LATEST else end)), step)
