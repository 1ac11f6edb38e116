"""The first half of the sentence: what is here, whether it is what the spec asks for, and the inputs put in place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import executor.environment.gpu as gpus
from executor.engine import images
from executor.engine.inputs import PreparedCode, PreparedData, prepare_code, prepare_data
from executor.engine.plan import Placement, Plan, make_plan
from executor.environment import host as hosts
from executor.environment import verify
from executor.environment.checks import StoreFacts, mismatch
from executor.environment.launch import choose_gpus
from executor.errors import EnvironmentMismatch, InputMismatch, StoreUnreachable, UsageError
from executor.evidence.record import Record
from executor.facts import Finding, Fingerprint, GpuFacts, ImageFacts, is_local, refused
from executor.spec.canonical import Digest
from executor.spec.model import Data, Spec
from executor.spec.tree import HashCache
from executor.steps.disk import Disk
from executor.steps.firstuse import faults
from executor.steps.home import Home
from executor.steps.keeping.trees import restorer
from executor.steps.secrets import folder_of
from executor.steps.site import Site
from executor.steps.workspace import Workspace, hand_over
from executor.store.interface import Store, StoreCheck
from executor.store.transfer import look_twice

DISK_NEEDED = 1 << 30
"""Bytes that a run is expected to need for its outputs, beside its data."""

UNBENDING = frozenset(
    {"engine", "host", "gpu.count", "gpu.requests", "memory", "disk", "store", "store.capabilities", "image.digest",
     "image.architecture", "clock"}
)  # fmt: skip
"""Fields whose difference would only fail later when it is accepted."""


@dataclass(frozen=True)
class Environment:
    """What was observed, and what was found wrong with it."""

    fingerprint: Fingerprint
    image: ImageFacts
    findings: tuple[Finding, ...]
    gpus: tuple[GpuFacts, ...]
    """Those the run gets."""

    @property
    def local(self) -> bool:
        """Whether the engine is on this machine."""
        return self.fingerprint.engine.local

    def on(self, disk: Disk) -> Environment:
        """With the finding that says how the run is kept from filling this machine."""
        return replace(self, findings=(*self.findings, disk.finding(local=self.local)))


@dataclass(frozen=True)
class Blobs:
    """The store's blobs, as the engine room reads and writes them."""

    store: Store

    def open(self, digest: Digest) -> BinaryIO:
        """Verifying stream of a blob."""
        return self.store.open_blob(digest)

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob; none when the store does not hold it."""
        return self.store.blob_size(digest)

    def put(self, path: Path, digest: Digest, size: int) -> None:
        """Keep a file under its digest."""
        self.store.put_blob(path, digest, size)


def ready(spec: Spec, site: Site, allow: frozenset[str], reference: Record | None) -> Environment:
    """Check everything before anything big is fetched, have the engine hold the image, and check again with it.

    Raises `EnvironmentMismatch` with every finding; a rerun's `reference` is compared with too.
    """
    seen = observe(site)
    store = tried(site)
    image = images.held(site.engine, spec.image.pinned, Blobs(site.store))
    _check(spec, seen, image, store, allow, reference)
    image = images.resolve(site.engine, spec.image, Blobs(site.store), site.reporter.progress)
    findings = _check(spec, seen, image, store, allow, reference)
    seen = seen.model_copy(update={"image": image})
    chosen = choose_gpus(spec, seen.host, allow) if seen.engine.local else ()
    return Environment(seen, image, tuple(findings), chosen)


def observe(site: Site) -> Fingerprint:
    """Look at host, GPUs and engine."""
    return Fingerprint(host=hosts.read(site.now(), site.home.root, gpus.look()), engine=site.engine.observe())


def tried(site: Site) -> StoreFacts:
    """The site's store, and what it cannot do; all that safe results need is tried on its first use only."""
    found = site.store.check(site.now())
    facts = store_facts(found)
    if not found.writable:
        return facts
    return facts.model_copy(
        update={"faults": faults(site, again=not found.conditional), "single_writer": site.store.single_writer}
    )


