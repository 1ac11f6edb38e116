"""`dashboard`: the store in a browser, read-only."""

from __future__ import annotations

import click

from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError


@click.command("dashboard")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="Port on this machine; a free one by default.")  # fmt: skip
@click.option("--no-open", is_flag=True, help="Print the address, and open no browser.")
@shared
def dashboard_command(port: int, no_open: bool, store: str | None, as_json: bool) -> int:
    """Show the store in a browser until Ctrl-C: runs, leaderboards, comparisons, and runs that are going on.

    Only this machine can reach it, and only with the address that is printed: it bears a token, new for each start.
    Nothing can be changed from it.
    """
    import webbrowser
    from secrets import token_urlsafe

    try:
        from executor.dashboard.app import make_app
        from executor.dashboard.desk import Desk
        from executor.dashboard.serve import HOST, serve
    except ModuleNotFoundError as error:
        raise UsageError(f"the dashboard needs {error.name}",
                         advice="pip install 'repro-executor[dashboard]'") from error  # fmt: skip
    from executor.cli import wiring
    from executor.cli.listing import library_of

    token, ticket = token_urlsafe(32), token_urlsafe(32)

    def ready(port: int) -> None:
        start = f"http://{HOST}:{port}/?token="
        address = f"{start}{token}"
        emit({"url": address}) if as_json else show(address)
        say("Ctrl-C ends it")
        if not no_open:
            webbrowser.open(f"{start}{ticket}")

    desk = Desk(library_of(store), wiring.now, wiring.home(), wiring.keys())
    serve(make_app(desk, token, [ticket]), port, ready)
    return 0
