from __future__ import annotations

import time
from pathlib import Path

import pytest

from executor.store import layout
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()
HASH = SPEC.hash.hex


def test_an_empty_store_has_no_runs(run: Run, wired: World) -> None:
    assert run("ls", "--json").json == []
    ran = run("ls")
    assert (ran.code, ran.out, ran.err) == (0, "", "no runs in memory: yet\n")


def test_runs_are_listed_the_newest_first_without_outputs(run: Run, wired: World) -> None:
    first = wired.submit(SPEC).record
    second = wired.submit(a_spec(seed=2)).record
    found = run("ls", "--json").json
    assert [one["attempt"] for one in found] == [second.attempt, first.attempt]
    assert all("outputs" not in one and one["store"].endswith(one["attempt"]) for one in found)
    lines = run("ls").out.splitlines()
    assert lines[0].split() == ["SPEC", "NAME", "WHO", "WHEN", "(UTC)", "STATUS", "TIME"]
    assert lines[2].startswith(f"{HASH[:12]}  digits  Ada  2026-01-01 12:00  succeeded")


def test_runs_that_are_listed_can_be_chosen_ordered_and_told_as_the_user_likes(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.program = Program(code=1, outputs={"metrics.jsonl": b'{"acc": 0.25, "loss": 0.123456789}'})
    wired.submit(a_spec(name="cifar.x", seed=2))
    wired.program.code = 0
    wired.submit(a_spec(name="Digits-2", seed=3))

    def seeds(*words: str) -> list[int]:
        return [one["seed"] for one in run("ls", "--json", "--columns", "seed", *words).json]

    assert seeds() == [3, 2, 1]
    assert seeds("--limit", "2") == [3, 2]
    assert seeds("--name", "digits") == [3, 1]
    assert (seeds("--name", "r.X"), seeds("--name", "s.x"), seeds("--name", "it's\\")) == ([2], [], [])
    assert seeds("--status", "failed") == [2]
    assert seeds("--since", "1h", "--sort", "seed") == [1, 2, 3]
    assert seeds("--since", "2026-01-02") == []
    assert seeds("--where", "seed > 1", "--sort=-seed") == [3, 2]
    assert run("ls", "--csv", "--columns", "seed").out.splitlines()[0] == "spec,attempt,seed"
    lines = run("ls").out.splitlines()
    assert (lines[0].split()[-1], lines[1].split()[-2:]) == ("METRICS", ["acc=0.25", "loss=0.1235"])
    assert run("ls", "--limit", "1").err == "1 of 3 runs; --limit shows more\n"
    assert run("ls", "--name", "nothing").err == "no run is found in memory:\n"
    assert "created >= yesterday" in run("ls", "--since", "yesterday").err


def test_more_metrics_than_fit_are_marked(run: Run, wired: World) -> None:
    names = (f"a-rather-long-name-{at}" for at in range(9))
    line = "{" + ", ".join(f'"{name}": {at}.5' for at, name in enumerate(names)) + "}"
    wired.program = Program(outputs={"metrics.jsonl": line.encode()})
    wired.submit(a_spec(name="a-name-that-is-much-longer-than-others-are"))
    _, shown = run("ls").out.splitlines()
    assert "a-name-that-is-much-lon…  Ada  2026" in shown
    assert shown.endswith("  a-rather-long-name-0=0.5 …")


def test_a_damaged_record_is_named_and_hides_no_other(run: Run, wired: World) -> None:
    good, bad = wired.submit(SPEC).record, wired.submit(a_spec(seed=2)).record
    key = f"{layout.attempt(bad.spec_hash, bad.attempt)}/record.json"
    contents, wired.store.contents[key] = wired.store.contents[key], b"{}"
    for words in (["ls"], ["ls", "--json"]):
        ran = run(*words)
        assert (ran.code, bad.attempt in ran.err, good.attempt[:8] in ran.out or HASH[:12] in ran.out) == (
            5,
            True,
            True,
        )
    wired.store.contents[key] = contents
    assert [one["attempt"] for one in run("ls", "--json").json] == [bad.attempt, good.attempt]
    wired.store.contents[key] = b"{}"  # damaged after it was indexed: seen once it is read again
    ran = run("ls", "--json")
    assert (ran.code, [one["attempt"] for one in ran.json]) == (5, [good.attempt])
    assert bad.attempt in ran.err


def test_a_record_that_is_gone_is_no_longer_listed(run: Run, wired: World) -> None:
    good, gone = wired.submit(SPEC).record, wired.submit(a_spec(seed=2)).record
    assert len(run("ls", "--json").json) == 2
    del wired.store.contents[f"{layout.attempt(gone.spec_hash, gone.attempt)}/record.json"]
    ran = run("ls", "--json")
    assert (ran.code, [one["attempt"] for one in ran.json]) == (0, [good.attempt])
    assert "is made anew" in ran.err


def test_show_tells_everything_and_how_attempts_agree(run: Run, wired: World) -> None:
    reference = wired.submit(SPEC).record
    wired.rerun(SPEC)
    wired.program = Program(outputs={"model.pt": b"others"})
    wired.rerun(SPEC)
    document = run("show", HASH[:6], "--json").json
    assert (document["attempt"], document["reference"]) == (reference.attempt, reference.attempt)
    assert document["agreement"] == {"identical": 2, "succeeded": 3}
    assert (len(document["attempts"]), document["spec"]) == (3, SPEC.identity())
    shown = run("show", HASH).out
    assert "  attempts  3, identical in 2 of 3 that succeeded" in shown
    assert f"          * {reference.attempt}  succeeded               Ada\n" in shown
    assert "  succeeded    identical  Ada\n" in shown
    assert "  succeeded    different  Ada\n              in what was written\n              ≠ model.pt\n" in shown
    assert "node1: AMD EPYC 9654, no GPU; docker 28.2.2" in shown


def test_show_takes_an_attempt_and_shows_the_end_of_a_failure(run: Run, wired: World) -> None:
    wired.submit(SPEC)
    wired.program = Program(code=1, prints=b"first\nlast\n")
    failed = wired.rerun(SPEC).record
    shown = run("show", HASH, "--attempt", failed.attempt).out
    assert "\n\n  the last of its log:\n  │ first\n  │ last\n\n" in shown
    lost = run("show", HASH, "--attempt", "nothing", "--json")
    assert (lost.code, lost.json["error"]) == (2, "NotFound")
    assert failed.attempt in lost.json["advice"]


def test_without_a_success_the_last_attempt_is_shown(run: Run, wired: World) -> None:
    wired.program = Program(code=1)
    wired.submit(SPEC)
    last = wired.submit(SPEC).record
    assert run("show", HASH, "--json").json["attempt"] == last.attempt
    assert "  attempts  2, none succeeded\n" in run("show", HASH).out


def test_what_only_runs_yet_is_not_finished(run: Run, wired: World) -> None:
    wired.store.put_log(SPEC.hash, "live", 0, b"hello\n")
    ran = run("show", HASH, "--json")
    assert (ran.code, ran.json["message"]) == (2, f"{HASH[:12]}: no attempt is finished")


# Logs --------------------------------------------------------------------------------------------------------------


def test_the_log_of_a_finished_run(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    assert run("logs", HASH).out == "training\n"
    assert run("logs", HASH, "--json").json == {"spec_hash": HASH, "attempt": record.attempt, "log": "training\n"}
    assert run("logs", HASH, "-f").out == "training\n"


def test_a_damaged_log_is_code_5(run: Run, wired: World) -> None:
    record = wired.submit(SPEC).record
    assert record.log is not None
    wired.store.contents[layout.blob(record.log.digest)] = b"TRAINING\n"
    ran = run("logs", HASH, "--json")
    assert (ran.code, ran.json["error"]) == (5, "CorruptObject")


def test_a_live_run_is_followed_to_its_end(run: Run, wired: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = wired.submit(SPEC).record.to_json()
    text = "über alles\n".encode()
    wired.store.put_log(SPEC.hash, "live", 0, text[:1])  # a segment may end within a character

    def more(_: float) -> None:
        wired.store.put_log(SPEC.hash, "live", 1, text[1:])
        wired.store.put_record(SPEC.hash, "live", record)

    monkeypatch.setattr(time, "sleep", more)
    assert run("logs", HASH, "--follow").out == "über alles\n"


def test_a_run_whose_executor_was_killed_is_not_followed_for_ever(run: Run, wired: World) -> None:
    wired.store.put_log(SPEC.hash, "20200101T000000Z-00000000", 0, b"killed\n")
    wired.submit(SPEC)
    assert run("logs", HASH, "--follow").out == "training\n"
    assert run("logs", HASH, "--follow", "--attempt", "20200101T000000Z-00000000").out == "killed\n"


def test_a_live_run_is_shown_up_to_now_without_follow(run: Run, wired: World) -> None:
    wired.store.put_log(SPEC.hash, "live", 0, b"so far\n")
    assert run("logs", HASH, "--attempt", "live", "--json").json["log"] == "so far\n"


# Pull --------------------------------------------------------------------------------------------------------------


def test_outputs_are_pulled_and_verified(run: Run, wired: World, tmp_path: Path) -> None:
    record = wired.submit(SPEC).record
    document = run("pull", HASH, tmp_path / "out", "--json").json
    assert document["files"] == [{"path": "model.pt", "digest": str(record.outputs[0].digest), "size": 7}]
    assert (tmp_path / "out" / "model.pt").read_bytes() == b"weights"
    assert run("pull", HASH, tmp_path / "out").out == f"1 file, 7 B, verified, in {tmp_path / 'out'}\n"


def test_nothing_is_overwritten(run: Run, wired: World, tmp_path: Path) -> None:
    wired.submit(SPEC)
    (tmp_path / "model.pt").write_text("mine")
    assert run("pull", HASH, tmp_path, "--json").json["error"] == "UsageError"
    assert (tmp_path / "model.pt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told(run: Run, wired: World, tmp_path: Path) -> None:
    wired.submit(SPEC)
    (tmp_path / "file").write_text("")
    assert run("pull", HASH, tmp_path / "file").code == 2
    ran = run("pull", HASH, tmp_path / "file" / "below", "--json")
    assert (ran.code, ran.json["error"]) == (2, "FileError")


def test_a_store_out_of_reach_is_code_6(run: Run, wired: World, tmp_path: Path) -> None:
    wired.store.down = True
    for words in (["ls"], ["show", HASH], ["logs", HASH], ["pull", HASH, tmp_path]):
        assert run(*words, "--json").json["error"] == "StoreUnreachable"