def store_facts(found: StoreCheck) -> StoreFacts:
    """What a check of a store found, in the words of the environment room."""
    return StoreFacts(
        address=found.url,
        reachable=found.reachable,
        writable=found.writable,
        skew_s=found.clock_skew_s,
        problem=found.problem,
        advice=found.advice,
    )


def _check(
    spec: Spec, seen: Fingerprint, image: ImageFacts | None, store: StoreFacts, allow: frozenset[str],
    reference: Record | None,
) -> list[Finding]:  # fmt: skip
    findings = verify.before_launch(
        spec, seen.host, seen.engine, image=image, store=store, disk_needed=DISK_NEEDED, allow=allow
    )
    if reference is not None:
        now = seen.model_copy(update={"image": image})
        findings += verify.against_reference(spec, reference.fingerprint, now, allow)
    refuse(findings)
    return findings


def refuse(findings: list[Finding]) -> None:
    """Raise `EnvironmentMismatch` when a finding stops the run; `StoreUnreachable` when it is the store alone."""
    bad = refused(findings)
    if not bad:
        return
    advice = bad[0].advice or "use another host"
    if [one.field for one in bad] == ["store"]:
        raise StoreUnreachable(bad[0].observed, advice=advice)
    if names := " ".join(f"--allow {one.field}" for one in bad if one.field not in UNBENDING):
        advice += f"; or accept the difference: {names}"
    message = "\n".join(f"{f.field}: expected {f.expected}, found {f.observed}" for f in bad)
    raise EnvironmentMismatch(message, findings=findings, advice=advice)


def place(
    spec: Spec, here: Environment, space: Workspace, data: Mapping[str, Path], *, cpus: int | None = None
) -> Placement:
    """Choose CPUs (as many as the spec's threads, or `cpus`) and GPUs, and say where everything lies."""
    host, engine = here.fingerprint.host, here.fingerprint.engine
    usable = min(engine.cpus, len(host.cpus)) if engine.local else engine.cpus
    if cpus and cpus > usable:
        raise UsageError(f"--vary cpus={cpus}: there are {usable}", advice="vary it to fewer")
    return Placement(
        attempt=space.folder.name,
        image=here.image.id,
        work=space.work,
        disk=None if space.disk.own and engine.local else space.disk.size,
        data=data,
        cpus=choose_cpus(host.cpus if engine.local else (), engine.cpus, cpus or spec.cpu.threads),
        gpus=here.gpus,
        gpu_request=next(iter(engine.gpu_requests), "nvidia"),
        pythonpath=here.image.environment.get("PYTHONPATH", ""),
        limits=engine.name != "podman",
        remote=not engine.local,
    )


def choose_cpus(mine: tuple[int, ...], engine: int, threads: int) -> tuple[int, ...]:
    """The first `threads` CPUs that both this process and the engine may use."""
    usable = [cpu for cpu in mine if cpu < engine] or list(range(engine))
    return tuple(usable[:threads])


