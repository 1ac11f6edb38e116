from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.cli.runs import summary
from executor.engine.interface import LogSink
from executor.errors import StoreUnreachable
from executor.spec.file import load_spec, spec_text
from executor.spec.model import Spec
from executor.spec.tree import scan
from executor.store import layout
from executor.store.lease import Holder, Process
from tests.fakes import NOON
from tests.unit.cli.conftest import Run
from tests.unit.engine.repos import make_repo
from tests.unit.sites import LAUNCH, Program, World, a_spec

SPEC = a_spec()
PROMISED = {
    "spec_hash", "attempt", "status", "cached", "exit_code", "verdict", "outputs", "metrics", "findings", "runtime_s",
    "store",
}  # fmt: skip
EVIL = "\x1b[2J\x9bevil"


def written(folder: Path, spec: Spec = SPEC) -> Path:
    path = folder / f"{spec.hash.hex[:8]}.yaml"
    path.write_text(spec_text(spec))
    return path


def test_submit_prints_one_document_with_everything_promised(run: Run, wired: World, tmp_path: Path) -> None:
    ran = run("submit", written(tmp_path), "--json")
    assert ran.code == 0
    assert ran.json.keys() >= PROMISED
    assert (ran.json["status"], ran.json["cached"], ran.json["verdict"]) == ("succeeded", False, None)
    assert ran.json["outputs"][0].keys() >= {"path", "digest", "size", "role"}
    assert ran.json["findings"][0].keys() >= {"field", "expected", "observed", "severity", "advice"}
    assert "  │ training\n" in ran.err
    again = run("submit", written(tmp_path), "--json")
    assert (again.json["cached"], again.json["attempt"]) == (True, ran.json["attempt"])


