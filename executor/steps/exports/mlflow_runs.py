"""Runs of MLflow are read, and kept as history: see `imported` for what that means."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from executor.errors import NotFound, Unreachable
from executor.evidence.series import Column, SeriesWriter, Tally
from executor.spec.canonical import Digest
from executor.steps.exports.imported import Imported, identity, keep, known
from executor.steps.exports.mlflow import SPEC, UNFINISHED
from executor.steps.exports.tracking import Tracking
from executor.store.interface import Store

SOURCE = "mlflow"
_REMOTE = frozenset({"mlflow-artifacts", "s3", "gs", "wasbs", "abfss", "dbfs"})


@dataclass(frozen=True)
class Wish:
    """Who brings runs here, and when."""

    who: str
    now: datetime
    version: str
    scratch: Path
    """For the points of one run at a time."""


@dataclass
class Brought:
    """What came of it."""

    new: list[str] = field(default_factory=list)
    """Ids under which runs are kept now."""
    unlisted: dict[str, str] = field(default_factory=dict)
    """Those of them whose files are not all listed, and why."""
    known: int = 0
    """Runs that were here already; they stay as they are."""
    running: int = 0
    """Runs that have not ended, and are no history yet."""
    ours: int = 0
    """Runs that were exported from here: their records say more."""


def bring(tracking: Tracking, store: Store, wish: Wish, experiment: str | None = None) -> Brought:
    """Keep every run of MLflow, or of one experiment there. Raises `NotFound` for an experiment that is not there."""
    there = tracking.experiments()
    chosen = {one: name for one, name in there.items() if experiment in (None, name)}
    if not chosen and experiment:
        raise NotFound(f"{tracking.url}: no experiment {experiment}",
                       advice=f"there is {', '.join(sorted(there.values())[:20]) or 'none'}")  # fmt: skip
    done, have = Brought(), known(store, SOURCE)
    for one, name in chosen.items():
        for run in tracking.runs(one):
            _take(run, name, tracking, store, wish, done, have)
    return done


def _take(
    run: Any, experiment: str, tracking: Tracking, store: Store, wish: Wish, done: Brought, have: set[Digest]
) -> None:  # fmt: skip
    if identity(SOURCE, tracking.url, run.info.run_id) in have:
        done.known += 1
    elif run.info.status in UNFINISHED:
        done.running += 1
    elif SPEC in run.data.tags:
        done.ours += 1
    else:
        with tempfile.TemporaryDirectory(dir=wish.scratch) as folder:
            table = Path(folder, "series.parquet")
            digest = _points(run, tracking, table) if run.data.metrics else None
            kept = _said(run, experiment, tracking, wish, digest)
            keep(store, kept, table if digest else None)
        done.new.append(kept.id.hex)
        if kept.artifacts_problem:
            done.unlisted[kept.id.hex] = kept.artifacts_problem


def _said(run: Any, experiment: str, tracking: Tracking, wish: Wish, series: Digest | None) -> Imported:
    info, data, (artifacts, problem) = run.info, run.data, _artifacts(run, tracking)
    return Imported(
        source=SOURCE, place=tracking.url, experiment=experiment, run_id=info.run_id,
        name=info.run_name or info.run_id, status=info.status, user=data.tags.get("mlflow.user") or info.user_id or "",
        started=_moment(info.start_time), finished=_moment(info.end_time), params=_texts(data.params),
        metrics={name: float(value) for name, value in data.metrics.items()}, tags=_texts(data.tags),
        artifacts=artifacts, artifacts_at=info.artifact_uri or "", artifacts_problem=problem, series=series,
        imported=wish.now, imported_by=wish.who, executor=wish.version,
    )  # fmt: skip


def _artifacts(run: Any, tracking: Tracking) -> tuple[dict[str, int], str]:
    """Its files with their sizes, as far as they can and may be listed from here, and why they are not all."""
    found: dict[str, int] = {}
    if not may_list(uri := run.info.artifact_uri or "", tracking.url):
        return found, f"{uri} is not looked at from here" if uri else "no address is named"
    try:
        for path, size in tracking.files(run.info.run_id):
            found[path] = size
    except (NotFound, Unreachable) as error:
        return found, error.message
    return found, ""


def may_list(uri: str, place: str) -> bool:
    """Whether artifacts are where others may send us: the address stands in the run, and could be any of this machine.

    Those of a folder lie in it; those of a server are passed on by it, or lie in the store of a cloud.
    """
    found, named = urlsplit(uri), urlsplit(place)
    if named.scheme != "file":
        return found.scheme in _REMOTE
    inside = Path(unquote(found.path)).resolve().is_relative_to(Path(unquote(named.path)).resolve())
    return found.scheme in ("", "file") and not found.netloc and inside


def _texts(found: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in found.items()}


def _moment(milliseconds: int | None) -> datetime | None:
    """A moment, where it is one."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _points(run: Any, tracking: Tracking, target: Path) -> Digest:
    """Write every point as a table; its digest."""
    with target.open("wb") as sink, SeriesWriter(sink, Tally()) as writer:
        for name in run.data.metrics:
            points = tracking.points(run.info.run_id, name)
            steps, times = array("q", (one.step for one in points)), array("d", (one.time / 1000 for one in points))
            if points:
                writer.take({name: Column(array("d", (one.value for one in points)), steps, times)})
    with target.open("rb") as stream:
        return Digest.of_stream(stream)[0]
