"""The sentence, top to bottom: a spec is checked, becomes a plan, runs in a container, and its record is written last.

`submit` answers from the store or runs the spec; `rerun` runs a stored spec again and holds it against its reference.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from executor.engine.how import WATCHED, How
from executor.engine.plan import make_plan
from executor.errors import EngineUnreachable, NotFound
from executor.evidence.record import Record
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.foresee import foresee
from executor.steps.history import finished, spec_of
from executor.steps.listen import listen
from executor.steps.prepare import place, ready, take_inputs, write_control
from executor.steps.publish import Ended, publish
from executor.steps.report import heard
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
    """Answer from the store when the spec has succeeded before, else run it."""
    _tidy(site)
    known = finished(site.store, spec.hash)
    if known and not options.force:
        return Result(known, cached=True, url=site.store.attempt_url(spec.hash, known.attempt))
    return execute(spec, site, options, reference=known, rerun=False)


def rerun(spec_hash: Digest, site: Site, options: Options) -> Result:
    """Run a stored spec again, with its code and its reference from the store, and compare bit for bit.

    Raises `NotFound` when no attempt of it has succeeded.
    """
    _tidy(site)
    reference = finished(site.store, spec_hash)
    if reference is None:
        raise NotFound(
            f"{spec_hash.hex[:12]}: no attempt of this spec has succeeded and is whole in the store",
            advice="a rerun needs a result to be held against; `executor show` says how the attempts ended",
        )
    return execute(spec_of(site.store, reference), site, options, reference=reference, rerun=True)


def execute(spec: Spec, site: Site, options: Options, *, reference: Record | None, rerun: bool) -> Result:
    """Run `spec` once and return the record that was stored: contents first, the record last.

    A failing program is a record; only our own failures raise.
    """
    if options.twin:
        twins(spec, site, options, options.twin)
    with open_workspace(site.home, site.new_attempt()) as space, site.stop.put_off() as stop:
        ended = perform(spec, site, options, space, stop, reference=reference, rerun=rerun)
        site.reporter.stage("keeping the result")
        with space.kept_on_failure():
            record = publish(ended, space, site)
    return Result(record, cached=False, url=site.store.attempt_url(spec.hash, record.attempt))


def perform(
    spec: Spec, site: Site, options: Options, space: Workspace, stop: Event, *, reference: Record | None, rerun: bool
) -> Ended:
    """Run `spec` once in `space`, and keep nothing yet.

    (1) The environment is checked against the spec, and against the reference's for a rerun; the image is in the
    engine. (2) Code and data are what the spec names. (3) A rerun's outcome is predicted. (4) The plan says exactly
    what the engine is asked. (5) It runs. (6) What the container saw of itself agrees.
    """
    tell, attempt, how = site.reporter.stage, space.folder.name, options.how
    before, allow = reference if rerun else None, options.allow
    tell(f"checking the environment, image {spec.image.pinned}")
    here = ready(spec, site, allow, before)  # (1)
    tell("inputs")
    inputs = take_inputs(spec, site, space, reference)  # (2)
    placement = place(spec, here, space, inputs.folders, cpus=how.cpus)
    bench, predicted = Bench(here.image, placement), None
    if before and options.predict:
        predicted = foresee(spec, before, here, bench, options, space, site)  # (3)
    plan = make_plan(spec, placement, how, allow=allow)  # (4)
    write_control(plan, site.inside, space)
    tell(f"running, attempt {attempt}")
    with listen(spec, space, site) as listener:
        outcome, inside = site.engine.run(plan, here.image, log=listener.write, stop=stop)  # (5)
    outcome = listener.heard(outcome)
    seen = heard(spec, here, space.report, inside=inside, reference=before, allow=allow,
                 varied=bool(how.varied))  # fmt: skip  # (6)
    able = bench if inside else None
    return Ended(spec, attempt, outcome, seen, inputs, allow, reference, rerun, how, predicted, able)


def _tidy(site: Site) -> None:
    """Remove what a killed executor left, at every start; an engine that is away has it removed at the next one."""
    with suppress(EngineUnreachable):
        sweep(site.home, lambda: site.engine)
