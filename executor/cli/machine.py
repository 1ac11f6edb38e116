"""`doctor` and `store serve`: the machine itself; the other commands of `store` are in `keeping`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from executor.cli import output
from executor.cli.keeping import check_command, copy_command, gc_command, repair_command
from executor.cli.output import emit, say, shared, show

EXIT_MISMATCH = 3


@click.command("doctor")
@shared
def doctor_command(store: str | None, as_json: bool) -> int:
    """Say what this machine can run, check by check, with advice."""
    from executor.cli import wiring
    from executor.facts import refused
    from executor.steps.doctor import examine

    say("· looking at this machine, and trying what its store can do")
    found = examine(wiring.engine(), lambda: wiring.store(store), wiring.home(), wiring.now(), _which,
                    wiring.new_attempt)  # fmt: skip
    if as_json:
        emit({"findings": [one.model_dump(mode="json") for one in found], "ready": not refused(found)})
    else:
        show(output.findings([one.model_dump(mode="json") for one in found], every=True))
    return EXIT_MISMATCH if refused(found) else 0


def _which(program: str) -> str | None:
    """Where a program is: on PATH, or beside this Python."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


@click.group("store")
def store_command() -> None:
    """Where everything is kept: check it, repair it, tidy it up, copy it; and the server that serves one."""


for _command in (check_command, repair_command, gc_command, copy_command):
    store_command.add_command(_command)


@store_command.command("serve")
@click.option("--stop", is_flag=True, help="Stop the server; its data stay.")
@shared
def serve_command(stop: bool, store: str | None, as_json: bool) -> int:
    """Start the server, or say where it runs; prints the variables that other S3 tools need."""
    from executor.cli.wiring import home
    from executor.store.server import Server

    server = Server(home().server)
    if stop:
        stopped = server.stop()
        if as_json:
            emit({"stopped": stopped})
        else:
            say("stopped" if stopped else "it was not running")
        return 0
    info = server.running() or server.start()
    variables = info.env | {"EXECUTOR_STORE": info.url}
    if as_json:
        emit({"endpoint": info.endpoint, "pid": info.pid, "environment": variables})
    else:
        say(f"S3 server at {info.endpoint} (process {info.pid}), data in {home().server}")
        show("\n".join(f"export {name}={value}" for name, value in variables.items()))
    return 0
