"""`publish`: results that could not reach their store when their runs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError, count

if TYPE_CHECKING:
    from executor.steps.home import Home
    from executor.steps.pending import Delivery


@click.command("publish")
@click.argument("results", nargs=-1, metavar="[ATTEMPT|FOLDER]…")
@click.option("--pending", is_flag=True, help="Every result that waits on this machine.")
@click.option("--discard", is_flag=True, help="Throw the named results away instead.")
@shared
def publish_command(results: tuple[str, ...], pending: bool, discard: bool, store: str | None, as_json: bool) -> int:
    """Bring results that wait on this machine to their store; as often as it takes, a second time changes nothing."""
    from executor.cli.terminal import Terminal
    from executor.cli.wiring import home, site
    from executor.steps.pending import chosen, deliver_all, discard_all
    from executor.steps.workspace import unpublished

    if bool(results) == pending or (discard and pending):
        raise UsageError("name results that wait here, or say --pending to publish all of them",
                         advice="the message of the run that could not be stored names its attempt")  # fmt: skip
    attempts = chosen(home(), results) if results else unpublished(home())
    done = []
    if attempts:
        with Terminal() as terminal:
            found = discard_all(attempts, home()) if discard else deliver_all(attempts, site(store, terminal))
            for one in found:
                done.append(one)
                if not as_json:
                    _tell(one)
    elif not as_json:
        say("no result waits on this machine")
    if as_json:
        emit([one.model_dump(mode="json", exclude={"exit_code"}) for one in done])
    return next((one.exit_code for one in done if one.exit_code), 0)


def _tell(one: Delivery) -> None:
    show(f"{one.state:<9}  {one.name}  {one.spec_hash[:12]}  {one.attempt}")
    if one.message:
        say(f"  {one.message}")
    if one.advice:
        say(f"  → {one.advice}")
    if one.state == "published":
        show(f"  stored   {one.store}")


def remind(home: Home) -> None:
    """Say that results wait here, if any do; the store is not asked."""
    from executor.steps.workspace import PUBLISH, unpublished

    if waiting := len(unpublished(home)):
        say(f"! {count(waiting, 'result')} of earlier runs {'waits' if waiting == 1 else 'wait'} on this machine; "
            f"`{PUBLISH}` brings {'it' if waiting == 1 else 'them'} to the store")  # fmt: skip
