"""The engine's account of a container becomes an outcome. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from signal import Signals
from typing import Any

from executor.facts import Outcome

LOST = "the engine was lost while the run went on"
_NEVER = "0001-01-01T00:00:00"
"""What the engine says of the start and the end of a container that has none: it did not see them."""
STOPPED = "someone else stopped the container, or the engine was restarted, while the run went on"


def never_started(problem: str, now: datetime) -> Outcome:
    """The engine could not start the command; its status is what a shell would give: 126, or 127 when not found."""
    code = 126 if "permission denied" in problem.lower() or "format error" in problem.lower() else 127
    return Outcome(exit_code=code, reason=f"the command could not be started: {problem}", started=now, finished=now)


def vanished(now: datetime) -> Outcome:
    """The container is gone, and nobody saw its end."""
    reason = "the container was removed by someone else"
    return Outcome(exit_code=None, interrupted=True, reason=reason, started=now, finished=now)


def stopped_by_others(state: Mapping[str, Any]) -> Outcome:
    """The exit status is an answer to a signal that was not ours, and says nothing of the program's work."""
    return Outcome(
        exit_code=state["ExitCode"],
        interrupted=True,
        reason=STOPPED,
        started=_when(state["StartedAt"]),
        finished=_when(state["FinishedAt"]),
    )


def began(state: Mapping[str, Any]) -> bool:
    """Whether the container was ever started."""
    return not state["StartedAt"].startswith(_NEVER)


def at_end(state: Mapping[str, Any], *, timeout: int | None, interrupted: bool) -> Outcome:
    """The container's `State` after its end; `timeout` in seconds when that is what stopped it."""
    if state.get("Running") or state["FinishedAt"].startswith(_NEVER):
        # the engine was lost, and is back: nobody saw the end, and the status 0 that it may show then is none
        started = _when(state["StartedAt"])
        return Outcome(exit_code=None, interrupted=True, reason=LOST, started=started, finished=started)
    oom = bool(state.get("OOMKilled"))
    reason = ""
    if timeout is not None:
        reason = f"stopped after its time limit of {timeout} s"
    elif interrupted:
        reason = "stopped by the user"
    elif oom:
        reason = "killed: it used more memory than resources.memory allows"
    code = state["ExitCode"]
    return Outcome(
        exit_code=code,
        oom_killed=oom,
        timed_out=timeout is not None,
        interrupted=interrupted,
        reason=reason or by_signal(code),
        started=_when(state["StartedAt"]),
        finished=_when(state["FinishedAt"]),
    )


def by_signal(code: int) -> str:
    """What an exit status above 128 says of a signal; empty for a program that ended by itself."""
    number = code - 128
    if number not in {signal.value for signal in Signals}:
        return ""
    return f"ended by signal {number} ({Signals(number).name})"


def _when(text: str) -> datetime:
    """Read the engine's RFC 3339 time: Docker's is in UTC, Podman's in the time zone of its host."""
    return datetime.fromisoformat(text).astimezone(UTC)
