from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from executor.cli import keeping, wiring
from executor.errors import UsageError
from executor.spec.canonical import Digest
from executor.steps.keeping.audit import Sample
from executor.steps.site import Reporter, Site
from executor.store import layout
from executor.store.local import LocalStore
from tests.unit.cli.conftest import Run
from tests.unit.sites import World, a_spec

SPEC = a_spec()
HASH = SPEC.hash.hex
KEY = layout.blob(Digest.of(b"weights"))


@pytest.fixture
def ran(wired: World) -> World:
    wired.submit(SPEC)
    return wired


# check --------------------------------------------------------------------------------------------------------------


def test_a_sound_store_is_said_to_be_sound(run: Run, ran: World) -> None:
    found = run("store", "check")
    assert (found.code, found.out.splitlines()[-1]) == (0, "nothing is wrong")
    assert "2 of 2 blobs read to the last byte" in found.out
    document = run("store", "check", "--json").json
    assert (document["damaged"], document["missing"], document["runs"]) == ([], [], [])
    assert document["unreferenced"] == {"count": 0, "bytes": 0}


def test_what_is_wrong_is_named_with_whom_it_hurts_and_the_code_is_5(run: Run, ran: World) -> None:
    ran.store.contents[KEY] = b"WEIGHTS"
    ran.store.put_bytes(b"of no use")
    found = run("store", "check")
    assert found.code == 5
    assert f"  ✗ damaged  {KEY}: expected {Digest.of(b'weights')}" in found.out
    assert "output model.pt\n" in found.out
    assert "1 blob (9 B) that nothing needs" in found.out
    assert found.out.endswith("1 attempt hurt → `executor store repair`\n")
    document = run("store", "check", HASH[:8], "--json")
    assert (document.code, document.json["damaged"][0]["key"]) == (5, KEY)
    assert "unreferenced" not in document.json


def test_only_so_many_are_shown_to_people(run: Run, ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_SHOWN", 1)
    for key in (KEY, f"{layout.run(SPEC.hash)}/spec.json"):
        ran.store.contents[key] = b"?"
    out = run("store", "check").out
    assert (out.count("✗"), "  … and 1 more: --json names all" in out) == (1, True)


def test_a_sample_is_a_number_or_a_share(run: Run, ran: World) -> None:
    assert run("store", "check", "--sample", "1", "--json").json["hashed"] == 1
    assert run("store", "check", "--sample", "50%", "--seed", "3", "--json").json["hashed"] == 1
    assert keeping._sample("2.5%", 7) == Sample(None, 2.5, 7)
    for text in ("many", "-1", "101%", "1.5", "%"):
        found = run("store", "check", "--sample", text, "--json")
        assert (found.code, found.json["error"]) == (2, "UsageError"), text


def test_a_store_out_of_reach_is_code_6(run: Run, ran: World, tmp_path: Path) -> None:
    ran.store.down = True
    for words in (["check"], ["repair"], ["gc"], ["copy", "--to", f"file:{tmp_path / 'copy'}"]):
        found = run("store", *words, "--json")
        assert (found.code, found.json["error"]) == (6, "StoreUnreachable"), words


def test_a_run_that_is_not_there_is_code_2(run: Run, ran: World) -> None:
    assert run("store", "check", "abcdef", "--json").json["error"] == "NotFound"


# repair -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(ran: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world in the place of a site that is watched."""

    @contextmanager
    def watch(url: str | None, *, quiet: bool = False) -> Iterator[Site]:
        yield ran.site

    monkeypatch.setattr(wiring, "watched", watch)
    return ran


def test_a_file_in_a_folder_that_is_named_refills_what_is_lost(run: Run, watched: World, tmp_path: Path) -> None:
    del watched.store.contents[KEY]
    lost = run("store", "repair")
    assert lost.code == 5
    assert "0 objects refilled, 1 still lost" in lost.out
    assert f"✗ missing  {KEY}" in lost.out
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "anything").write_bytes(b"weights")
    found = run("store", "repair", HASH, "--folder", tmp_path / "copy", "--json")
    assert (found.code, found.json) == (
        0, {"refilled": [{"key": KEY, "source": str(tmp_path / "copy")}], "lost": []},
    )  # fmt: skip


