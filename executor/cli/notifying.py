"""`--notify`: a webhook that is told how runs end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from executor.log import get_logger

if TYPE_CHECKING:
    from executor.steps.notify import Webhook

notify_option = click.option(
    "--notify", metavar="URL", help="Tell this webhook how it ended.  [env: EXECUTOR_NOTIFY, EXECUTOR_NOTIFY_SECRET]"
)


def webhook(named: str | None) -> Webhook | None:
    """The webhook that was named, or that the environment names; raises `UsageError` for what is no URL of one."""
    url = named or os.environ.get("EXECUTOR_NOTIFY")
    if not url:
        return None
    from executor.steps.notify import Webhook  # it takes a while to import

    return Webhook(url, os.environ.get("EXECUTOR_NOTIFY_SECRET", "").encode())


def tell(hook: Webhook | None, document: Callable[[], dict[str, Any]]) -> None:
    """Tell the webhook, if there is one; what goes wrong with it is a warning."""
    problem = hook.tell(document()) if hook else ""
    if problem:
        get_logger("notify").warning(problem)
