from datetime import UTC, datetime

import pytest

from executor.engine.outcome import at_end, never_started, stopped_by_others, vanished
from tests.fakes import NOON

STATE = {
    "ExitCode": 0, "OOMKilled": False,
    "StartedAt": "2026-01-01T12:00:00.123456789Z", "FinishedAt": "2026-01-01T12:00:02Z",
}  # fmt: skip


def test_a_clean_end_has_no_reason() -> None:
    found = at_end(STATE, timeout=None, interrupted=False)
    assert (found.exit_code, found.reason) == (0, "")
    assert found.started == datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)
    assert found.runtime_s == pytest.approx(1.876544)


@pytest.mark.parametrize(
    ("state", "timeout", "interrupted", "reason"),
    [
        ({"ExitCode": 137, "OOMKilled": True}, None, False, "more memory than resources.memory allows"),
        ({"ExitCode": 143}, 20, False, "time limit of 20 s"),
        ({"ExitCode": 143}, None, True, "stopped by the user"),
        ({"ExitCode": 139}, None, False, "ended by signal 11 (SIGSEGV)"),
    ],
)
def test_other_ends_say_why(state: dict[str, object], timeout: int | None, interrupted: bool, reason: str) -> None:
    found = at_end(STATE | state, timeout=timeout, interrupted=interrupted)
    assert reason in found.reason
    assert (found.timed_out, found.interrupted) == (timeout is not None, interrupted)


@pytest.mark.parametrize(("words", "code"), [("exec: not found", 127), ("permission denied", 126)])
def test_a_command_that_cannot_start_ends_as_in_a_shell(words: str, code: int) -> None:
    assert never_started(words, NOON).exit_code == code


@pytest.mark.parametrize("code", [0, 1, 128, 200, 255])
def test_what_no_signal_ended_has_no_reason(code: int) -> None:
    assert at_end(STATE | {"ExitCode": code}, timeout=None, interrupted=False).reason == ""


def test_a_container_that_is_gone_was_interrupted() -> None:
    assert vanished(NOON).interrupted
    assert vanished(NOON).exit_code is None


def test_a_container_that_still_runs_has_no_exit_status() -> None:
    found = at_end(STATE | {"Running": True, "FinishedAt": "0001-01-01T00:00:00Z"}, timeout=None, interrupted=False)
    assert (found.exit_code, found.interrupted, found.runtime_s) == (None, True, 0)
    assert "lost" in found.reason


def test_an_end_that_nobody_saw_is_no_success() -> None:
    """A restarted engine shows 0 for a container that it no longer found."""
    found = at_end(STATE | {"ExitCode": 0, "FinishedAt": "0001-01-01T00:00:00Z"}, timeout=None, interrupted=False)
    assert (found.exit_code, found.interrupted) == (None, True)


def test_times_with_an_offset_are_the_same_moment() -> None:
    state = STATE | {"StartedAt": "2026-01-01T14:00:00.5+02:00", "FinishedAt": "2026-01-01T14:00:01+02:00"}
    found = at_end(state, timeout=None, interrupted=False)
    assert found.started == datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC)
    assert found.runtime_s == 0.5


def test_an_end_by_a_signal_of_others_is_never_a_success() -> None:
    found = stopped_by_others(STATE)
    assert (found.exit_code, found.interrupted) == (0, True)
    assert "restarted" in found.reason