def test_a_warning_leaves_one_document_on_stdout(
    run: Run, wired: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put_log(*_: Any) -> None:
        raise StoreUnreachable("no answer from http://127.0.0.1:9/")

    monkeypatch.setattr(wired.store, "put_log", put_log)
    ran = run("submit", written(tmp_path), "--json")
    assert ran.json["status"] == "succeeded"
    assert '"event": "the live log is not published"' in ran.err
    assert "warning: the live log is not published segment=0\n" in run("submit", written(tmp_path), "--force").err


def test_submit_for_people(run: Run, wired: World, tmp_path: Path) -> None:
    wired.program.outputs["metrics.jsonl"] = b'{"loss": 0.25}\n'
    ran = run("submit", written(tmp_path))
    assert ran.out.splitlines()[0] == f"digits  {SPEC.hash.hex[:12]}  succeeded  (0.0 s)"
    assert "  metrics   loss 0.25" in ran.out
    assert "  weights   model.pt       sha256:" in ran.out
    assert "(answered from the store)" in run("submit", written(tmp_path)).out


def test_several_specs_are_a_list(run: Run, wired: World, tmp_path: Path) -> None:
    paths = [written(tmp_path, a_spec(seed=seed)) for seed in (1, 2)]
    assert [view["status"] for view in run("submit", *paths, "--json").json] == ["succeeded"] * 2


def test_every_spec_is_read_before_the_first_runs(run: Run, wired: World, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\n")
    assert run("submit", written(tmp_path), tmp_path / "bad.yaml").code == 2
    assert wired.engine.plans == []


def test_a_failing_program_is_a_result_with_code_1(run: Run, wired: World, tmp_path: Path) -> None:
    wired.program = Program(code=3, prints=f"Traceback {EVIL}\n".encode())
    ran = run("submit", written(tmp_path), "--json")
    assert (ran.code, ran.json["status"], ran.json["exit_code"]) == (1, "failed", 3)
    plain = run("submit", written(tmp_path))
    assert "  exit status 3" in plain.out
    assert not {"\x1b", "\x9b"} & set(plain.out + plain.err)


def test_a_refused_environment_is_code_3_with_findings(run: Run, wired: World, tmp_path: Path) -> None:
    path = written(tmp_path, a_spec(resources={"memory": "2TiB"}))
    ran = run("submit", path, "--json")
    assert (ran.code, ran.json["status"]) == (3, "refused")
    assert ran.json.keys() >= PROMISED
    assert (ran.json["attempt"], ran.json["outputs"]) == (None, [])
    assert [one["field"] for one in ran.json["findings"] if one["severity"] == "refuse"] == ["memory"]
    assert "--allow" not in run("submit", path).err
    assert run("submit", path, "--allow", "memory", "--json").json["findings"]
    assert run("submit", path, "--force", "--allow", "colour").code == 2


def test_an_engine_out_of_reach_is_code_6(run: Run, wired: World, tmp_path: Path) -> None:
    wired.engine.digests.clear()
    assert run("submit", written(tmp_path), "--json").code == 6


def test_an_interrupted_run_is_code_130_and_the_rest_is_left_out(run: Run, wired: World, tmp_path: Path) -> None:
    def program(work: Path, log: LogSink) -> int:
        wired.site.stop.ask()
        return 143

    wired.engine.program = program
    paths = [written(tmp_path, a_spec(seed=seed)) for seed in (1, 2)]
    ran = run("submit", *paths, "--json")
    assert (ran.code, [view["status"] for view in ran.json]) == (130, ["interrupted"])


def test_a_wish_that_comes_too_late_keeps_the_result_and_leaves_out_the_rest(
    run: Run, wired: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_record = wired.store.put_record

    def late(*words: Any) -> None:
        put_record(*words)
        wired.site.stop.ask()

    monkeypatch.setattr(wired.store, "put_record", late)
    paths = [written(tmp_path, a_spec(seed=seed)) for seed in (1, 2)]
    ran = run("submit", *paths, "--json")
    assert (ran.code, [view["status"] for view in ran.json]) == (130, ["succeeded"])


def test_quiet_says_nothing_but_the_result(run: Run, wired: World, tmp_path: Path) -> None:
    ran = run("submit", written(tmp_path), "--quiet")
    assert (ran.code, ran.err) == (0, "")


def test_lock_writes_the_spec_beside_the_draft_and_submits_that(run: Run, wired: World, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", **{"train.py": ""})
    draft = repo / "line.yaml"
    draft.write_text(
        f"version: 1\nname: line\nimage: localhost/torch:cpu\ncode: {{repo: {repo}, branch: HEAD}}\n"
        "command: [python, train.py]\nseed: 1\n"
    )
    assert run("submit", draft).code == 2
    ran = run("submit", "--lock", draft, "--json")
    assert ran.code == 0
    assert load_spec(repo / "line.lock.yaml").hash.hex == ran.json["spec_hash"]


# Reruns ------------------------------------------------------------------------------------------------------------


def test_a_rerun_of_the_same_bits_is_code_0(run: Run, wired: World, tmp_path: Path) -> None:
    found = run("submit", written(tmp_path), "--json").json["spec_hash"]
    ran = run("rerun", found[:8], "--json")
    assert (ran.code, ran.json["verdict"], ran.json["cached"]) == (0, "identical", False)
    assert "divergence" not in ran.json
    assert "  verdict   identical: the only file is the same" in run("rerun", found[:8]).out


def test_a_rerun_that_differs_is_code_4_and_says_where(run: Run, wired: World, tmp_path: Path) -> None:
    found = run("submit", written(tmp_path), "--json").json["spec_hash"]
    wired.program = Program(outputs={"model.pt": b"others"})
    ran = run("rerun", found, "--json")
    assert (ran.code, ran.json["verdict"]) == (4, "different")
    assert ran.json["divergence"].keys() >= {"step", "kind", "tensor", "cause", "where", "prediction"}
    assert (ran.json["divergence"]["kind"], ran.json["divergence"]["step"]) == ("output", None)
    assert "    ≠ model.pt  sha256:" in run("rerun", found).out


def test_a_rerun_of_nothing_is_code_4(run: Run, wired: World, tmp_path: Path) -> None:
    wired.program = Program(outputs={})
    found = run("submit", written(tmp_path), "--json").json["spec_hash"]
    ran = run("rerun", found, "--json")
    assert (ran.code, ran.json["verdict"]) == (4, "incomparable")


def test_a_rerun_that_fails_is_code_1(run: Run, wired: World, tmp_path: Path) -> None:
    found = run("submit", written(tmp_path), "--json").json["spec_hash"]
    wired.program = Program(code=7)
    ran = run("rerun", found, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["exit_code"]) == (1, None, 7)


def test_a_rerun_of_nothing_known_is_code_2(run: Run, wired: World) -> None:
    assert run("rerun", "abcdef", "--json").json["error"] == "NotFound"
    assert run("rerun", "x").code == 2


# What the run wrote ------------------------------------------------------------------------------------------------


def test_no_escape_that_a_run_wrote_reaches_the_terminal(run: Run, wired: World, tmp_path: Path) -> None:
    line = {"field": EVIL, "expected": EVIL, "observed": EVIL, "severity": "warn", "advice": EVIL}
    wired.program = Program(
        outputs={"metrics.jsonl": b'{"\\u001b[2J\\u009bevil": 1}\n'},
        prints=EVIL.encode() + b"\n",
        reports={"launch.json": LAUNCH | {"python": EVIL, "findings": [line]}},
    )
    for words in (["submit", written(tmp_path)], ["rerun", SPEC.hash.hex], ["show", SPEC.hash.hex], ["ls"],
                  ["logs", SPEC.hash.hex]):  # fmt: skip
        for options in ([], ["--json"]):
            ran = run(*words, *options)
            assert ran.code == 0
            assert "evil" in ran.out
            assert not {"\x1b", "\x9b"} & set(ran.out + ran.err)


def test_a_good_end_with_outputs_that_cannot_be_kept_says_so(run: Run, wired: World, tmp_path: Path) -> None:
    def program(work: Path, log: LogSink) -> int:
        for name in ("a", "b"):
            (work / "outputs" / name).symlink_to("/nowhere")
        return 0

    wired.engine.program = program
    ran = run("submit", written(tmp_path))
    assert ran.code == 1
    assert "  exit status 0, but 2 outputs cannot be kept\n      → links, FIFOs and devices" in ran.out


def test_event_files_that_differ_come_with_advice(run: Run, wired: World, tmp_path: Path) -> None:
    wired.program = Program(outputs={"events.out.tfevents.1": b"1"})
    found = run("submit", written(tmp_path), "--json").json["spec_hash"]
    assert "outputs.ignore" not in run("rerun", found).out
    wired.program = Program(outputs={"events.out.tfevents.1": b"2"})
    assert "put them under outputs.ignore" in run("rerun", found).out


def test_a_refused_spec_does_not_hide_the_others(run: Run, wired: World, tmp_path: Path) -> None:
    too_big = a_spec(resources={"memory": "900TiB"}, seed=2)
    ran = run("submit", written(tmp_path, too_big), written(tmp_path), "--json")
    assert (ran.code, [view["status"] for view in ran.json]) == (3, ["refused", "succeeded"])


def test_a_long_list_of_files_is_cut() -> None:
    view: dict[str, Any] = {
        "name": "x", "spec_hash": "a" * 64, "status": "succeeded", "cached": False, "runtime_s": 1.0, "exit_code": 0,
        "metrics": {}, "refused_outputs": {}, "findings": [], "store": "file:x", "comparison": None,
        "outputs": [{"role": "file", "path": f"f{n}", "size": 1, "digest": "sha256:0"} for n in range(23)],
    }  # fmt: skip
    shown = summary(view)
    assert "f19" in shown
    assert "f20" not in shown
    assert "… and 3 more files" in shown


def test_what_is_to_be_archived_is_and_show_says_so(run: Run, wired: World, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "x.csv").write_text("1,2\n")
    spec = a_spec(data={"digits": {"hash": str(scan(folder).hash), "source": str(folder)}})
    for command, wanted in (("submit", written(tmp_path, spec)), ("rerun", spec.hash.hex)):
        ran = run(command, wanted, "--archive", "image,paper", "--json")
        assert (ran.code, len(wired.engine.plans)) == (2, int(command == "rerun"))
        assert run(command, wanted, "--archive", "data").code == 0
    kept = {"what": "data.digits", "digest": str(spec.data["digits"].hash), "size": 4}
    assert run("show", spec.hash.hex, "--json").json["archived"] == [kept]
    assert "  archived  data.digits (4 B)\n" in run("show", spec.hash.hex).out


def test_a_secret_comes_from_a_file_and_a_missing_one_is_said(run: Run, wired: World, tmp_path: Path) -> None:
    spec = written(tmp_path, a_spec(secrets=["TOKEN"]))
    missing = run("submit", spec)
    assert (missing.code, wired.engine.plans) == (2, [])
    assert "give --secret TOKEN=FILE, or set EXECUTOR_SECRET_TOKEN" in missing.err
    (tmp_path / "token").write_text("hunter2-hunter2")
    wired.program.prints = b"key hunter2-hunter2\n"
    ran = run("submit", spec, "--secret", f"TOKEN={tmp_path / 'token'}")
    assert ran.code == 0, ran
    assert "hunter2" not in ran.out + ran.err
    again = run("rerun", "--json", a_spec(secrets=["TOKEN"]).hash.hex, "--secret", f"TOKEN={tmp_path / 'token'}")
    assert (again.code, again.json["verdict"]) == (0, "identical")


def test_a_spec_that_another_runs_is_code_7_for_who_does_not_wait(run: Run, wired: World, tmp_path: Path) -> None:
    holder = Holder(state="held", attempt="other-1", epoch=1, beat=0, started=NOON,
                    process=Process(host=f"else{EVIL}where", boot="", pid=7, born=1))  # fmt: skip
    wired.store.contents[layout.lease(SPEC.hash)] = holder.to_json()
    ran = run("submit", written(tmp_path), "--no-wait", "--json")
    assert (ran.code, ran.json["error"], ran.json["holder"]["attempt"]) == (7, "HeldElsewhere", "other-1")
    people = run("submit", written(tmp_path), "--no-wait")
    assert (people.code, people.out) == (7, "")
    assert "wait for it without --no-wait" in people.err
    assert not {"\x1b", "\x9b"} & set(people.err)


def test_a_store_that_ignores_conditions_is_code_3_but_for_a_single_writer(
    run: Run, wired: World, tmp_path: Path
) -> None:
    wired.store._conditional = False
    refused = run("submit", written(tmp_path), "--json")
    assert (refused.code, refused.json["status"]) == (3, "refused")
    assert run("submit", written(tmp_path), "--single-writer").code == 0
    assert run("rerun", SPEC.hash.hex).code == 3
    ran = run("rerun", SPEC.hash.hex, "--single-writer", "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "identical")
    assert "store.capabilities" in {one["field"] for one in ran.json["findings"] if one["severity"] == "warn"}
