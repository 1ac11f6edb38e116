from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.engine.plan import Plan
from executor.errors import EngineUnreachable
from executor.spec.file import spec_text
from tests.receivers import Receiver, receiver
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_runs import SPEC, written
from tests.unit.sites import Program, World


def events(there: Receiver) -> list[tuple[str, str]]:
    documents = [json.loads(body) for body in there.bodies]
    return [(one["status"], one["verdict"]) for one in documents]


def test_a_webhook_hears_of_what_ran_and_not_of_what_the_store_answered(
    run: Run, wired: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = written(tmp_path)
    with receiver() as there:
        assert run("submit", spec, "--notify", f"{there.url}/hidden").code == 0
        assert run("submit", spec, "--notify", f"{there.url}/hidden").code == 0
        monkeypatch.setenv("EXECUTOR_NOTIFY", f"{there.url}/hidden")
        monkeypatch.setenv("EXECUTOR_NOTIFY_SECRET", "hidden")
        assert run("rerun", SPEC.hash.hex).code == 0
        wired.program = Program(code=3)
        assert run("submit", spec, "--force").code == 1
    assert events(there) == [("succeeded", None), ("succeeded", "identical"), ("failed", None)]
    assert ["x-executor-signature-256" in headers for headers in there.headers] == [False, True, True]
    assert not any(b"hidden" in data for data in wired.store.contents.values()), "it is in no record"


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_webhook_that_fails_is_a_warning_that_does_not_tell_its_url(
    run: Run, wired: World, tmp_path: Path, words: list[str]
) -> None:
    with receiver(404) as there:
        ran = run("submit", written(tmp_path), *words, "--notify", f"{there.url}/hidden")
    assert ran.code == 0
    assert "the webhook at 127.0.0.1 was not told: it answers 404" in ran.err
    assert "hidden" not in ran.out + ran.err


def test_a_run_that_comes_to_no_result_is_told(
    run: Run, wired: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Plan, **__: object) -> None:
        raise EngineUnreachable("the engine is away")

    monkeypatch.setattr(wired.engine, "run", away)
    with receiver() as there:
        assert run("submit", written(tmp_path), "--notify", there.url).code == 6
    (document,) = (json.loads(body) for body in there.bodies)
    assert (document["spec_hash"], document["status"], document["reason"]) == (
        SPEC.hash.hex, "error", "the engine is away",
    )  # fmt: skip


def test_a_sweep_is_told_once(run: Run, wired: World, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(spec_text(SPEC))
    (tmp_path / "sweep.yaml").write_text("version: 1\nspec: base.yaml\nseeds: 3\n")
    with receiver() as there:
        assert run("submit", "--sweep", tmp_path / "sweep.yaml", "--notify", there.url).code == 0
    (document,) = (json.loads(body) for body in there.bodies)
    assert (document["event"], document["done"], document["failed"]) == ("sweep", 3, 0)


def test_what_is_no_url_is_refused_before_anything_runs(run: Run, wired: World, tmp_path: Path) -> None:
    ran = run("submit", written(tmp_path), "--notify", "hooks.example.org/hidden")
    assert (ran.code, wired.engine.plans) == (2, [])
    assert "hidden" not in ran.err


def test_who_submits_is_in_the_record_and_is_told(run: Run, wired: World, tmp_path: Path) -> None:
    ran = run("submit", written(tmp_path), "--json", "--as", "Eve <eve@example.org>")
    assert ran.json["submitter"] == "Eve <eve@example.org>"
    assert run("rerun", SPEC.hash.hex, "--json", "--as", "bob").json["submitter"] == "bob"
    assert [one.hints.submitter for one in wired.records(SPEC)] == ["Eve <eve@example.org>", "bob"]
    assert "  bob  " in run("ls").out
    assert [one["submitter"] for one in run("find", "submitter ~ 'eve@'", "--json").json["runs"]] == [
        "Eve <eve@example.org>"
    ]