def preview(
    spec: Spec, home: Home, now: datetime, *, address: str, archive: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Everything that the engine at `address` would be asked for `spec`; nothing is made, started or fetched."""
    host, local = hosts.read(now, home.root, gpus.look()), is_local(address)
    placement = Placement(
        attempt="<attempt>",
        image=str(spec.image),
        work=Workspace(home.root / "attempts" / "<attempt>").work,
        data={name: Path(data.source or f"<data {data.hash}>") for name, data in spec.data.items()},
        cpus=choose_cpus(host.cpus, len(host.cpus), spec.cpu.threads) if local else tuple(range(spec.cpu.threads)),
        gpus=choose_gpus(spec, host) if local else (),
        secrets=folder_of("<attempt>") if spec.secrets else None,
        remote=not local,
    )
    plan = make_plan(spec, placement)
    return {
        "spec_hash": spec.hash.hex,
        "experiment_key": spec.experiment_key.hex,
        "image": str(spec.image),
        "code": spec.code.model_dump(mode="json") if spec.code else None,
        "data": {name: data.model_dump(mode="json") for name, data in spec.data.items()},
        "request": plan.request,
        "files": {name: json.loads(content) for name, content in plan.files.items()},
        "timeout_s": plan.timeout,
        "archive": _archived(spec, archive),
    }


def _archived(spec: Spec, parts: frozenset[str]) -> list[str]:
    """What the store would keep for a rerun: code always, image and data when asked."""
    code = ["code"] if spec.code else []
    image = ["image"] if "image" in parts else []
    return [*code, *image, *(f"data.{name}" for name in spec.data if "data" in parts)]


def write_control(plan: Plan, inside: Path, space: Workspace) -> None:
    """Put the control files and a copy of the inside room where the plan mounts them."""
    for name, content in plan.files.items():
        (space.control / name).write_bytes(content)
    for source in sorted(inside.rglob("*.py")):
        target = space.control / "inside" / source.relative_to(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (space.control / "report").mkdir()  # the report is mounted over it


def hash_cache(site: Site) -> HashCache:
    """The cache of file digests of this machine."""
    return HashCache(site.home.hashes, int(site.now().timestamp() * 1e9))


@dataclass(frozen=True)
class Inputs:
    """Code and data, put in place and verified."""

    code: PreparedCode | None
    """None when the spec names no code."""
    data: tuple[PreparedData, ...]

    @property
    def folders(self) -> dict[str, Path]:
        """Where each data tree lies."""
        return {data.name: data.path for data in self.data}

    def findings(self, spec: Spec) -> list[Finding]:
        """What was verified: one line for the code and one for each data tree, with where it came from."""
        code = [("code.commit", spec.code.commit, self.code.source)] if spec.code and self.code else []
        data = [(f"data.{one.name}.hash", str(one.tree.hash), one.source) for one in self.data]
        return [Finding(field=field, expected=pin, observed=f"{pin}, from: {source}", severity="info")
                for field, pin, source in code + data]  # fmt: skip


def take_inputs(spec: Spec, site: Site, space: Workspace, reference: Record | None) -> Inputs:
    """Put the commit's files at the attempt's `code`, and find or fetch every data tree.

    Raises `InputMismatch` (with its finding) when something is not what the spec names, `SourceUnreachable` when it is
    nowhere.
    """
    try:
        return _take_inputs(spec, site, space, reference)
    except InputMismatch as error:
        error.findings = (mismatch(error),)
        raise


def _take_inputs(spec: Spec, site: Site, space: Workspace, reference: Record | None) -> Inputs:
    code = None
    if spec.code:
        kept = reference.code if reference else None
        archive = (lambda: site.store.open_blob(kept.digest)) if kept else None
        with space.disk.holding("code"):
            take = partial(prepare_code, spec.code, space.code, site.home.code, env=site.environment, archive=archive)
            code = look_twice(take)  # an archive comes whole or not at all
        hand_over(space.code)
    return Inputs(code, tuple(take_data(name, wanted, site) for name, wanted in spec.data.items()))


def take_data(name: str, wanted: Data, site: Site) -> PreparedData:
    """The folder of a data tree: found here, restored from the store, or fetched."""
    hashes, count = hash_cache(site), counter(site, f"data {name}")
    archive = partial(restorer, site.store, wanted.hash, count)
    return prepare_data(name, wanted, site.home.trees, site.fetchers, hashes=hashes, progress=count, archive=archive)


def counter(site: Site, what: str, total: int = 0) -> Callable[[int], None]:
    """A callback that adds up bytes, from any thread, and shows them as the progress of `what`."""
    done, lock = 0, threading.Lock()

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            site.reporter.progress(what, done, total)

    return count