def test_another_store_refills_what_is_lost(run: Run, watched: World, tmp_path: Path) -> None:
    assert run("store", "copy", "--to", f"file:{tmp_path / 'other'}", "--json").code == 0
    watched.store.contents[KEY] = b"WEIGHTS"
    found = run("store", "repair", "--from", f"file:{tmp_path / 'other'}")
    assert found.code == 0
    assert f"  ✓ {KEY}  from file:{tmp_path / 'other'}" in found.out
    assert "1 object refilled, 0 still lost" in found.out


def test_a_rerun_refills_what_is_lost_only_when_it_is_asked_for(run: Run, watched: World) -> None:
    del watched.store.contents[KEY]
    assert run("store", "repair", "--json").code == 5
    found = run("store", "repair", "--rerun", "--json")
    assert (found.code, found.json["refilled"][0]["source"]) == (0, f"a rerun of {HASH[:12]}")


# gc -----------------------------------------------------------------------------------------------------------------


def test_a_dry_run_names_what_would_go(run: Run, ran: World) -> None:
    key = layout.blob(ran.store.put_bytes(b"of no use"))
    before = dict(ran.store.contents)
    found = run("store", "gc", "--dry-run", "--grace", "0")
    assert (found.code, ran.store.contents) == (0, before)
    assert f"  {key}\n" in found.out
    assert "1 blob (9 B), 1 piece of log (9 B) would go" in found.out
    assert "2 objects (16 B) stay: needed" in found.out


def test_what_nothing_needs_is_removed(run: Run, ran: World) -> None:
    key = layout.blob(ran.store.put_bytes(b"of no use"))
    assert "1 blob (9 B), 1 piece of log (9 B) removed" in run("store", "gc", "--grace", "0").out
    assert key not in ran.store.contents
    assert run("store", "gc", "--grace", "0").out.startswith("nothing removed\n")
    assert run("store", "check").code == 0


def test_the_grace_is_seven_days_unless_it_is_said_otherwise(run: Run, ran: World) -> None:
    ran.store.put_bytes(b"of no use")
    document = run("store", "gc", "--json").json
    assert (document["removed"]["blobs"]["count"], document["waiting"]["count"]) == (0, 1)


@pytest.mark.parametrize(
    ("text", "age"),
    [("0", timedelta(0)), ("0d", timedelta(0)), ("90s", timedelta(seconds=90)), ("12h", timedelta(hours=12)),
     ("7d", timedelta(days=7)), ("2w", timedelta(days=14)), ("5m", timedelta(minutes=5))],
)  # fmt: skip
def test_an_age_is_a_number_and_a_unit(text: str, age: timedelta) -> None:
    assert keeping._age(text) == age


@pytest.mark.parametrize("text", ["7", "d", "-1d", "1.5d", "1y", "1D", ""])
def test_what_is_no_age_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="no such age"):
        keeping._age(text)


# copy ---------------------------------------------------------------------------------------------------------------


def test_runs_are_copied_and_verified(run: Run, ran: World, tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'copy'}"
    found = run("store", "copy", HASH, "--to", target)
    assert (found.code, found.out.splitlines()[0]) == (
        0, f"1 attempt in {target}; 2 blobs (16 B) and 5 documents written, verified",
    )  # fmt: skip
    again = run("store", "copy", "--to", target, "--no-verify", "--json").json
    assert (again["attempts"], again["blobs"], again["documents"], again["verified"]) == (1, 0, 0, False)
    assert LocalStore(tmp_path / "copy").attempts(SPEC.hash) == ran.store.attempts(SPEC.hash)


def test_what_cannot_be_copied_whole_is_told_and_is_code_5(run: Run, ran: World, tmp_path: Path) -> None:
    del ran.store.contents[KEY]
    found = run("store", "copy", "--to", f"file:{tmp_path / 'copy'}")
    assert (found.code, f"  ✗ {KEY}: " in found.out) == (5, True)


def test_the_other_store_has_variables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setattr("executor.here.open_store", lambda url, env, journal: seen.update(env))
    for name, value in {"AWS_ACCESS_KEY_ID": "mine", "TO_AWS_ACCESS_KEY_ID": "theirs", "AWS_REGION": "here"}.items():
        monkeypatch.setenv(name, value)
    wiring.other_store("s3://other", "TO_")
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_REGION"]) == ("theirs", "here")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "mine"


def test_progress_is_for_who_watches(run: Run, ran: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def site(url: str | None, reporter: Reporter | None = None) -> Site:
        return replace(ran.site, reporter=reporter or ran.watcher)

    monkeypatch.setattr(wiring, "site", site)
    assert "· documents\n" in run("store", "check").err
    assert run("store", "check", "--quiet").err == ""
