from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from executor.engine import outputs
from executor.errors import CorruptObject, DiskFull, NotFound
from executor.spec.canonical import Digest
from executor.steps import staging
from executor.steps.recorded import beside
from executor.steps.staging import RESULT, Staged, commit, committed, listed, on_disk, read, stage
from executor.steps.workspace import Workspace
from tests.unit.sites import World, a_spec, a_workspace, an_end


def staged_in(space: Workspace, world: World) -> Staged:
    ended = an_end(world, space.folder.name)
    return stage(ended, beside(ended, space), space, world.site)


def test_a_staged_result_says_all_that_its_delivery_needs(world: World) -> None:
    with a_workspace(world, "a", model_pt=b"weights", same_pt=b"weights") as space:
        staged = staged_in(space, world)
        assert read(space) == staged
        assert space.kept
        for one in staged.parcels:
            data = (space.folder / one.path).read_bytes()
            assert (Digest.of(data), len(data)) == (one.digest, one.size)
        space.drop()
    assert {one.digest for one in staged.parcels} == set(staged.record.blobs())
    assert [file.path for file in staged.record.outputs] == ["model.pt", "same.pt"]
    assert (staged.outputs, staged.url, staged.reference) == (None, "memory:", None)
    assert staged.spec == a_spec()
    assert world.store.requests == []


def test_a_staged_result_is_on_disk_before_it_is_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def remember(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", remember)
    with a_workspace(world, "a", model_pt=b"weights") as space:
        ended = an_end(world, "a")
        kept = beside(ended, space)
        synced.clear()
        stage(ended, kept, space, world.site)
        space.drop()
    parts = [number for number, name in enumerate(synced) if name.startswith(".part-")]
    assert len(parts) == 2, "the result is written twice: before and after its outputs are listed"
    assert synced.index("log.txt") < parts[0] < synced.index("model.pt") < synced.index("staging") < parts[1]
    assert synced[parts[1] + 1] == "a"


def test_many_files_are_waited_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / str(number) for number in range(staging._SYNCED_ALONE + 1)]
    for file in files:
        file.touch()
    waited: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: waited.append("sync"))
    on_disk(files[1:])
    assert waited == []
    on_disk(files)
    assert waited == ["sync"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_while_outputs_are_copied_costs_nothing_but_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_workspace(world, "a", model_pt=b"weights") as space:
        with monkeypatch.context() as broken:
            broken.setattr(outputs, "_copy", full)
            with pytest.raises(DiskFull, match="No space left"):
                staged_in(space, world)
        assert list(space.staging.iterdir()) == [], "room that is of no use is given back"
        half = read(space)
        assert half.outputs is not None
        assert half.record.outputs == ()
        whole = listed(half, space)
        assert [file.path for file in whole.record.outputs] == ["model.pt"]
        assert listed(whole, space) == read(space) == whole
        space.drop()


@pytest.mark.parametrize("what", ["another start of the machine", "another folder"])
def test_outputs_that_may_have_lost_bytes_are_not_listed(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with a_workspace(world, "a", model_pt=b"weights") as space:
        with monkeypatch.context() as broken:
            broken.setattr(outputs, "_copy", full)
            with pytest.raises(DiskFull):
                staged_in(space, world)
        half = read(space)
        assert half.outputs is not None
        if what == "another folder":
            space.outputs.rename(space.outputs.with_name("before"))
            space.outputs.mkdir()
        else:
            half = half.model_copy(update={"outputs": "0" * 36 + half.outputs[36:]})
        with pytest.raises(CorruptObject):
            listed(half, space)
        space.drop()


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_result_that_is_damaged_is_not_believed(world: World, damage: str) -> None:
    with a_workspace(world, "a") as space:
        staged_in(space, world)
        path = space.folder / RESULT
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:-9], "flip": whole[:-9] + b"!" + whole[-8:], "empty": b"",
                          "other": json.dumps({"version": 1}).encode()}[damage])  # fmt: skip
        with pytest.raises(CorruptObject):
            read(space)
        space.drop()


def test_where_nothing_was_staged_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="before anything was written down"):
        read(Workspace(tmp_path))


def test_a_record_is_settled_once_it_is_on_disk(world: World) -> None:
    with a_workspace(world, "a") as space:
        record = staged_in(space, world).record
        assert committed(space) is None
        data = commit(record, space)
        assert committed(space) == (record, data)
        space.drop()
