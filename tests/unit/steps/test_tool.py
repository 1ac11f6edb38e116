from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.engine.how import How
from executor.engine.interface import LogSink
from executor.engine.plan import Plan
from executor.steps.prepare import place, ready
from executor.steps.tool import Bench, bench_space, run_tool
from executor.steps.workspace import Workspace, open_workspace
from tests.unit.sites import World, a_spec

SPEC = a_spec()


@pytest.fixture
def space(world: World) -> Iterator[Workspace]:
    with open_workspace(world.site.home, "attempt") as opened:
        yield opened


@pytest.fixture
def bench(world: World, space: Workspace, tmp_path: Path) -> Bench:
    here = ready(SPEC, world.site, frozenset(), None)
    return Bench(here.image, place(SPEC, here, space, {"digits": tmp_path / "digits"}))


def ran(world: World, bench: Bench, tool: Workspace, **more: Any) -> Plan:
    space = Workspace(tool.folder.parents[1])
    run_tool(SPEC, world.site, bench, space, tool, "numeric", {"paths": ["a"]}, **more)
    assert {*world.engine.removed} == {"attempt"}, "what the engine has of it goes by the attempt's name"
    return world.engine.plans[-1]


def mounts(plan: Plan) -> dict[str, str]:
    return {one["Target"]: one["Source"] for one in plan.request["HostConfig"]["Mounts"]}


def test_a_tool_has_folders_of_its_own_within_the_attempt_s(space: Workspace) -> None:
    tool = bench_space(space, "numeric")
    assert tool.folder == space.work / "numeric"
    assert all(one.is_dir() for one in (tool.code, tool.outputs, tool.control, tool.report))
    with pytest.raises(FileExistsError):
        bench_space(space, "numeric")


def test_it_runs_by_its_name_without_a_network_and_reads_what_was_asked(
    world: World, space: Workspace, bench: Bench
) -> None:
    tool = bench_space(space, "numeric")
    plan = ran(world, bench, tool)
    assert plan.request["Entrypoint"][-1] == "numeric"
    assert plan.request["HostConfig"]["NetworkMode"] == "none"
    assert json.loads((tool.control / "plan.json").read_text())["numeric"] == {"paths": ["a"]}


def test_it_works_in_its_own_folders_and_says_nothing_to_the_user(world: World, space: Workspace, bench: Bench) -> None:
    works: list[Path] = []

    def program(work: Path, log: LogSink) -> int:
        works.append(work)
        log(b"a tool speaks")
        return 0

    world.engine.program = program
    tool = bench_space(space, "numeric")
    plan = ran(world, bench, tool)
    assert works == [tool.work]
    assert mounts(plan)["/outputs"] == str(tool.outputs)
    assert world.watcher.printed == b""


def test_its_data_are_the_run_s_unless_it_is_given_others(
    world: World, space: Workspace, bench: Bench, tmp_path: Path
) -> None:
    assert mounts(ran(world, bench, bench_space(space, "one")))["/data/digits"] == str(tmp_path / "digits")
    given = mounts(ran(world, bench, bench_space(space, "two"), data={"reference": tmp_path}))
    assert {target: source for target, source in given.items() if target.startswith("/data")} == {
        "/data/reference": str(tmp_path)
    }


def test_it_is_varied_as_the_run_is(world: World, space: Workspace, bench: Bench) -> None:
    plan = ran(world, bench, bench_space(space, "numeric"), how=How(varied={"TZ": "Asia/Tokyo"}))
    assert "TZ=Asia/Tokyo" in plan.request["Env"]
