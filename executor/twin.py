"""Does a program repeat itself at all? Its first steps, or a part of it, run again and looked at, with nothing kept.

A trial is a run like any other, in a fresh container, whose outputs and traces are looked at and thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from executor.engine.how import How
from executor.engine.outputs import Collected, OutputLimits, collect
from executor.errors import NotRepeatable
from executor.evidence.divergence import Seen, explain
from executor.evidence.operations import Operation
from executor.evidence.trace import Trace, part
from executor.spec.globs import role_of
from executor.spec.model import Spec
from executor.steps.report import Heard
from executor.steps.site import Site, Trying
from executor.steps.traces import gather, operations
from executor.steps.workspace import open_workspace

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.run import Options


@dataclass(frozen=True)
class Trial:
    """What was seen of one trial."""

    trace: Trace | None
    outputs: Collected
    heard: Heard
    log: str
    """The end of what it printed."""
    operations: tuple[Operation, ...] = ()

    @property
    def result(self) -> dict[str, str]:
        """Path to digest of everything that counts."""
        return {file.path: str(file.digest) for file in self.outputs.files if file.role != "ignored"}


def attempt(
    spec: Spec, site: Site, options: Options, how: How, reference: Record | None = None, process: str = "0"
) -> Trial:
    """Run `spec` as `how` says, and keep nothing but what this returns."""
    from executor.run import perform  # which runs twins before it runs

    quiet = replace(site, reporter=Trying(site.reporter))
    tried = replace(options, how=how, predict=False, twin=None, archive=frozenset())
    with (
        open_workspace(site.home, site.new_attempt(), disk=spec.resources.disk, environment=site.environment) as space,
        site.stop.put_off() as stop,
    ):
        ended = perform(spec, quiet, tried, space, stop, reference=reference, rerun=reference is not None)
        collected = collect(space.outputs, space.staging, lambda path: role_of(path, spec.outputs), OutputLimits())
        captured = operations(space.report, process) if how.capture is not None else []
        return Trial(gather(space.report), collected, ended.heard, ended.outcome.log_tail, tuple(captured))


def twins(spec: Spec, site: Site, options: Options, steps: int) -> None:
    """Run the first `steps` optimizer steps twice; a program that takes none runs to its end.

    Raises `NotRepeatable` with where the two parted.
    """
    how = replace(options.how, stop_after=steps - 1, trace="tensors")
    site.reporter.stage(f"twin probe: {steps} steps, twice")
    one, other = (attempt(spec, site, options, how) for _ in range(2))
    nothing = Trace({})
    parting = part(one.trace or nothing, other.trace or nothing)
    stepped = bool(one.trace or other.trace)
    differing = sorted(path for path in one.result.keys() | other.result.keys()
                       if one.result.get(path) != other.result.get(path))  # fmt: skip
    if parting is None and (stepped or not differing):
        return
    seen = Seen(parting, stepped, (), (one.heard.proof, other.heard.proof), next(iter(differing), None))
    found = explain(seen)
    raise NotRepeatable(
        f"the program does not repeat itself: {found.reason}", divergence=found.model_dump(mode="json"),
        advice="seed what is not seeded, or leave out --twin and live with the difference",
    )  # fmt: skip
