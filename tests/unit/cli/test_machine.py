from pathlib import Path

import pytest

from executor.cli.machine import _which
from executor.store.server import Server, ServerInfo
from tests.unit.cli.conftest import Run
from tests.unit.sites import World

INFO = ServerInfo(endpoint="http://127.0.0.1:9", access_key="key", secret_key="secret", pid=7)


def test_doctor_says_what_runs_here(run: Run, wired: World) -> None:
    ran = run("doctor", "--json")
    assert (ran.code, ran.json["ready"]) == (0, True)
    assert {one["field"] for one in ran.json["findings"]} >= {"engine", "store", "disk", "tool.git"}
    assert "  ✓ engine: docker 28.2.2" in run("doctor").out
    assert "  ✓ store.race: one winner of 16, 3 times" in run("doctor").out


def test_doctor_ends_with_3_when_nothing_runs_here(run: Run, wired: World) -> None:
    wired.store.down = True
    ran = run("doctor", "--json")
    assert (ran.code, ran.json["ready"]) == (3, False)
    assert "  ✗ store: " in run("doctor").out


def test_tools_are_found_on_path_or_beside_this_python() -> None:
    assert _which("python") is not None
    assert _which("no-such-tool") is None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the server's process: holds what was asked of it."""
    asked: list[str] = []

    def start(_: Server) -> ServerInfo:
        asked.append("start")
        return INFO

    def stop(_: Server) -> bool:
        asked.append("stop")
        return "start" in asked

    monkeypatch.setattr(Server, "running", lambda _: INFO if "start" in asked else None)
    monkeypatch.setattr(Server, "start", start)
    monkeypatch.setattr(Server, "stop", stop)
    return asked


def test_serve_starts_once_and_prints_what_other_tools_need(run: Run, wired: World, server: list[str]) -> None:
    document = run("store", "serve", "--json").json
    assert (document["endpoint"], document["pid"]) == ("http://127.0.0.1:9", 7)
    assert document["environment"]["EXECUTOR_STORE"] == INFO.url
    ran = run("store", "serve")
    assert "export AWS_ACCESS_KEY_ID=key\n" in ran.out
    assert "127.0.0.1:9" in ran.err
    assert server == ["start"]


def test_serve_stops(run: Run, wired: World, server: list[str]) -> None:
    assert run("store", "serve", "--stop").err == "it was not running\n"
    run("store", "serve")
    assert run("store", "serve", "--stop", "--json").json == {"stopped": True}


def test_a_home_that_cannot_be_used_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXECUTOR_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("EXECUTOR_STORE", raising=False)
    ran = run("store", "serve", "--json")
    assert (ran.code, ran.json["error"]) == (2, "FileError")
    assert "file" in ran.json["message"]
