import json
from pathlib import Path

import pytest

from executor.spec.file import load_spec, spec_text
from tests.unit.cli.conftest import Run
from tests.unit.engine.repos import make_repo
from tests.unit.sites import IMAGE, World, a_spec

SPEC = a_spec()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(spec_text(SPEC))
    return path


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo", **{"train.py": ""})
    path = repo / "draft.yaml"
    path.write_text(
        "version: 1\nname: line\nimage: localhost/torch:cpu\n"
        f"code: {{repo: {repo}, branch: HEAD}}\ncommand: [true]\nseed: 1\n".replace("[true]", "['true']")
    )
    return path


def test_hash_prints_the_hash_and_nothing_else(run: Run, spec: Path) -> None:
    assert run("hash", spec).out == f"{SPEC.hash.hex}\n"
    assert run("hash", spec, "--json").json == {
        "spec_hash": SPEC.hash.hex, "experiment_key": SPEC.experiment_key.hex,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["absent", "folder", "binary", "empty"])
def test_what_is_no_spec_is_told(run: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes(b"\x00\xff\x1b[2J" if kind == "binary" else b"")
    for command in ("hash", "plan", "lock"):
        ran = run(command, path, "--json")
        assert ran.code == 2
        assert ran.json["errors"]
        assert "\x1b" not in ran.err + ran.out


def test_a_name_that_is_no_text_is_told(run: Run) -> None:
    ran = run("hash", "\udcff.yaml", "--json")
    assert (ran.code, ran.json["path"]) == (2, "\udcff.yaml")


def test_a_draft_is_sent_to_lock(run: Run, draft: Path) -> None:
    ran = run("hash", draft)
    assert ran.code == 2
    assert "executor lock" in ran.err


def test_plan_is_json_and_touches_nothing(run: Run, wired: World, spec: Path) -> None:
    shown = json.loads(run("plan", spec).out)
    assert shown["request"]["HostConfig"]["NetworkMode"] == "none"
    assert run("plan", spec, "--json").json == shown
    assert (wired.engine.plans, wired.store.requests, wired.site.home.root.exists()) == ([], [], False)


def test_plan_says_what_would_be_kept_for_a_rerun(run: Run, wired: World, spec: Path) -> None:
    assert run("plan", spec).json["archive"] == []  # it has no code, which always is
    assert run("plan", spec, "--archive", "image,data").json["archive"] == ["image"]
    ran = run("plan", spec, "--archive", "image,code", "--json")
    assert (ran.code, ran.json["error"]) == (2, "UsageError")
    assert "code cannot be archived; there are image and data" in ran.json["message"]


def test_lock_prints_a_spec(run: Run, wired: World, draft: Path, tmp_path: Path) -> None:
    out = run("lock", draft).out
    (tmp_path / "locked.yaml").write_text(out)
    locked = load_spec(tmp_path / "locked.yaml")
    assert locked.image.pinned == IMAGE
    document = run("lock", draft, "--json").json
    assert (document["spec_hash"], document["name"]) == (locked.hash.hex, "line")


def test_lock_writes_where_it_is_told(run: Run, wired: World, draft: Path, tmp_path: Path) -> None:
    ran = run("lock", draft, "-o", tmp_path / "out.yaml")
    assert (ran.code, ran.out) == (0, "")
    assert load_spec(tmp_path / "out.yaml").name == "line"
    lost = run("lock", draft, "-o", tmp_path / "nowhere" / "out.yaml", "--json")
    assert (lost.code, lost.json["error"]) == (2, "FileError")
    assert "nowhere" in lost.json["message"]


def test_uncommitted_changes_are_named(run: Run, wired: World, draft: Path) -> None:
    (draft.parent / "new\x1b[2J.py").write_text("")
    ran = run("lock", draft)
    assert ran.code == 2
    assert "uncommitted changes in 1 file:" in ran.err
    assert "\x1b" not in ran.err
