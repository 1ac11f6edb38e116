import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from executor.log import configure, get_logger


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_events_are_json_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", json=True)
    get_logger("store").info("put", key="v1/x")
    out, err = capsys.readouterr()
    event = json.loads(err)
    assert out == ""
    assert {name: event[name] for name in ("event", "key", "room", "level")} == {
        "event": "put", "key": "v1/x", "room": "store", "level": "info",
    }  # fmt: skip
    assert event["timestamp"].endswith("Z")


def test_events_are_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    get_logger("store").debug("put", key="v1/\x1b[2Jx", problem="no answer from http://127.0.0.1:9/")
    assert capsys.readouterr() == ("", "debug: put key=v1/[2Jx\n")


def test_whoever_sets_nothing_up_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("store").info("put")
    get_logger("store").warning("lost")
    assert capsys.readouterr() == ("", "warning: lost\n")


def test_setting_up_imports_nothing() -> None:
    code = "import sys; from executor.log import configure; configure(); sys.exit('structlog' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_below_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", json=True)
    get_logger("store").info("put")
    assert capsys.readouterr().err == ""
    get_logger("store").warning("lost")
    assert "lost" in capsys.readouterr().err
