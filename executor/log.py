"""structlog set-up: events go to stderr, as text for people or JSON lines for machines."""

from __future__ import annotations

import sys
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: Level = "warning", *, json: bool = False) -> None:
    """Send events of at least `level` to stderr; called once, by `cli`."""
    import structlog  # 50 ms that only who logs needs

    renderer: Any = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )  # fmt: skip


def get_logger(name: str) -> Any:
    """A logger whose events carry `room=name`."""
    import structlog

    return structlog.get_logger(room=name)
