from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from executor.cli import main
from executor.cli.main import COMMANDS
from executor.errors import (
    CorruptObject,
    EngineUnreachable,
    EnvironmentMismatch,
    ExecutorError,
    Interrupted,
    Issue,
    NotFound,
    SeveralErrors,
    SpecError,
    UsageError,
)
from executor.facts import Finding
from executor.log import get_logger
from tests.unit.cli.conftest import Run

HEAVY = ("torch", "docker", "boto3", "botocore", "pydantic", "rich", "yaml", "pynvml", "structlog",
         "cryptography", "securesystemslib")  # fmt: skip
FINDING = Finding(field="cpu.isa", expected="avx2", observed="\x1b[2J", severity="refuse")


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


EVERY = dict(commands(main.app))


def test_every_command_of_the_table_has_a_line_of_help() -> None:
    assert {words[0] for words in EVERY} == set(COMMANDS)
    assert all(line.strip() and len(line) < 80 for _, line in COMMANDS.values())


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_says_what_it_does_and_takes_json(words: tuple[str, ...]) -> None:
    command = EVERY[words]
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert words == ("completion",) or {"--json", "--store"} <= options


@pytest.mark.parametrize("words", [("--help",), ("-h",), *((*words, "--help") for words in EVERY)], ids=" ".join)
def test_help_ends_well(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Usage: executor")


def test_the_version_is_said(run: Run) -> None:
    assert run("--version").out.startswith("executor, version ")


@pytest.mark.parametrize("words", [(), ("image",), ("store",)])
def test_no_command_is_a_question_for_help(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: executor")
    assert ran.err.count("Usage:") == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['executor', '--help']\n"
        "from executor.cli.main import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert "Commands:" in done.stdout


@pytest.mark.parametrize(
    "words", [("bogus",), ("hash",), ("hash", "a", "b"), ("ls", "--bogus"), ("submit",), ("completion", "tcsh")]
)
def test_wrong_words_are_explained(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: executor")
    assert "\nexecutor: " in ran.err
    again = run(*words, "--json")
    assert (again.code, again.json["error"]) == (2, "UsageError")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    @click.option("--json", is_flag=True)
    def command(**_: Any) -> int:
        raise error

    monkeypatch.setattr(main.Commands, "get_command", lambda *_: command)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExecutorError("m"), 1),
        (SpecError([Issue("wrong\x1b[2J", "seed", 3, 1)], path="s.yaml"), 2),
        (UsageError("m", advice="a\x1b[2J"), 2),
        (NotFound("m"), 2),
        (EnvironmentMismatch("\x1b[2J", findings=[FINDING]), 3),
        (CorruptObject("k", expected="a", observed="\x1b[2J"), 5),
        (EngineUnreachable("m"), 6),
        (Interrupted("m"), 130),
        (KeyboardInterrupt(), 130),
        (PermissionError(errno.EACCES, "Permission denied", "/home\x1b[2J"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_error_has_its_code_a_message_and_one_document(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    failing(monkeypatch, error)
    plain, asked = run("ls"), run("ls", "--json")
    assert (plain.code, plain.out) == (code, "")
    assert "executor: " in plain.err
    assert asked.code == code
    assert isinstance(asked.json, dict)
    assert "\x1b" not in plain.err + asked.out + asked.err


def test_a_spec_error_as_json_has_the_promised_shape(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, SpecError([Issue("wrong", "seed", 3, 1)], path="s.yaml"))
    ran = run("ls", "--json")
    assert ran.json["errors"] == [{"line": 3, "column": 1, "field": "seed", "message": "wrong"}]
    assert ran.err == "executor: s.yaml:3:1: seed: wrong\n"


def test_each_of_several_errors_has_its_own_arrow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, SeveralErrors([UsageError("a", advice="x"), UsageError("b"), UsageError("c", advice="y")]))
    assert run("ls").err == "executor: a\n  → x\nexecutor: b\nexecutor: c\n  → y\n"
    assert len(run("ls", "--json").json["errors"]) == 3


def test_events_are_said_from_the_level_that_is_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.option("--json", is_flag=True)
    def command(**_: Any) -> int:
        get_logger("x").info("quiet")
        get_logger("x").warning("loud")
        return 0

    monkeypatch.setattr(main.Commands, "get_command", lambda *_: command)
    assert run("ls").err == "warning: loud\n"
    monkeypatch.setenv("EXECUTOR_LOG", "info")
    assert run("ls").err == "info: quiet\nwarning: loud\n"
    ran = run("ls", "--json")
    assert (ran.out, [json.loads(line)["event"] for line in ran.err.splitlines()]) == ("", ["quiet", "loud"])
    monkeypatch.setenv("EXECUTOR_LOG", "loud")
    ran = run("ls", "--json")
    assert (ran.code, ran.json["error"]) == (2, "UsageError")


def test_advice_follows_the_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, UsageError("wrong", advice="do right"))
    assert run("ls").err == "executor: wrong\n  → do right\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), ConnectionResetError(errno.ECONNRESET, "reset")])
def test_our_own_mistakes_are_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failing(monkeypatch, error)
    monkeypatch.setattr(sys, "argv", ["executor", "ls"])
    with pytest.raises(type(error)):
        main.main()


def test_a_reader_that_leaves_ends_quietly() -> None:
    command = f"{sys.executable} -m executor show --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) in (0, 1)


def test_the_report_of_a_fault_of_ours_shows_text_of_others_safely(capsys: pytest.CaptureFixture[str]) -> None:
    main._faulty(ValueError, ValueError("\x1b[31mred\x1b]0;title\x07"), None)
    told = capsys.readouterr().err
    assert "ValueError: red" in told
    assert not {"\x1b", "\x07"} & set(told)
