"""One attempt: what was asked, what came of it, where, and how to have it again."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from executor.dashboard import desk
from executor.dashboard.curves import Drawn, drawn
from executor.dashboard.desk import Desk
from executor.dashboard.graph import graph
from executor.dashboard.logs import page_of, shown
from executor.dashboard.templating import render, run_url
from executor.errors import NotFound
from executor.evidence.record import Record, divergence
from executor.evidence.series import known
from executor.spec.canonical import Digest
from executor.steps.finding.behind import made
from executor.steps.finding.curves import table_of
from executor.steps.finding.search import told
from executor.steps.history import read
from executor.steps.signed.attest import Standing, standing
from executor.store.changes import Key
from executor.store.view import View

MOST_TABLE = 8 << 20
"""Bytes of the largest table of series that is drawn here."""
MOST_CURVES, MOST_ATTEMPTS, MOST_FILES = 24, 100, 500
TAIL = 20
"""Lines of the log."""
ATTEMPT = ("status", "verdict", "created", "runtime_s", "host", "rerun", "varied")
"""What is told of every attempt."""


def first(request: Request) -> Response:
    """To the attempt that counts: the reference, or else the newest, or one that is going on."""
    store, digest = desk.of(request).store, _spec(request)
    attempt = store.reference(digest) or next(reversed(store.attempts(digest)), None)
    if attempt:
        return RedirectResponse(run_url(digest.hex, attempt), 303)
    if live := store.live_attempts(digest):
        return RedirectResponse(f"/live/{digest.hex}/{live[-1]}", 303)
    raise NotFound(f"{digest.hex[:12]}: no run of this spec in {store.url}")


def run(request: Request) -> Response:
    """The page of one attempt."""
    at, key = desk.of(request), desk.key_of(request)
    try:
        record = read(at.store, Digest(key.spec), key.attempt)
    except NotFound:
        if key.attempt in at.store.live_attempts(Digest(key.spec)):
            return RedirectResponse(f"/live/{key.spec}/{key.attempt}", 303)
        raise
    attempts, drawing = at.library.ask(lambda view: (_attempts(view, key.spec), graph(record, view)))
    curves, no_curves = _curves(at, record)
    return render(
        request, "run.html", record=record, key=key, attempts=attempts, graph=drawing, curves=curves,
        no_curves=no_curves, reference=at.store.reference(record.spec_hash), signature=_signature(at, record),
        parted=_parted(at, record), spec=json.dumps(record.spec, indent=2, ensure_ascii=False),
        rerun=_command("rerun", key.spec, at), pull=f"{_command('pull', key.spec, at)} --attempt {key.attempt} out",
        environment=tuple(_environment(record)), most_files=MOST_FILES, compared=_compared(record, key),
        tail="\n".join(shown(record.outcome.log_tail.encode("utf-8", "replace")).rstrip().split("\n")[-TAIL:]),
    )  # fmt: skip


def log(request: Request) -> Response:
    """What the program printed, a page at a time."""
    at, key = desk.of(request), desk.key_of(request)
    record = read(at.store, Digest(key.spec), key.attempt)
    if record.log is None:
        raise NotFound(f"{key.spec[:12]}/{key.attempt}: no log was kept")
    with at.store.open_blob(record.log.digest) as stream:
        found = page_of(stream, record.log.size, desk.whole(request.query_params.get("page", "")))
    return render(request, "log.html", record=record, key=key, log=found)


def file(request: Request) -> Response:
    """Which runs left a file of these bytes."""
    at, digest = desk.of(request), _digest(request.path_params["digest"])
    found = at.library.ask(lambda view: made(view, at.store, digest))
    if not found:
        raise NotFound(f"{digest}: no run in {at.store.url} left such a file")
    return render(request, "file.html", digest=digest, found=found)


# What it says ------------------------------------------------------------------------------------------------------


def _attempts(view: View, spec: str) -> Sequence[Mapping[str, Any]]:
    return told(view, view.of_spec(spec)[-MOST_ATTEMPTS:], ATTEMPT)[::-1]


def _compared(record: Record, key: Key) -> list[str]:
    """What it is compared with: its reference, when that is another attempt."""
    before = [f"{key.spec}/{record.comparison.reference}"] if record.comparison else []
    return [*before, f"{key.spec}/{key.attempt}"]


def _command(verb: str, spec: str, at: Desk) -> str:
    return f"executor {verb} {spec} --store {shlex.quote(at.store.url)}"


def _signature(at: Desk, record: Record) -> Standing:
    data = at.store.get_record(record.spec_hash, record.attempt)
    return standing(record, data, at.store, at.keys.trusted())


def _parted(at: Desk, record: Record) -> Mapping[str, Any]:
    """Where it parted from the reference, as a diagnosis or the comparison says; empty when it did not."""
    if record.comparison is None or record.comparison.verdict not in ("different", "close"):
        return {}
    diagnosis = at.store.diagnosis(record.spec_hash, record.attempt)
    found: Mapping[str, Any] = json.loads(diagnosis) if diagnosis else divergence(record.comparison)
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def _curves(at: Desk, record: Record) -> tuple[list[Drawn], str]:
    """The curves of a run, or why there are none."""
    if record.series and record.series.size > MOST_TABLE:
        return [], "This run reported too much to draw all of it here; the comparison of runs draws one metric of it."
    with suppress(NotFound):
        table = table_of(at.store, record)
        names = [name for name, one in known(io.BytesIO(table), record.attempt).items() if one.points > 1]
        left = f"{len(names) - MOST_CURVES} more are not drawn here." if len(names) > MOST_CURVES else ""
        return [drawn(table, name, record.attempt) for name in names[:MOST_CURVES]], left
    return [], ""


@dataclass(frozen=True)
class Section:
    """Facts of one kind."""

    title: str
    facts: Mapping[str, Any]


def _environment(record: Record) -> Iterator[Section]:
    seen = record.fingerprint
    host, engine, image, inside = seen.host, seen.engine, seen.image, seen.container
    gpus = [f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB" for gpu in host.gpus] or ["none"]
    yield _section("Machine", host=host.hostname, system=host.os, kernel=host.kernel, cpu=host.cpu_model,
                   cpus=len(host.cpus), isa=", ".join(host.isa), memory=f"{host.memory / 2**30:.1f} GiB",
                   gpu="; ".join(gpus), driver=host.gpu_driver)  # fmt: skip
    yield _section("Engine", engine=f"{engine.name} {engine.version}", storage=engine.storage_driver,
                   cgroup=engine.cgroup_version, image=image and f"{record.hints.image}@{image.digest}",
                   from_=image and image.source)  # fmt: skip
    if inside is None:
        return
    yield _section("In the container", python=inside.python, glibc=inside.glibc, torch=inside.torch,
                   cuda=inside.torch_cuda, cudnn=inside.cudnn, nccl=inside.nccl, cublas=inside.cublas,
                   threads=inside.threads, isa=inside.isa, not_looked_at=inside.reason)  # fmt: skip
    yield Section("Determinism settings", inside.settings)
    yield Section("Variables", inside.environment)
    yield Section("Python packages", inside.distributions)


def _section(title: str, **facts: Any) -> Section:
    return Section(title, {name.strip("_").replace("_", " "): value for name, value in facts.items() if value})


# Which run ---------------------------------------------------------------------------------------------------------


def _digest(word: str) -> Digest:
    try:
        return Digest(word.removeprefix("sha256:"))
    except ValueError as error:
        raise NotFound(f"{word[:80]} is no digest") from error


def _spec(request: Request) -> Digest:
    """A spec hash, or the only one that begins so."""
    word, store = request.path_params["spec"], desk.of(request).store
    if len(word) == 64:
        return _digest(word)
    found = list(store.spec_hashes(word)) if len(word) >= 6 else []
    if len(found) != 1:
        raise NotFound(f"{word[:64]}: {len(found) or 'no'} runs begin so", advice="give more digits of the spec hash")
    return found[0]


routes = (
    Route("/runs/{spec}", first), Route("/runs/{spec}/{attempt}", run), Route("/runs/{spec}/{attempt}/log", log),
    Route("/files/{digest}", file),
)  # fmt: skip
