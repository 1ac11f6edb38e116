from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.engine.oci import INDEX, MANIFEST
from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.spec.canonical import Digest
from executor.spec.tree import Tree, TreeEntry
from executor.steps.keeping import inventory
from executor.steps.keeping.needs import Needs, Uses, images, pins, uses
from executor.store import layout
from tests.fakes import MemoryStore
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.sites import World, a_spec

SPEC = a_spec()


def an_image(store: MemoryStore, folder: Path, layer: bytes = b"layer") -> Digest:
    blobs = FolderBlobs(folder)
    digest = blobs.image(layer)
    for path in folder.iterdir():
        store.put_bytes(path.read_bytes())
    return digest


def an_index(store: MemoryStore, *manifests: Digest) -> Digest:
    entries = [{"mediaType": MANIFEST, "digest": str(one), "size": 1} for one in manifests]
    return store.put_bytes(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode())


def a_tree(store: MemoryStore, **files: bytes) -> Digest:
    entries = [TreeEntry(name, len(data), store.put_bytes(data)) for name, data in files.items()]
    return store.put_bytes(Tree(tuple(entries)).manifest())


def roles(needs: Needs, one: Uses) -> list[str]:
    return [need.role for need in needs.of(one)]


def test_a_record_names_what_its_attempt_needs(world: World) -> None:
    record = world.submit(SPEC).record
    found = uses(record)
    assert (found.spec_hash, found.attempt, found.manifest) == (SPEC.hash, record.attempt, None)
    assert {need.role for need in found.direct} == {"output model.pt", "log"}
    assert {need.digest: need.size for need in found.direct} == record.blobs()


def test_an_image_leads_to_its_config_and_layers(tmp_path: Path) -> None:
    store = MemoryStore()
    (one,) = images([an_image(store, tmp_path)])
    needs = Needs.load(store, [one])
    assert roles(needs, one) == ["image manifest", "image config", "image layer"]
    assert {need.digest for need in needs.of(one)} == inventory.blobs(store).keys()
    assert {layout.blob(need.digest): need.size for need in needs.of(one)} == {
        key: len(data) for key, data in store.contents.items()
    }


def test_an_index_leads_to_those_of_its_images_that_are_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "one").mkdir()
    digest = an_image(store, tmp_path / "one")
    (one,) = images([an_index(store, digest, Digest.of(b"for another platform"))])
    assert roles(Needs.load(store, [one]), one) == ["image index", "image manifest", "image config", "image layer"]


def test_an_index_of_which_no_image_is_kept_is_not_known(tmp_path: Path) -> None:
    store = MemoryStore()
    (one,) = images([an_index(store, Digest.of(b"lost"))])
    needs = Needs.load(store, [one])
    assert isinstance(needs.unread[one.manifest], NotFound)  # type: ignore[index]


def test_data_leads_to_its_files() -> None:
    store = MemoryStore()
    tree = Uses(SPEC.hash, what="data.digits", manifest=a_tree(store, a=b"1", b=b"2"))
    assert roles(Needs.load(store, [tree]), tree) == ["manifest of data", "data a", "data b"]


def test_pins_say_what_is_archived_for_a_run(world: World) -> None:
    digest = Digest.of(b"manifest")
    key = layout.pin(SPEC.hash, "data.digits", digest)
    world.store.overwrite(key, b"pin")
    world.store.overwrite(f"{layout.run(SPEC.hash)}/spec.json", b"spec")
    (run,) = inventory.runs(world.store)
    assert list(pins(run)) == [(key, Uses(SPEC.hash, what="data.digits", manifest=digest))]


@pytest.mark.parametrize("data", [None, b"damaged", b'{"schemaVersion": 2}', b"[]"])
def test_a_manifest_that_cannot_be_read_is_itself_all_that_is_known(data: bytes | None, tmp_path: Path) -> None:
    store = MemoryStore()
    digest = store.put_bytes(data) if data and data != b"damaged" else Digest.of(b"other")
    if data == b"damaged":
        store.contents[layout.blob(digest)] = data
    for one in (*images([digest]), Uses(SPEC.hash, what="data.x", manifest=digest)):
        needs = Needs.load(store, [one])
        assert isinstance(needs.unread[digest], NotFound if data is None else CorruptObject)
        assert [need.digest for need in needs.of(one)] == [digest]
        assert needs.sizes([one]) == {digest: None}


def test_a_store_out_of_reach_is_no_store_without_manifests() -> None:
    store = MemoryStore()
    store.down = True
    with pytest.raises(StoreUnreachable):
        Needs.load(store, images([Digest.of(b"any")]))


def test_a_manifest_is_read_once_however_many_need_it() -> None:
    store = MemoryStore()
    manifest = a_tree(store, a=b"1")
    every = [Uses(Digest.of(b"%d" % number), what="data.x", manifest=manifest) for number in range(50)]
    store.requests.clear()
    needs = Needs.load(store, every)
    assert len([request for request in store.requests if request.startswith("open")]) == 1
    assert needs.sizes(every) == {manifest: needs.contents[manifest][0].size, Digest.of(b"1"): 1}


def test_the_roles_of_bad_blobs_and_of_no_others(world: World) -> None:
    record = world.submit(SPEC).record
    needs, bad = Needs(), {Digest.of(b"weights"), Digest.of(b"elsewhere")}
    assert needs.roles(uses(record), bad) == {Digest.of(b"weights"): "output model.pt"}
