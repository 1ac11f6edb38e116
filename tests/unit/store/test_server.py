from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from executor.errors import StoreUnreachable
from executor.store import server
from executor.store.server import Server


@pytest.fixture
def no_weed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_S", 0.0)


def test_without_the_binary_the_advice_says_what_to_do(no_weed: None, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable) as caught:
        Server(tmp_path / "s").start()
    assert "repro-executor[server]" in caught.value.advice
    assert "--store file:" in caught.value.advice


def test_a_binary_that_ends_at_once_is_reported_with_its_log(brief: None, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="does not answer") as caught:
        Server(tmp_path / "s", weed=Path("/bin/false")).start()
    assert str(tmp_path / "s" / "server.log") in caught.value.advice


def test_what_holds_keys_is_private_and_kept(brief: None, tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            Server(tmp_path, weed=Path("/bin/false")).start()
        keys.append(json.loads((tmp_path / "server.json").read_text()))
    assert keys[0] == keys[1]
    for name in ("server.json", "s3.json", "server.log"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_port_that_someone_has_taken_is_left_to_them(brief: None, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable):
        Server(tmp_path, weed=Path("/bin/false")).start()
    before = json.loads((tmp_path / "server.json").read_text())["ports"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["filer.port"]))
        other.listen()
        with pytest.raises(StoreUnreachable):
            Server(tmp_path, weed=Path("/bin/false")).start()
    after = json.loads((tmp_path / "server.json").read_text())["ports"]
    assert before.keys() == after.keys()
    assert before["filer.port"] not in after.values()


def test_stopping_what_does_not_run(tmp_path: Path) -> None:
    assert not Server(tmp_path / "nowhere").stop()
    assert not Server(tmp_path).stop()
    assert Server(tmp_path).running() is None


def test_a_process_that_was_just_started_lives(tmp_path: Path) -> None:
    for _ in range(50):
        pid = server._spawn(["/bin/sleep", "60"], tmp_path, tmp_path / "log")
        assert server._lives(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not server._lives(pid)
        os.waitpid(pid, 0)
