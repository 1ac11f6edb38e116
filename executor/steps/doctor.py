"""Look at this machine and say what it can run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import executor.environment.gpu as gpus
from executor.engine.interface import Engine
from executor.environment import host as hosts
from executor.environment.checks import StoreFacts
from executor.environment.doctor import TOOLS, diagnose
from executor.errors import EngineUnreachable, ExecutorError
from executor.facts import EngineFacts, Finding
from executor.steps.home import Home
from executor.steps.prepare import store_facts
from executor.store import probe
from executor.store.interface import Store


def examine(
    engine: Engine, store: Callable[[], Store], home: Home, now: datetime, which: Callable[[str], str | None],
    new_name: Callable[[], str],
) -> list[Finding]:  # fmt: skip
    """One finding for each thing that a run needs; what does not answer is a finding, not an error.

    `new_name` names what the store is tried with; it is removed again.
    """
    seen = gpus.look()
    host = hosts.read(now, home.root, seen)
    facts, capabilities = _store(store, now, new_name)
    return diagnose(host, _engine(engine), facts, {name: which(name) for name in TOOLS},
                    gpu_problem=seen.problem) + capabilities  # fmt: skip


def _engine(engine: Engine) -> EngineFacts | EngineUnreachable:
    try:
        return engine.observe()
    except EngineUnreachable as error:
        return error


def _store(
    store: Callable[[], Store], now: datetime, new_name: Callable[[], str]
) -> tuple[StoreFacts | ExecutorError, list[Finding]]:
    try:
        opened = store()
        facts = store_facts(opened.check(now))
        return facts, probe.examine(opened, new_name()) if facts.writable else []
    except ExecutorError as error:
        return error, []
