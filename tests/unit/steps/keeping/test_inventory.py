from __future__ import annotations

from executor.spec.canonical import Digest
from executor.steps.keeping import inventory
from executor.store import layout
from tests.fakes import MemoryStore

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


def a_store() -> MemoryStore:
    store = MemoryStore()
    for spec_hash in (ONE, OTHER):
        store.overwrite(f"{layout.run(spec_hash)}/spec.json", b"spec")
        store.overwrite(f"{layout.attempt(spec_hash, 'a')}/record.json", b"record")
    for segment in (10, 2):
        store.put_log(ONE, "live", segment, b"line")
    store.overwrite(layout.pin(ONE, "image", OTHER), b"pin")
    store.overwrite(f"{layout.RUNS}/README", b"none of ours")
    store.overwrite(f"{layout.RUNS}/{ONE.hex[:63]}/spec.json", b"none of ours")
    return store


def test_runs_with_their_attempts() -> None:
    runs = inventory.runs(a_store())
    assert [run.spec_hash for run in runs] == sorted([ONE, OTHER])
    one = next(run for run in runs if run.spec_hash == ONE)
    assert one.objects.keys() == {"spec.json", f"archive/image/{OTHER.hex}"}
    assert {name: attempt.finished for name, attempt in one.attempts.items()} == {"a": True, "live": False}
    assert [segment.key[-2:] for segment in one.attempts["live"].segments] == ["02", "10"]
    assert len(list(one.every())) == 5


def test_only_what_is_wanted() -> None:
    assert [run.spec_hash for run in inventory.runs(a_store(), [OTHER])] == [OTHER]
    assert inventory.runs(a_store(), [Digest.of(b"absent")]) == []


def test_few_requests_however_many_attempts() -> None:
    store = a_store()
    for number in range(500):
        store.overwrite(f"{layout.attempt(ONE, f'n{number}')}/record.json", b"record")
    store.requests.clear()
    inventory.runs(store)
    assert len(store.requests) == 16


def test_blobs_all_or_some() -> None:
    store = MemoryStore()
    digests = [store.put_bytes(b"%d" % number) for number in range(400)]
    store.overwrite(f"{layout.BLOBS}/00/{ONE.hex}", b"in the wrong place")
    store.overwrite(f"{layout.BLOBS}/README", b"none of ours")
    found = inventory.blobs(store)
    assert found.keys() == set(digests)
    assert found[digests[123]].size == 3
    store.requests.clear()
    assert inventory.blobs(store, [*digests[:2], OTHER]).keys() == set(digests[:2])
    assert len(store.requests) == 3
    store.requests.clear()
    assert inventory.blobs(store, [*digests, OTHER]).keys() == set(digests)
    assert len(store.requests) == 16


def test_images_of_their_own() -> None:
    store = MemoryStore()
    store.overwrite(layout.image(ONE), b"root")
    store.overwrite(f"{layout.IMAGES}/README", b"none of ours")
    assert inventory.images(store).keys() == {ONE}
