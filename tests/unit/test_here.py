from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from executor import here
from executor.errors import UsageError
from executor.steps.home import Home
from executor.steps.site import Silent, Stop
from executor.store import open_store
from executor.store.layout import ATTEMPT


def test_attempt_ids_sort_by_time_and_are_never_the_same() -> None:
    ids = [here.new_attempt() for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(ATTEMPT.fullmatch(one) and re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", one) for one in ids)


def test_the_home_is_what_the_user_named_or_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXECUTOR_HOME", "relative")
    monkeypatch.chdir(tmp_path)
    assert here.home() == Home(tmp_path / "relative")
    assert here.home(tmp_path) == Home(tmp_path)
    monkeypatch.delenv("EXECUTOR_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert here.home() == Home(tmp_path / "repro-executor")


def test_values_of_secrets_come_from_variables_and_from_files_which_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"from a file\n")
    monkeypatch.setenv("EXECUTOR_SECRET_A", "from a variable")
    monkeypatch.setenv("EXECUTOR_SECRET_B", "another one")
    store = open_store(f"file:{tmp_path}", {})
    site = here.site(store, Home(tmp_path), secrets=(f"A={tmp_path / 'key'}",))
    assert site.secrets.values == {"A": b"from a file\n", "B": b"another one"}
    assert "from" not in repr(site.secrets)
    assert not any(name.startswith("EXECUTOR_SECRET_") for name in site.environment)


@pytest.mark.parametrize(("word", "said"), [("A", "expected NAME=FILE"), ("=x", "expected NAME=FILE"),
                                            ("A=/nonexistent", "No such file")])  # fmt: skip
def test_a_value_that_cannot_be_read_is_said_so(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        here.secret_values((word,))


def test_a_site_asks_nobody_before_it_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    site = here.site(open_store(f"file:{tmp_path / 'store'}", {}), Home(tmp_path / "home"))
    assert (site.inside / "__main__.py").is_file()
    assert set(site.fetchers) == {"s3", "https"}
    assert isinstance(site.reporter, Silent)
    assert site.now().tzinfo is not None
    assert not (tmp_path / "home").exists()


# Who submits -------------------------------------------------------------------------------------------------------


def test_who_submits_is_as_they_say_or_as_git_or_the_machine_knows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    for name, value in {"GIT_CONFIG_GLOBAL": config, "GIT_CONFIG_NOSYSTEM": 1, "LOGNAME": "al"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("EXECUTOR_USER", raising=False)
    monkeypatch.chdir(tmp_path)
    assert here.submitter() == "al"
    config.write_text("[user]\nname = Ada Lovelace\n")
    assert here.submitter() == "Ada Lovelace"
    config.write_text("[user]\nname = Ada Lovelace\nemail = ada@example.org\n")
    assert here.submitter() == "Ada Lovelace <ada@example.org>"
    monkeypatch.setenv("EXECUTOR_USER", "bob")
    assert here.submitter() == "bob"
    assert here.submitter("eve\x1b[31m\n of  two lines") == "eve of two lines"
    assert len(here.submitter("e" * 999)) == here.MOST_OF_NAME


def test_who_submits_is_nobody_where_nobody_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown() -> str:
        raise KeyError(4711)

    monkeypatch.setenv("PATH", str(tmp_path))  # there is no git
    monkeypatch.delenv("EXECUTOR_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", unknown)
    assert here.submitter() == ""


def test_a_thread_that_no_signal_reaches_works_all_the_same() -> None:
    done = []

    def work() -> None:
        with here.stoppable(Stop(), print):
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
