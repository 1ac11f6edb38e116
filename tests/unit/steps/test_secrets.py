import os
from dataclasses import replace
from pathlib import Path

import pytest

import executor.steps.secrets as secret_files
from executor.engine.interface import LogSink
from executor.engine.redact import NO_SECRETS, Secrets
from executor.errors import EnvironmentMismatch, UsageError
from executor.facts import Finding, OutputFile
from executor.run import Options, submit
from executor.spec.canonical import Digest
from executor.steps.secrets import MOST_NAMED, cleaned, folder_of, laid_out, leaks
from executor.steps.workspace import sweep
from tests.unit.sites import Program, World, a_spec

TOKEN = Secrets({"TOKEN": b"hunter2-hunter2"})
SPEC = a_spec(secrets=["TOKEN"])


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(secret_files, "MEMORY", folder)
    monkeypatch.setattr(secret_files, "_kind_of", lambda _: "tmpfs")
    return folder


def test_values_lie_in_a_private_folder_while_the_run_goes_on(memory: Path) -> None:
    with laid_out(TOKEN, "a", local=True) as folder:
        assert folder == folder_of("a")
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_mode & 0o777 == 0o555
        found = (folder / "TOKEN").stat()
        assert (found.st_mode & 0o777, found.st_uid) == ((0o400, 1000) if os.geteuid() == 0 else (0o444, os.geteuid()))
        assert (folder / "TOKEN").read_bytes() == b"hunter2-hunter2"
    assert list(memory.iterdir()) == []


def test_whoever_cannot_give_files_away_lets_the_run_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with laid_out(TOKEN, "a", local=True) as folder:
        assert folder is not None
        assert (folder / "TOKEN").stat().st_mode & 0o777 == 0o444


def test_they_go_when_the_run_fails_too(memory: Path) -> None:
    with pytest.raises(ZeroDivisionError), laid_out(TOKEN, "a", local=True):
        raise ZeroDivisionError
    assert list(memory.iterdir()) == []


def test_without_secrets_there_is_no_folder(memory: Path) -> None:
    with laid_out(NO_SECRETS, "a", local=True) as folder:
        assert folder is None
        assert list(memory.iterdir()) == []


def test_an_engine_on_another_machine_gets_none(memory: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match="on another machine"), laid_out(TOKEN, "a", local=False):
        pass
    assert list(memory.iterdir()) == []


def test_they_never_lie_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(secret_files, "MEMORY", Path("/nonexistent"))
    with pytest.raises(UsageError, match="is no tmpfs"), laid_out(TOKEN, "a", local=True):
        pass


def test_a_sweep_removes_those_of_a_killed_run(world: World, memory: Path) -> None:
    attempt = "20260101T000000Z-00000000"
    (world.site.home.attempts / attempt).mkdir()
    folder_of(attempt).mkdir(parents=True)
    assert sweep(world.site.home, lambda: world.engine) == [attempt]
    assert list(memory.iterdir()) == []


def test_a_run_reads_them_from_files_and_nothing_else_of_it_holds_one(world: World, memory: Path) -> None:
    def program(work: Path, log: LogSink) -> int:
        read.extend((path.name, path.read_bytes()) for path in next(memory.iterdir()).glob("secrets/*"))
        return Program(prints=b"key hunter2-hunter2\n")(work, log)

    read: list[tuple[str, bytes]] = []
    world.engine.program = program
    secrets = Secrets({**TOKEN.values, "OTHER": b"not in the spec"})
    result = submit(SPEC, replace(world.site, secrets=secrets), Options())
    assert (result.record.status, read) == ("succeeded", [("TOKEN", b"hunter2-hunter2")])
    assert result.record.hints.secrets == ("TOKEN",)
    mounts = world.engine.plans[0].request["HostConfig"]["Mounts"]
    assert {"Type": "bind", "Source": str(folder_of(result.record.attempt)), "Target": "/run/secrets",
            "ReadOnly": True} in mounts  # fmt: skip
    assert "hunter2" not in str(world.engine.plans)
    assert not [key for key, data in world.store.contents.items() if b"hunter2" in data]
    assert list(memory.iterdir()) == []


def test_a_value_that_is_missing_is_said_before_anything_runs(world: World) -> None:
    with pytest.raises(UsageError, match="no value for TOKEN"):
        world.submit(SPEC)
    assert world.engine.plans == []


def test_what_the_program_told_of_a_secret_is_not_in_its_record(world: World) -> None:
    finding = {"field": "f", "expected": "hunter2-hunter2", "observed": "b", "severity": "warn"}
    reports = {"launch.json": Program().reports["launch.json"] | {"python": "hunter2-hunter2", "findings": [finding]}}
    outputs = {"metrics.jsonl": b'{"hunter2-hunter2": 1}\n', "model.pt": b"weights"}
    world.program = Program(reports=reports, outputs=outputs)
    record = submit(SPEC, replace(world.site, secrets=TOKEN), Options()).record
    assert record.metrics == {"[secret TOKEN]": 1.0}
    records = [data for key, data in world.store.contents.items() if key.endswith(".json")]
    assert records
    assert not [data for data in records if b"hunter2" in data]


def test_an_output_that_holds_one_is_named(world: World) -> None:
    world.program = Program(outputs={"model.pt": b"weights", "env.txt": b"x" * 2**20 + b"hunter2-hunter2"})
    record = submit(SPEC, replace(world.site, secrets=TOKEN), Options()).record
    (found,) = [one for one in record.findings if one.field == "secrets"]
    assert (found.severity, found.expected) == ("warn", "env.txt without secrets")
    assert found.observed == "it holds TOKEN, and is kept in the store as it is"


@pytest.mark.parametrize("before", [0, 2**20 - 7, 2**20 - 15, 2**20, 2**20 + 1])
def test_a_value_is_found_wherever_it_lies_in_a_file(before: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * before + b"aHVudGVyMi1odW50ZXIy" + b"y" * 9)
    file = OutputFile(path="f", digest=Digest.of(b""), size=0, role="file")
    assert len(leaks([file], tmp_path, TOKEN)) == 1
    (tmp_path / "f").write_bytes(b"x" * before + b"hunter2-hunter3")
    assert leaks([file], tmp_path, TOKEN) == []


def test_not_too_many_are_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hunter2-hunter2")
    file = OutputFile(path="f", digest=Digest.of(b""), size=0, role="file")
    assert len(leaks([file] * 100, tmp_path, TOKEN)) == MOST_NAMED


def test_a_fact_without_a_value_stays_what_it_is() -> None:
    fact = Finding(field="f", expected="a", observed="b", severity="info")
    assert cleaned(fact, TOKEN) is fact
    told = fact.model_copy(update={"observed": 'a "hunter2-hunter2" b'})
    assert cleaned(told, TOKEN).observed == 'a "[secret TOKEN]" b'
