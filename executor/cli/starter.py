"""`init` and `completion`."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
@shared
def init_command(folder: Path, store: str | None, as_json: bool) -> int:
    """Put a starter spec and training script into DIR; they run as they are."""
    from executor.engine.code import first_commit

    if not shutil.which("git"):
        raise UsageError("git is not on PATH", advice="install it: a spec names a commit")
    template = resources.files("executor.cli") / "template"
    files = {entry.name: entry.read_bytes() for entry in template.iterdir() if entry.is_file()}
    if taken := sorted(name for name in files if (folder / name).exists()):
        raise UsageError(f"{folder}: there is already {', '.join(taken)}", advice="name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    committed = first_commit(folder, sorted(files), env=os.environ)
    if as_json:
        emit({"folder": str(folder), "files": sorted(files), "committed": committed})
        return 0
    say(f"wrote {', '.join(sorted(files))} in {folder}")
    if not committed:
        say("commit them: a spec names a commit")
    show(f"executor submit --lock {folder / 'spec.yaml'}")
    return 0


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared
def completion_command(shell: str, store: str | None, as_json: bool) -> int:
    """Print the completion script for SHELL."""
    from executor.cli.main import app

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"no completion for {shell}")
    script = kind(app, {}, "executor", "_EXECUTOR_COMPLETE").source()
    if as_json:
        emit({"shell": shell, "script": script})
    else:
        click.echo(script)
    return 0
