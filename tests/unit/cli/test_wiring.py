from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from executor.cli import wiring
from executor.errors import Interrupted
from executor.steps.site import Stop
from executor.store.server import Server, ServerInfo
from tests.ran import Ran
from tests.unit.cli.conftest import Run
from tests.unit.sites import World


def test_the_option_counts_more_than_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXECUTOR_STORE", f"file:{tmp_path / 'variable'}")
    assert wiring.store(None).url == f"file:{tmp_path / 'variable'}"
    assert wiring.store(f"file:{tmp_path / 'option'}").url == f"file:{tmp_path / 'option'}"


def test_a_store_that_is_none_is_said_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_STORE", "nonsense")
    ran: Ran = run("ls", "--json")
    assert (ran.code, ran.json["error"], ran.json["message"]) == (
        2,
        "UsageError",
        "'nonsense' is not the URL of a store",
    )


def test_with_no_store_named_the_server_is_started_once_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[ServerInfo] = []
    info = ServerInfo(endpoint="http://127.0.0.1:9", access_key="k", secret_key="s", pid=1)

    def start(_: Server) -> ServerInfo:
        started.append(info)
        return info

    monkeypatch.delenv("EXECUTOR_STORE", raising=False)
    monkeypatch.setenv("EXECUTOR_HOME", str(tmp_path))
    monkeypatch.setattr(Server, "running", lambda _: started[0] if started else None)
    monkeypatch.setattr(Server, "start", start)
    assert wiring.store(None).url == wiring.store(None).url == info.url
    assert len(started) == 1
    assert capsys.readouterr().err.count("starting an S3 server") == 1


# Signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_once_and_is_an_error_with_a_code(wired: World, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="nothing of this attempt was kept"), wiring.watched(None, quiet=True):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_during_a_run_is_put_off_and_told(wired: World, capsys: pytest.CaptureFixture[str]) -> None:
    with wiring.watched(None, quiet=True) as site, site.stop.put_off() as event:
        os.kill(os.getpid(), signal.SIGINT)
        assert event.is_set()
    assert capsys.readouterr().err == "stopping the run; once more to leave at once\n"
    assert isinstance(site.stop, Stop)
