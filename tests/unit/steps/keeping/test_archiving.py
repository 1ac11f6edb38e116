"""What a rerun needs comes into the store, before a run or after it, and is found again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from executor.engine import keeping
from executor.engine.interface import Progress
from executor.engine.oci import Descriptor
from executor.errors import ImageNotFound
from executor.run import Options, rerun, submit
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.spec.tree import scan
from executor.steps.keeping import archiving
from executor.steps.keeping.archiving import archived
from executor.store import layout
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import World, a_spec

EVERYTHING = Options(archive=frozenset({"image", "data"}))


class Elsewhere:
    """Stands in for a registry that has one image; `gone` makes it answer no more."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.blobs = FolderBlobs(root)
        self.digest = self.blobs.image(b"low", b"high")
        self.gone = False

    def manifest(self, digest: Digest) -> bytes:
        if self.gone:
            raise ImageNotFound("registry: gone")
        return (self.blobs.root / digest.hex).read_bytes()

    def fetch(self, blob: Descriptor, target: Path, progress: Progress) -> None:
        shutil.copyfile(self.blobs.root / blob.digest.hex, target)
        progress(blob.digest.hex[:12], blob.size, blob.size)


@pytest.fixture
def elsewhere(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    found = Elsewhere(tmp_path / "registry")
    monkeypatch.setattr(keeping, "Registry", lambda *_: found)
    world.engine.digests = {found.digest}
    return found


@pytest.fixture
def spec(elsewhere: Elsewhere, tmp_path: Path) -> Spec:
    folder = tmp_path / "digits"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x.csv").write_text("1,2\n")
    (folder / "y.csv").write_text("3,4\n")
    data: Any = {"digits": {"hash": str(scan(folder).hash), "source": str(folder)}}
    return a_spec(image=f"example.org/acme/x@{elsewhere.digest}", data=data)


def pins(world: World, spec: Spec) -> list[str]:
    start = f"{layout.run(spec.hash)}/archive/"
    return sorted(key.removeprefix(start) for key in world.stored if key.startswith(start))


def test_a_run_archives_before_it_runs_and_its_record_comes_last(world: World, spec: Spec) -> None:
    ran = submit(spec, world.site, EVERYTHING)
    assert pins(world, spec) == [f"data.digits/{spec.data['digits'].hash.hex}", f"image/{spec.image.pinned.hex}"]
    puts = [request.removeprefix("put ") for request in world.store.requests if request.startswith("put")]
    record = puts.index(f"{layout.attempt(spec.hash, ran.record.attempt)}/record.json")
    assert all(puts.index(layout.blob(Digest.of(data))) < record for data in (b"low", b"high", b"1,2\n", b"3,4\n"))
    stages = world.watcher.stages
    archiving = [stage for stage in stages if stage.startswith("archiving")]
    assert archiving == [f"archiving image {spec.image.pinned}", "archiving data digits"]
    running = next(index for index, stage in enumerate(stages) if stage.startswith("running"))
    assert max(map(stages.index, archiving)) < running


def test_a_pin_comes_after_the_manifest_and_before_what_it_leads_to(world: World, spec: Spec) -> None:
    submit(spec, world.site, EVERYTHING)
    puts = [request.removeprefix("put ") for request in world.store.requests if request.startswith("put")]
    for what, digest, inner in (
        ("image", spec.image.pinned, b"low"), ("data.digits", spec.data["digits"].hash, b"1,2\n"),
    ):  # fmt: skip
        order = [layout.blob(digest), layout.pin(spec.hash, what, digest), layout.blob(Digest.of(inner))]
        assert sorted(order, key=puts.index) == order


def test_only_what_is_asked_for_is_archived(world: World, spec: Spec) -> None:
    submit(spec, world.site, Options())
    assert pins(world, spec) == []
    submit(spec, world.site, Options(archive=frozenset({"data"})))
    assert [pin.partition("/")[0] for pin in pins(world, spec)] == ["data.digits"]
    assert layout.blob(Digest.of(b"low")) not in world.stored


def test_a_result_from_the_store_is_archived_too_and_once(
    world: World, spec: Spec, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    submit(spec, world.site, Options())
    later = submit(spec, world.site, EVERYTHING)
    assert (later.cached, len(pins(world, spec)), len(world.engine.plans)) == (True, 2, 1)
    elsewhere.gone = True
    shutil.rmtree(tmp_path / "digits")
    world.watcher.stages.clear()
    world.store.requests.clear()
    again = submit(spec, world.without_engine(), EVERYTHING)
    assert (again.cached, world.watcher.stages) == (True, [])
    assert [request for request in world.store.requests if request.startswith("put")] == []


def test_what_was_left_half_archived_is_completed(world: World, spec: Spec) -> None:
    submit(spec, world.site, EVERYTHING)
    for data in (b"high", b"3,4\n"):
        del world.store.contents[layout.blob(Digest.of(data))]
    assert [one.size for one in archived(world.store, world.records(spec)[0])] == [None, None]
    submit(spec, world.site, EVERYTHING)
    assert all(one.size for one in archived(world.store, world.records(spec)[0]))


def test_what_cannot_be_archived_stops_a_run_before_it_begins(world: World, spec: Spec, elsewhere: Elsewhere) -> None:
    elsewhere.gone = True
    with pytest.raises(ImageNotFound, match="registry: gone"):
        submit(spec, world.site, EVERYTHING)
    assert (world.engine.plans, world.left, world.records(spec)) == ([], [], [])


def test_a_rerun_takes_image_and_data_from_the_store(
    world: World, spec: Spec, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    submit(spec, world.site, EVERYTHING)
    elsewhere.gone = True
    world.engine.digests = set()
    shutil.rmtree(tmp_path / "digits")
    again = rerun(spec.hash, world.site, Options())
    assert again.record.comparison
    assert again.record.comparison.verdict == "identical"
    assert {one.field: one.observed.rpartition(" ")[2] for one in again.record.findings}[
        "data.digits.hash"
    ] == "archive"
    assert again.record.fingerprint.image
    assert again.record.fingerprint.image.source == "store"


def test_a_rerun_can_archive(world: World, spec: Spec) -> None:
    submit(spec, world.site, Options())
    rerun(spec.hash, world.site, EVERYTHING)
    assert len(pins(world, spec)) == 2


def test_a_trial_archives_nothing(world: World, spec: Spec) -> None:
    submit(spec, world.site, Options(archive=frozenset({"data"}), twin=1))
    stages = world.watcher.stages
    assert stages.count("archiving data digits") == 1
    assert stages.index("archiving data digits") > stages.index("a trial runs")


def test_what_is_archived_is_shown_with_its_size(world: World, spec: Spec, elsewhere: Elsewhere) -> None:
    record = submit(spec, world.site, Options()).record
    assert archived(world.store, record) == []
    submit(spec, world.site, EVERYTHING)
    data, image = archived(world.store, record)
    assert (data.what, data.digest, data.size) == ("data.digits", spec.data["digits"].hash, 8)
    size = sum(path.stat().st_size for path in elsewhere.blobs.root.iterdir())
    assert (image.what, image.digest, image.size) == ("image", spec.image.pinned, size)
    world.store.contents[layout.blob(spec.image.pinned)] = b"damaged"
    assert archived(world.store, record)[1].size is None


def test_a_collector_that_began_before_a_pin_is_waited_for(
    world: World, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing of the pin and removes old blobs of it; they are looked for again, and sent."""
    submit(spec, world.site, EVERYTHING)
    old = {layout.blob(digest) for digest in (spec.image.pinned, spec.data["digits"].hash)}
    old |= {layout.blob(Digest.of(data)) for data in (b"low", b"1,2\n")}
    for key in [key for key in world.stored if "/archive/" in key]:
        del world.store.contents[key]

    def wait(*_: object) -> None:
        for key in old:
            world.store.contents.pop(key, None)
        old.clear()

    monkeypatch.setattr(archiving, "wait_for_sweep", wait)
    with pytest.raises(ImageNotFound) as caught:  # all was there, so nobody was asked
        submit(spec, world.site, EVERYTHING)
    assert caught.value.advice == "archive it again"
    submit(spec, world.site, EVERYTHING)
    assert all(one.size for one in archived(world.store, world.records(spec)[0]))
