from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.engine.archive import pack
from executor.errors import UsageError
from executor.evidence.record import Blob, Record
from executor.steps.finding import versus
from executor.steps.finding.versus import FileChange, code_change, code_changes, found_records, once, told
from tests.fakes import NOON, MemoryStore
from tests.unit.engine.repos import ENV, commit_all, make_repo
from tests.unit.evidence.samples import record
from tests.unit.steps.finding.test_leaderboard import Team


class Coder:
    """Runs of commits whose archives are in a store."""

    def __init__(self, root: Path) -> None:
        self.store, self.root = MemoryStore(), root
        self.repo = make_repo(root / "repo", **{"train.py": "one\ntwo\n", "same.py": "same\n"})
        self.commits = 0

    def ran(self, *, kept: bool = True, gone: tuple[str, ...] = (), **files: Any) -> Record:
        """A run of a commit with these files changed."""
        for name, content in files.items():
            path = self.repo / name.replace("_", ".")
            path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
        for name in gone:
            (self.repo / name).unlink()
        commit, self.commits = commit_all(self.repo), self.commits + 1
        archive = self.root / f"archive-{self.commits}"
        pack(str(self.repo), commit, archive, env=ENV)
        data = archive.read_bytes()
        code = Blob(digest=self.store.put_bytes(data), size=len(data)) if kept else None
        return record(spec={"code": commit}, code=code, attempt=f"a{self.commits}")

    def change(self, one: Record, other: Record) -> versus.CodeChange:
        return code_change(self.store, one, other)


@pytest.fixture
def coder(tmp_path: Path) -> Coder:
    return Coder(tmp_path)


def test_changed_lines_are_told_as_a_unified_diff(coder: Coder) -> None:
    found = coder.change(coder.ran(), coder.ran(train_py="one\nthree\n"))
    assert found.files == (FileChange("train.py", "changed", (
        "--- a/train.py", "+++ b/train.py", "@@ -1,2 +1,2 @@", " one", "-two", "+three",
    )),)  # fmt: skip
    assert told(found) == "1 file differs"


def test_files_come_and_go(coder: Coder) -> None:
    found = coder.change(coder.ran(), coder.ran(gone=("train.py",), new_py="x\n"))
    assert [(file.path, file.kind) for file in found.files] == [("new.py", "added"), ("train.py", "removed")]
    assert told(found) == "2 files differ"


def test_what_is_no_text_or_too_large_is_named_without_lines(coder: Coder) -> None:
    before = coder.ran()
    large = "x\n" * (versus.MOST_FILE // 2 + 1)
    found = coder.change(before, coder.ran(a_bin=b"\0\1", b_txt="\xff".encode("latin-1"), c_txt=large))
    assert [(file.path, file.lines, file.note) for file in found.files] == [
        ("a.bin", (), "no text"), ("b.txt", (), "no text"), ("c.txt", (), "larger than 256 KiB"),
    ]  # fmt: skip


def test_what_is_told_has_an_end(coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versus, "MOST_FILES", 1)
    monkeypatch.setattr(versus, "MOST_LINES", 4)
    found = coder.change(coder.ran(), coder.ran(a_py="1\n2\n3\n", b_py=""))
    assert ([file.path for file in found.files], found.more) == (["a.py"], 1)
    assert (len(found.files[0].lines), found.files[0].more) == (4, 2)


def test_without_an_archive_it_says_why(coder: Coder) -> None:
    before, after = coder.ran(), coder.ran(train_py="x", kept=False)
    assert coder.change(before, after).problem == f"the store has no archive of commit {after.spec['code'][:12]}"
    coder.store.contents = {}
    lost = coder.change(before, coder.ran(train_py="y")).problem
    assert lost == f"the store lost the archive of commit {before.spec['code'][:12]}"


def test_an_archive_of_another_commit_is_not_believed(coder: Coder) -> None:
    before, after = coder.ran(), coder.ran(train_py="x")
    lying = after.model_copy(update={"code": before.code})
    assert "expected" in coder.change(before, lying).problem


def test_an_archive_too_large_is_not_fetched(coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = coder.ran(), coder.ran(train_py="x")
    monkeypatch.setattr(versus, "MOST_ARCHIVE", 10)
    coder.store.requests.clear()
    assert coder.change(before, after).problem.endswith("is too large to look into")
    assert coder.store.requests == []


def test_each_other_commit_is_held_against_that_of_the_baseline_once(coder: Coder) -> None:
    one, two = coder.ran(), coder.ran(train_py="2")
    three, bare = coder.ran(train_py="3"), record(spec={"code": None})
    changes = code_changes(coder.store, [one, two, two, three, bare, one])
    assert [(change.before, change.after) for change in changes] == [
        (one.spec["code"], two.spec["code"]), (one.spec["code"], three.spec["code"]),
    ]  # fmt: skip
    assert [change.before for change in code_changes(coder.store, [one, two], 1)] == [two.spec["code"]]
    assert code_changes(coder.store, [bare, one]) == []


def test_runs_are_found_by_an_expression_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(tmp_path)
    made = [team.ran(seed / 10, seed=seed) for seed in (1, 2, 3)]

    def ask(text: str) -> list[Record]:
        return team.library.ask(lambda view: found_records(view, team.store, text, NOON))

    assert {one.attempt for one in ask("seed > 1")} == {made[1].attempt, made[2].attempt}
    assert once([made[0], made[1], made[0]]) == made[:2]
    monkeypatch.setattr(versus, "MOST_RUNS", 2)
    with pytest.raises(UsageError, match="3 runs, more than the 2 that can be compared"):
        ask("seed > 0")
