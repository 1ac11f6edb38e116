from pathlib import Path

import pytest

from executor.errors import CorruptObject, NotFound, UsageError
from executor.evidence.record import Record
from executor.facts import OutputFile
from executor.spec.canonical import Digest
from executor.steps.history import finished, pull, read, records, spec_of
from executor.store import layout
from tests.unit.engine.repos import commit_all, make_repo
from tests.unit.evidence.samples import file
from tests.unit.sites import Program, World, a_spec

SPEC = a_spec()


def silent(what: str, done: int, total: int) -> None: ...


def test_records_come_the_oldest_first(world: World) -> None:
    attempts = [world.submit(SPEC, force=True).record.attempt for _ in range(3)]
    assert [record.attempt for record in records(world.store, SPEC.hash)] == attempts


def test_a_record_that_is_none_is_corrupt(world: World) -> None:
    attempt = world.submit(SPEC).record.attempt
    world.store.contents[f"{layout.attempt(SPEC.hash, attempt)}/record.json"] = b'{"version": 1}'
    with pytest.raises(CorruptObject, match=attempt):
        read(world.store, SPEC.hash, attempt)
    with pytest.raises(NotFound):
        read(world.store, SPEC.hash, "another")


def test_nothing_is_finished_before_a_success(world: World) -> None:
    assert finished(world.store, SPEC.hash) is None
    world.program = Program(code=1)
    world.submit(SPEC)
    assert finished(world.store, SPEC.hash) is None


def test_the_reference_counts_and_else_the_oldest_success_that_is_whole(world: World) -> None:
    first = world.submit(SPEC).record
    world.program = Program(outputs={"model.pt": b"others"})
    second, third = (world.submit(SPEC, force=True).record for _ in range(2))
    assert finished(world.store, SPEC.hash) == first
    del world.store.contents[layout.blob(first.outputs[0].digest)]
    assert finished(world.store, SPEC.hash) == second
    del world.store.contents[f"{layout.attempt(SPEC.hash, second.attempt)}/record.json"]
    assert finished(world.store, SPEC.hash) == third


def test_a_spec_comes_back_with_its_hints(world: World, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", **{"a.py": ""})
    spec = a_spec(code={"commit": commit_all(repo), "repo": str(repo)}, labels={"team": "vision"},
                  resources={"memory": "2GiB", "timeout": "1h"})  # fmt: skip
    assert spec_of(world.store, world.submit(spec).record) == spec


def test_a_record_whose_spec_is_none_is_corrupt(world: World) -> None:
    record = world.submit(SPEC).record
    hostile = record.model_copy(update={"hints": record.hints.model_copy(update={"labels": {"a": "\0"}})})
    with pytest.raises(CorruptObject, match=f"{record.attempt}.*a record with a spec"):
        spec_of(world.store, hostile)


# Fetching outputs --------------------------------------------------------------------------------------------------


def test_outputs_are_fetched_into_a_folder(world: World, tmp_path: Path) -> None:
    world.program = Program(outputs={"model.pt": b"weights", "plots/übersicht.txt": b"", "run.sh": b"#!"})
    record = world.submit(SPEC).record
    moved: list[tuple[str, int, int]] = []
    files = pull(world.store, record, tmp_path / "new" / "out", lambda *seen: moved.append(seen))
    assert [one.path for one in files] == ["model.pt", "plots/übersicht.txt", "run.sh"]
    assert (tmp_path / "new" / "out" / "model.pt").read_bytes() == b"weights"
    assert (tmp_path / "new" / "out" / "plots" / "übersicht.txt").read_bytes() == b""
    assert moved[-1] == ("outputs", 9, 9)


def test_programs_stay_executable(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    outputs = tuple(one.model_copy(update={"executable": True}) for one in record.outputs)
    pull(world.store, record.model_copy(update={"outputs": outputs}), tmp_path / "out", silent)
    assert (tmp_path / "out" / "model.pt").stat().st_mode & 0o111 == 0o111


def test_what_is_there_already_is_not_fetched_again(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    pull(world.store, record, tmp_path, silent)
    world.store.requests.clear()
    pull(world.store, record, tmp_path, silent)
    assert world.store.requests == []


def test_other_contents_are_never_overwritten(world: World, tmp_path: Path) -> None:
    world.program = Program(outputs={"a.pt": b"a", "model.pt": b"weights"})
    record = world.submit(SPEC).record
    (tmp_path / "model.pt").write_bytes(b"my own")
    with pytest.raises(UsageError, match=r"1 file there with other contents: .*model.pt"):
        pull(world.store, record, tmp_path, silent)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["model.pt"]


def test_a_folder_in_the_place_of_a_file_is_other_contents(world: World, tmp_path: Path) -> None:
    (tmp_path / "model.pt").mkdir()
    with pytest.raises(UsageError, match="other contents"):
        pull(world.store, world.submit(SPEC).record, tmp_path, silent)


def test_wrong_bytes_never_arrive(world: World, tmp_path: Path) -> None:
    record = world.submit(SPEC).record
    world.store.contents[layout.blob(record.outputs[0].digest)] = b"WEIGHTS"
    with pytest.raises(CorruptObject):
        pull(world.store, record, tmp_path / "out", silent)
    assert not (tmp_path / "out" / "model.pt").exists()


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/etc/evil", "", ".", "a//b", "a/./b", "a\0b"])
def test_a_record_cannot_write_outside_of_the_folder(world: World, tmp_path: Path, path: str) -> None:
    record: Record = world.submit(SPEC).record
    evil = OutputFile(path=path, digest=Digest.of(b"weights"), size=7, role="file")
    with pytest.raises(CorruptObject, match="outputs below /outputs"):
        pull(world.store, record.model_copy(update={"outputs": (file("ok", "x"), evil)}), tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()
