"""structlog set-up: events go to stderr, as short lines for people or JSON lines for machines."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass
class _Settings:
    level: Level = "warning"
    json: bool = False


_settings = _Settings()


def configure(level: Level = "warning", *, json: bool = False) -> None:
    """Send events of at least `level` to stderr; called once, by `cli`, before anything logs."""
    _settings.level, _settings.json = level, json


def get_logger(name: str) -> Any:
    """A logger whose events carry `room=name`; sets structlog up, so that only who logs pays for its import."""
    import structlog

    renderer: Any = structlog.processors.JSONRenderer() if _settings.json else _line
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(10 * (1 + LEVELS.index(_settings.level))),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )  # fmt: skip
    return structlog.get_logger(room=name)


def _line(_: Any, level: str, event: MutableMapping[str, Any]) -> str:
    """The event in one line; URLs, the time and the room are for machines."""
    extra = [f"{name}={value}" for name, value in event.items() if name not in ("event", "level", "room", "timestamp")]
    said = [str(event["event"]), *(word for word in extra if "://" not in word)]
    return "".join(c for c in f"{level}: {' '.join(said)}" if c.isprintable())
