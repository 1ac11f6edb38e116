"""A run that is going on, seen from a folder that its program writes to and from the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from executor.dashboard import follow
from executor.dashboard.follow import Follower, Tail
from executor.dashboard.going import going, holder, space_of
from executor.evidence.trace import STRUCT
from executor.spec.canonical import Digest, spec_hash
from executor.steps.workspace import Workspace, _locked
from executor.store import layout
from executor.store.changes import Key
from executor.store.lease import Lease
from tests.fakes import NOON
from tests.unit.dashboard.conftest import World

SPEC = {"command": ["python", "train.py"], "outputs": {"metrics": "metrics.jsonl"}, "seed": 1}
ATTEMPT = "20260101T120000Z-00000001"


@pytest.fixture
def space(world: World) -> Iterator[Workspace]:
    """The folder of an attempt that a process works on."""
    space = Workspace(world.home.attempts / ATTEMPT)
    for folder in (space.outputs, space.control, space.report):
        folder.mkdir(parents=True)
    (space.control / "spec.json").write_text(json.dumps(SPEC))
    with ExitStack() as stack:
        stack.enter_context(_locked(space.folder / "lock"))
        yield space


def follower(world: World) -> Follower:
    return Follower(world.desk, Key(spec_hash(SPEC).hex, ATTEMPT))


def seen(one: Follower) -> dict[str, Any]:
    return dict(one.look())


def test_a_run_of_this_machine_is_listed_while_somebody_works_on_it(world: World, space: Workspace) -> None:
    (one,) = going(world.desk)
    assert (one.spec, one.attempt, one.command, one.here) == (spec_hash(SPEC).hex, ATTEMPT, "python train.py", True)
    assert one.since == NOON
    assert "python train.py" in world.page("/live")
    space.keep()  # its result waits to be published: it does not run
    assert going(world.desk) == []


def test_a_folder_that_nobody_works_on_is_no_run(world: World, space: Workspace) -> None:
    left = Workspace(world.home.attempts / "20260101T120000Z-00000002")
    left.folder.mkdir()
    (left.folder / "lock").touch()
    assert [one.attempt for one in going(world.desk)] == [ATTEMPT]
    assert space_of(world.home, "..") is None


def test_a_run_elsewhere_is_seen_by_its_lease(world: World) -> None:
    world.ran()  # a spec that the index knows
    spec = Digest("d" * 64)
    Lease(world.store, layout.lease(spec), lambda: ATTEMPT, lambda: NOON).take()
    assert [(one.spec, one.attempt, one.here) for one in going(world.desk)] == [(spec.hex, ATTEMPT, False)]
    lease = Lease(world.store, layout.lease(spec), lambda: ATTEMPT, lambda: NOON)
    lease.attempt = ATTEMPT
    lease.release()
    assert (going(world.desk), holder(world.store, spec)) == ([], None)


def test_the_log_comes_in_lines_and_what_has_no_end_yet_apart(world: World) -> None:
    one, spec = follower(world), spec_hash(SPEC)
    for number, data in enumerate((b"hello\n 5%\r", b" 9%", b"\n\xc3", b"\xa9\x1b[2J\n")):
        world.store.put_log(spec, ATTEMPT, number, data)
    found = [data for name, data in one.look() if name == "log"]
    assert "".join(part["lines"] for part in found) == "hello\n 9%\né\n"
    assert [part["rest"] for part in found] == [" 5%", " 9%", "", ""]
    assert [part["next"] for part in found] == [1, 2, 3, 4]
    assert "log" not in seen(one)


def test_metrics_come_as_they_are_written_whole_lines_only(world: World, space: Workspace) -> None:
    one, file = follower(world), space.outputs / "metrics.jsonl"
    assert "metrics" not in seen(one)
    file.write_text('{"step": 0, "loss": 2.0}\n{"step": 1, "lo')
    assert seen(one)["metrics"] == {"loss": [(0, 2.0)]}
    with file.open("a") as more:
        more.write('ss": NaN}\n')
    space.printed.write_text('{"val": 0.5}\n')
    assert seen(one)["metrics"] == {"loss": [(1, None)], "val": [(None, 0.5)]}
    assert "metrics" not in seen(one)


def test_of_many_points_few_are_told_and_the_last_is_among_them(world: World, space: Workspace) -> None:
    (space.outputs / "metrics.jsonl").write_text("".join(f'{{"step": {n}, "x": {n}}}\n' for n in range(5000)))
    points = seen(follower(world))["metrics"]["x"]
    assert len(points) <= follow.MOST_POINTS
    assert points[-1] == (4999, 4999.0)


def test_the_trace_says_how_far_it_is(world: World, space: Workspace) -> None:
    row = [0] * 13
    rows = [STRUCT.pack(step, *row[:-1], 0) for step in (-1, 0, 1)]
    (space.report / "trace-0.bin").write_bytes(b"".join(rows) + b"half a row")
    (space.report / "trace-0.1.bin").write_bytes(b"")
    found = seen(follower(world))["trace"]
    assert found == {"0": {"steps": 2, "parameters": "0" * 16}, "0.1": {}}


def test_links_and_devices_of_the_program_are_not_followed(world: World, space: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"step": 0, "secret": 42}\n')
    (space.outputs / "metrics.jsonl").symlink_to(secret)
    (space.outputs / "folder").symlink_to(tmp_path)
    (space.report / "trace-0.bin").symlink_to(secret)
    assert "secret" not in json.dumps(seen(follower(world)))
    assert Tail("folder/secret.jsonl").lines(space.outputs) == b""
    (space.outputs / "metrics.jsonl").unlink()
    (space.outputs / "metrics.jsonl").mkdir()
    assert "metrics" not in seen(follower(world))


def test_of_a_large_file_the_end_is_read_and_a_line_without_an_end_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MOST_READ", 10)
    (tmp_path / "x").write_bytes(b"a" * 95 + b"\nbcd\n")
    tail = Tail("x")
    assert tail.lines(tmp_path) == b"aaaaa\nbcd\n"
    with (tmp_path / "x").open("ab") as more:
        more.write(b"y" * 25 + b"\nend\n")
    assert [tail.lines(tmp_path) for _ in range(3)] == [b"", b"", b"yyyyy\nend\n"]
    (tmp_path / "x").write_bytes(b"new\n")  # begun anew
    assert tail.lines(tmp_path) == b"new\n"


def test_the_record_ends_it(world: World, space: Workspace) -> None:
    one, spec = follower(world), spec_hash(SPEC)
    world.store.put_log(spec, ATTEMPT, 0, b"bye\n")
    assert seen(one)["state"] == {"here": True, "held": True}
    world.store.put_record(spec, ATTEMPT, b"{}")
    last = list(one.look())[-1]
    assert last == ("end", {"url": f"/runs/{spec.hex}/{ATTEMPT}", "text": "It has ended."})
    events = world.get(f"/live/{spec.hex}/{ATTEMPT}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.text.startswith('id: 1\nevent: log\ndata: {"lines": "bye\\n"')
    assert events.text.endswith("\n\n")
    again = world.get(f"/live/{spec.hex}/{ATTEMPT}/events", {"last-event-id": "1"})
    assert "event: log" not in again.text
    assert world.get(f"/live/{spec.hex}/{ATTEMPT}").headers["location"] == f"/runs/{spec.hex}/{ATTEMPT}"


def test_an_attempt_that_was_lost_ends_with_a_later_one(world: World) -> None:
    spec = spec_hash(SPEC)
    world.store.put_record(spec, "20270101T120000Z-00000001", b"{}")
    assert "lost" in seen(follower(world))["end"]["text"]


def test_a_run_of_which_there_is_no_trace_is_not_found(world: World) -> None:
    assert world.get(f"/live/{'a' * 64}/{ATTEMPT}").status_code == 404
    assert world.get(f"/live/{'a' * 64}/{ATTEMPT}/events").status_code == 404


def test_a_live_run_is_where_its_page_would_be(world: World) -> None:
    spec = spec_hash(SPEC)
    world.store.put_log(spec, ATTEMPT, 0, b"hello\n")
    target = f"/live/{spec.hex}/{ATTEMPT}"
    for url in (f"/runs/{spec.hex}", f"/runs/{spec.hex}/{ATTEMPT}"):
        assert world.get(url).headers["location"] == target
    assert "Log" in world.page(target)
