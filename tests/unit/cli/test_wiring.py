from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from executor.cli import wiring
from executor.errors import Interrupted, NotFound, UsageError
from executor.spec.canonical import Digest
from executor.steps.site import Silent, Stop
from executor.steps.workspace import Home
from executor.store.layout import ATTEMPT
from executor.store.server import Server, ServerInfo
from tests.fakes import MemoryStore
from tests.ran import Ran
from tests.unit.cli.conftest import Run
from tests.unit.sites import World


def test_attempt_ids_sort_by_time_and_are_never_the_same() -> None:
    ids = [wiring.new_attempt() for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(ATTEMPT.fullmatch(one) and re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", one) for one in ids)


def test_the_home_is_what_the_user_named_or_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXECUTOR_HOME", "relative")
    monkeypatch.chdir(tmp_path)
    assert wiring.home() == Home(tmp_path / "relative")
    monkeypatch.delenv("EXECUTOR_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert wiring.home() == Home(tmp_path / "repro-executor")


def test_the_option_counts_more_than_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXECUTOR_STORE", f"file:{tmp_path / 'variable'}")
    assert wiring.store(None).url == f"file:{tmp_path / 'variable'}"
    assert wiring.store(f"file:{tmp_path / 'option'}").url == f"file:{tmp_path / 'option'}"


def test_values_of_secrets_come_from_variables_and_from_files_which_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"from a file\n")
    monkeypatch.setenv("EXECUTOR_SECRET_A", "from a variable")
    monkeypatch.setenv("EXECUTOR_SECRET_B", "another one")
    monkeypatch.setenv("EXECUTOR_STORE", f"file:{tmp_path}")
    here = wiring.site(None, secrets=(f"A={tmp_path / 'key'}",))
    assert here.secrets.values == {"A": b"from a file\n", "B": b"another one"}
    assert "from" not in repr(here.secrets)
    assert not any(name.startswith("EXECUTOR_SECRET_") for name in here.environment)


@pytest.mark.parametrize(("word", "said"), [("A", "expected NAME=FILE"), ("=x", "expected NAME=FILE"),
                                            ("A=/nonexistent", "No such file")])  # fmt: skip
def test_a_value_that_cannot_be_read_is_said_so(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wiring.secret_values((word,))


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


def test_a_site_asks_nobody_before_it_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("EXECUTOR_HOME", str(tmp_path / "home"))
    site = wiring.site(f"file:{tmp_path / 'store'}")
    assert (site.inside / "__main__.py").is_file()
    assert set(site.fetchers) == {"s3", "https"}
    assert isinstance(site.reporter, Silent)
    assert site.now().tzinfo is not None
    assert not (tmp_path / "home").exists()


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


# Hashes that are cut short -----------------------------------------------------------------------------------------


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for digits in ("a" * 64, "a" * 8 + "b" * 56, "c" * 64):
        store.put_log(Digest(digits), "x", 0, b"")
    return store


@pytest.mark.parametrize("text", ["cccccc", "CCCCCCCC", "sha256:cccccc", "c" * 64])
def test_a_unique_beginning_is_enough(store: MemoryStore, text: str) -> None:
    assert wiring.find_run(store, text) == Digest("c" * 64)


@pytest.mark.parametrize("text", ["", "ccccc", "c" * 65, "digits", "../../etc", "cccccc\n", "c" * 7 + "*"])
def test_what_is_no_hash_is_refused(store: MemoryStore, text: str) -> None:
    with pytest.raises(UsageError, match="not a spec hash"):
        wiring.find_run(store, text)


def test_a_beginning_that_two_share_asks_for_more(store: MemoryStore) -> None:
    with pytest.raises(UsageError, match=r"2 runs begin so: aaaaaaaaaaaa, aaaaaaaabbbb"):
        wiring.find_run(store, "aaaaaa")
    assert wiring.find_run(store, "aaaaaaaab") == Digest("a" * 8 + "b" * 56)


def test_a_run_that_is_not_there_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="no run of this hash in memory:"):
        wiring.find_run(store, "dddddd")


# Who submits -------------------------------------------------------------------------------------------------------


def test_who_submits_is_as_they_say_or_as_git_or_the_machine_knows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    for name, value in {"GIT_CONFIG_GLOBAL": config, "GIT_CONFIG_NOSYSTEM": 1, "LOGNAME": "al"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("EXECUTOR_USER", raising=False)
    monkeypatch.chdir(tmp_path)
    assert wiring.submitter() == "al"
    config.write_text("[user]\nname = Ada Lovelace\n")
    assert wiring.submitter() == "Ada Lovelace"
    config.write_text("[user]\nname = Ada Lovelace\nemail = ada@example.org\n")
    assert wiring.submitter() == "Ada Lovelace <ada@example.org>"
    monkeypatch.setenv("EXECUTOR_USER", "bob")
    assert wiring.submitter() == "bob"
    assert wiring.submitter("eve\x1b[31m\n of  two lines") == "eve of two lines"
    assert len(wiring.submitter("e" * 999)) == wiring.MOST_OF_NAME


def test_who_submits_is_nobody_where_nobody_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown() -> str:
        raise KeyError(4711)

    monkeypatch.setenv("PATH", str(tmp_path))  # there is no git
    monkeypatch.delenv("EXECUTOR_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", unknown)
    assert wiring.submitter() == ""
