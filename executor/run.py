"""The sentence, top to bottom: a spec is checked, becomes a plan, runs in a container, and its record is written last.

`submit` answers from the store or runs the spec; `rerun` runs a stored spec again and holds it against its reference.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from executor.engine.how import WATCHED, How
from executor.engine.plan import make_plan
from executor.errors import EngineUnreachable, NotFound
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.disk import watched
from executor.steps.foresee import foresee
from executor.steps.history import finished, spec_of
from executor.steps.holding import Free, hold
from executor.steps.keeping.archiving import archive
from executor.steps.listen import listen
from executor.steps.prepare import place, ready, take_inputs, write_control
from executor.steps.publish import publish
from executor.steps.recorded import Ended
from executor.steps.report import heard
from executor.steps.secrets import laid_out
from executor.steps.signed import signing
from executor.steps.signed.attest import ready_to_sign, trusted_result
from executor.steps.site import Site
from executor.steps.tool import Bench
from executor.steps.workspace import Workspace, open_workspace, sweep
from executor.twin import twins


@dataclass(frozen=True)
class Options:
    """What the user may ask for beside the spec."""

    force: bool = False
    """Run again even when a result is in the store."""
    allow: frozenset[str] = frozenset()
    """Fields that may differ from what the spec, or the reference, says."""
    how: How = WATCHED
    """How the run is watched, and what is varied in it."""
    predict: bool = True
    """Whether the outcome of a rerun is predicted."""
    archive: frozenset[str] = frozenset()
    """What else is kept in the store, so that a rerun needs nothing else: `image`, `data`."""
    wait: bool = True
    """Whether a spec that another executor runs is waited for."""
    require_signed: bool = False
    """Whether only results signed by a trusted key are reused and compared with."""
    twin: int | None = None
    """Steps that are run twice beforehand, to see whether the program repeats itself at all."""


@dataclass(frozen=True)
class Result:
    """What came of a submit or a rerun."""

    record: Record
    cached: bool
    """True when it was in the store and nothing ran."""
    url: str
    """Where the attempt is in the store."""


def submit(spec: Spec, site: Site, options: Options) -> Result:
    """Answer from the store when the spec has succeeded before, else run it; one executor at a time does."""
    _tidy(site)
    find = _finder(site, options)
    known = find(spec.hash)
    if known and not options.force:
        return _cached(known, spec, site, options)
    with hold(spec.hash, site, known, find, wait=options.wait, force=options.force) as held:
        if held.known and not options.force:
            return _cached(held.known, spec, site, options)
        if held.inherited:
            _tidy(site)  # of whoever was killed while we waited
        return execute(spec, site, options, held, reference=held.known, rerun=False)


def _finder(site: Site, options: Options) -> Callable[[Digest], Record | None]:
    """Finds the result of a spec that counts: whatever is whole, or only what a trusted key signed."""
    if options.require_signed:
        return partial(trusted_result, site, needed=not options.force)
    return partial(finished, site.store)


def _cached(known: Record, spec: Spec, site: Site, options: Options) -> Result:
    """The result that there is; what is to be archived of it is, if it was not yet."""
    archive(spec, site, options.archive, known.fingerprint.image)
    return Result(known, cached=True, url=site.store.attempt_url(known.spec_hash, known.attempt))


def rerun(spec_hash: Digest, site: Site, options: Options) -> Result:
    """Run a stored spec again, with its code and its reference from the store, and compare bit for bit.

    Raises `NotFound` when no attempt of it has succeeded.
    """
    _tidy(site)
    reference = _finder(site, options)(spec_hash)
    if reference is None:
        raise NotFound(
            f"{spec_hash.hex[:12]}: no attempt of this spec has succeeded and is whole in the store",
            advice="a rerun needs a result to be held against; `executor show` says how the attempts ended",
        )
    free = Free(site.new_attempt())
    return execute(spec_of(site.store, reference), site, options, free, reference=reference, rerun=True)


def execute(spec: Spec, site: Site, options: Options, held: Free, *, reference: Record | None, rerun: bool) -> Result:
    """Run `spec` once and return the record that was stored: contents first, the record last.

    A failing program is a record; only our own failures raise.
    """
    ready_to_sign(site)
    if options.twin:
        twins(spec, site, options, options.twin)
    room = spec.resources.disk
    with (
        open_workspace(site.home, held.attempt, disk=room, environment=site.environment) as space,
        site.stop.put_off() as stop,
    ):
        ended = perform(spec, site, options, space, stop, reference=reference, rerun=rerun)
        ended = replace(ended, lease=held.findings(), require_signed=options.require_signed)
        if ended.outcome.interrupted:
            held.release()  # at once: to keep what it left can take long
        site.reporter.stage("keeping the result")
        with space.kept_on_failure(spec.hash):
            record = publish(ended, space, site)
    return Result(record, cached=False, url=site.store.attempt_url(spec.hash, record.attempt))


def perform(
    spec: Spec, site: Site, options: Options, space: Workspace, stop: Event, *, reference: Record | None, rerun: bool
) -> Ended:
    """Run `spec` once in `space`, and keep nothing yet.

    (1) The environment is checked against the spec, and against the reference's for a rerun; the image is in the
    engine. (2) Code and data are what the spec names; what is asked for is archived. (3) A rerun's outcome is
    predicted. (4) The plan says exactly what the engine is asked. (5) It runs. (6) What the container saw agrees.
    """
    tell, attempt, how = site.reporter.stage, space.folder.name, options.how
    before, allow, secrets = reference if rerun else None, options.allow, site.secrets.only(spec.secrets)
    tell(f"checking the environment, image {spec.image.pinned}")
    here = ready(spec, site, allow, before).on(space.disk)  # (1)
    tell("inputs")
    inputs = take_inputs(spec, site, space, reference)  # (2)
    archive(spec, site, options.archive, here.image, inputs)  # before the run: what cannot be had is known at once
    placement = place(spec, here, space, inputs.folders, cpus=how.cpus)
    bench, predicted = Bench(here.image, placement), None
    if before and options.predict:
        predicted = foresee(spec, before, here, bench, options, space, site)  # (3)
    with laid_out(secrets, attempt, local=here.local) as files:
        plan = make_plan(spec, replace(placement, secrets=files), how, allow=allow)  # (4)
        write_control(plan, site.inside, space)
        tell(f"running, attempt {attempt}")
        signing.warm()  # while the container runs
        with (
            listen(spec, space, site) as listener,
            watched(space.disk, stop) as watch,
            space.engaged(site.engine, tell),
        ):
            outcome, inside = site.engine.run(plan, here.image, log=listener.write, stop=watch.stop)  # (5)
    outcome = watch.judged(listener.heard(outcome))
    seen = heard(spec, here, space.report, inside=inside, reference=before, allow=allow,
                 varied=bool(how.varied))  # fmt: skip  # (6)
    able = bench if inside else None
    return Ended(spec, attempt, outcome, seen, inputs, allow, reference, rerun, how, predicted, able)


def _tidy(site: Site) -> None:
    """Remove what a killed executor left, at every start; an engine that is away has it removed at the next one."""
    with suppress(EngineUnreachable):
        sweep(site.home, lambda: site.engine)
