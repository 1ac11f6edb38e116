"""A tool of the inside room, run in the run's own image, in a container and folders of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from executor.engine.how import WATCHED, How
from executor.engine.plan import Placement, tool_plan
from executor.facts import ImageFacts
from executor.spec.model import Spec
from executor.steps.prepare import write_control
from executor.steps.site import Site
from executor.steps.workspace import Workspace, hand_over


@dataclass(frozen=True)
class Bench:
    """Where tools of a run work: its image and its place."""

    image: ImageFacts
    placement: Placement


def bench_space(space: Workspace, name: str) -> Workspace:
    """Folders for a tool within those of an attempt."""
    tool = Workspace(space.work / name)  # on the disk of the attempt: a tool reads what is not trusted
    for folder in (tool.folder, tool.work, tool.code, tool.outputs, tool.control, tool.report):
        folder.mkdir()
    for folder in (tool.outputs, tool.report):
        hand_over(folder)
    return tool


def run_tool(
    spec: Spec, site: Site, bench: Bench, space: Workspace, tool: Workspace, name: str, request: Mapping[str, Any], *,
    data: Mapping[str, Path] | None = None, how: How = WATCHED,
) -> None:  # fmt: skip
    """Run the tool `name` of the attempt in `space`, with `data` at `/data`; what it says lies in `tool.report`.

    Raises `EngineUnreachable`.
    """
    placement = replace(bench.placement, work=tool.work, data=bench.placement.data if data is None else data)
    plan = tool_plan(spec, placement, name, request, how)
    write_control(plan, site.inside, tool)
    with space.engaged(site.engine, site.reporter.stage):
        site.engine.run(plan, bench.image, log=_unheard, stop=site.stop.event)


def _unheard(_: bytes) -> None:
    """A tool has nothing to say to the user."""
