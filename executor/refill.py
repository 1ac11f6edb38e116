"""Lost outputs are made again: their spec runs once more, and what comes out with the right digests is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from executor.engine.outputs import collect
from executor.errors import EnvironmentMismatch, ImageNotFound, RegistryUnreachable, SourceUnreachable, UsageError
from executor.evidence.record import Record
from executor.log import get_logger
from executor.run import Options, perform
from executor.spec.canonical import Digest
from executor.spec.globs import role_of
from executor.spec.model import Spec
from executor.steps.history import spec_expected
from executor.steps.keeping.crosscheck import Fault
from executor.steps.keeping.repair import Refilled, blobs
from executor.steps.keeping.sources import Files
from executor.steps.recorded import beside, with_printed
from executor.steps.site import Site, Trying
from executor.steps.staging import LIMITS
from executor.steps.workspace import open_workspace

_NOT_HERE = (EnvironmentMismatch, ImageNotFound, RegistryUnreachable, SourceUnreachable, UsageError)
"""What stops one run, and need not stop another."""


def rerun_lost(
    site: Site, options: Options, faults: Sequence[Fault], records: Mapping[tuple[Digest, str], Record]
) -> list[Refilled]:
    """Run each spec again that lost blobs, one of its attempts for all; nothing is recorded, only blobs are refilled.

    A spec that cannot run here is told in the log and left as it is.
    """
    done: list[Refilled] = []
    tried: set[Digest] = set()
    for fault in faults:
        for hurt in fault.hurts if fault.digest else ():
            record = records.get((hurt.spec_hash, hurt.attempt)) if hurt.spec_hash else None
            if record is None or record.spec_hash in tried or fault.key in {one.key for one in done}:
                continue
            tried.add(record.spec_hash)
            try:
                done += _rerun(site, options, record, [one for one in faults if one.digest])
            except _NOT_HERE as error:
                get_logger("repair").warning("a run cannot be repeated here", spec=record.spec_hash.hex[:12],
                                             problem=error.message)  # fmt: skip
    return done


def _rerun(site: Site, options: Options, record: Record, faults: Sequence[Fault]) -> list[Refilled]:
    with spec_expected(site.store, record):
        spec = Spec.of_identity(record.spec, record.hints.model_dump())
    site.reporter.stage(f"running {spec.name} again")
    quiet = replace(site, reporter=Trying(site.reporter))  # its live log is nobody's
    room = spec.resources.disk
    with (
        open_workspace(site.home, site.new_attempt(), disk=room, environment=site.environment) as space,
        site.stop.put_off() as stop,
    ):
        ended = perform(spec, quiet, options, space, stop, reference=record, rerun=True)
        collected = collect(space.outputs, space.staging, lambda path: role_of(path, spec.outputs), LIMITS)
        with_printed(collected, space)
        kept = [path for path, _ in beside(ended, space).files.values()]
        return blobs(site, faults, [Files([space.staging, *kept], f"a rerun of {spec.hash.hex[:12]}")])
