"""Entry point of the `executor` command: a table of commands, each imported only when it is used."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from executor.cli.output import emit, say
from executor.errors import ExecutorError, SeveralErrors, UsageError
from executor.log import LEVELS, Level, configure

if TYPE_CHECKING:
    from types import TracebackType

COMMANDS = {
    "init": ("starter", "A starter spec and training script that run as they are."),
    "lock": ("specs", "Pin a draft: tag to digest, branch to commit, path to hash; prints the spec."),
    "hash": ("specs", "The spec hash, nothing else."),
    "plan": ("specs", "Everything that would be asked of the engine, as JSON; touches nothing."),
    "submit": ("runs", "Run specs, or return the finished results at once."),
    "rerun": ("runs", "Run a past spec again and compare bit for bit."),
    "publish": ("pending", "Bring results to the store that it could not take when their runs ended."),
    "ls": ("look", "All runs in the store."),
    "find": ("finding", "Runs of which an expression is true; sorted, as a table, JSON or CSV."),
    "best": ("finding", "The leaderboard of a metric: value, who, spec, seeds, reproduced or not."),
    "claim": ("finding", "Which runs stand behind a number that somebody quotes."),
    "history": ("finding", "Which runs made a file, by its digest."),
    "index": ("indexing", "The table of all runs that these ask: bring it up to date, make it anew."),
    "show": ("look", "One run: attempts, metrics, findings, outputs."),
    "logs": ("look", "What a run printed; -f follows one that still runs."),
    "pull": ("look", "Fetch the outputs of a run into a folder, verified."),
    "verify": ("verifying", "Everything stored of a run, re-hashed and checked against its signatures."),
    "export": ("exporting", "Runs in formats that others read: in-toto, RO-Crate, MLflow, CSV, Parquet."),
    "import": ("importing", "Runs of MLflow, kept as history that nothing here vouches for."),
    "diff": ("evidence", "Two runs side by side: spec, environment, outputs, and where their traces part."),
    "compare": (
        "comparing",
        "Up to 200 runs side by side: what differs, with deltas; also as one page.",
    ),
    "importance": ("comparing", "Which parameters a metric depends on, over all runs."),
    "predictions": ("evidence", "How good the predictions of reruns were."),
    "matrix": ("evidence", "Which machines gave which results for one experiment."),
    "key": ("keys", "The key that signs results here, and the keys of others that are trusted."),
    "dashboard": ("dashboard", "The store in a browser: runs, leaderboards, comparisons, live runs."),
    "doctor": ("machine", "What this machine can run, check by check, with advice."),
    "image": ("images", "Build, pin and keep container images."),
    "store": ("machine", "Check, repair, tidy up and copy a store; serve one on this machine."),
    "completion": ("starter", 'Shell completion: eval "$(executor completion bash)".'),
}
"""Command to its module in `executor.cli` and its line of help."""


class Commands(click.Group):
    """A group that knows its commands by name, and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"executor.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="repro-executor", prog_name="executor")
def app() -> None:
    """Run a training spec in a pinned container, keep the result under its hash, run it again bit for bit."""


def main() -> None:
    """Run the command line; every error becomes a message and the exit code of its kind."""
    as_json = "--json" in sys.argv[1:]
    sys.excepthook = _faulty
    try:
        configure(_level(os.environ.get("EXECUTOR_LOG", "warning")), json=as_json)
        code = app.main(prog_name="executor", standalone_mode=False)
    except click.exceptions.Abort:
        code = _fail({"error": "Interrupted", "message": "interrupted"}, 130, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:  # its message is the whole help
        say(error.format_message())
        code = 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None and not as_json else ""
        document = {"error": "UsageError", "message": error.format_message()}
        code = _fail(document, 2, as_json=as_json, before=usage)
    except ExecutorError as error:
        code = _fail(error.as_json(), error.exit_code, as_json=as_json, told=_told(error))
    except OSError as error:  # a place that the user named: an argument, the store's folder, EXECUTOR_HOME
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        document = {"error": "FileError", "message": str(error)}
        told = [(str(error), "make room there, or name a place that can be written")]
        code = _fail(document, 2, as_json=as_json, told=told)
    sys.exit(code)


def _faulty(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours: its report may hold text of others, so it is shown as all text is."""
    import traceback

    say("".join(traceback.format_exception(kind, error, trace)).rstrip())


def _level(name: str) -> Level:
    for level in LEVELS:
        if name == level:
            return level
    raise UsageError(f"EXECUTOR_LOG={name}: no such level", advice=f"the levels are {', '.join(LEVELS)}")


def _fail(
    document: Mapping[str, object], code: int, *, as_json: bool, told: Sequence[tuple[str, str]] = (), before: str = ""
) -> int:
    """Say what went wrong, each message with its advice; the message of the document when nothing is `told`."""
    if as_json:
        emit(document)
    for message, advice in told or [(str(document["message"]), "")]:
        say(f"{before}executor: {message}")
        if advice:
            say(f"  → {advice}")
    return code


def _told(error: ExecutorError) -> list[tuple[str, str]]:
    """Messages with their advice."""
    several = error.errors if isinstance(error, SeveralErrors) else (error,)
    return [(one.message, one.advice) for one in several]
