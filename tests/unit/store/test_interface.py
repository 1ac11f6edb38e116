from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from executor.errors import CorruptObject, NotFound, StoreUnreachable, UsageError
from executor.spec.canonical import SPEC_TAG, Digest, sealed
from executor.store import layout
from tests.fakes import MemoryStore

SPEC = b'{"seed":1}'
SPEC_HASH = Digest.of(SPEC_TAG + SPEC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def a_file(folder: Path, data: bytes, name: str = "file") -> tuple[Path, Digest, int]:
    path = folder / name
    path.write_bytes(data)
    return path, Digest.of(data), len(data)


def test_a_blob_comes_back_as_it_was_put(store: MemoryStore, tmp_path: Path) -> None:
    path, digest, size = a_file(tmp_path, b"weights")
    store.put_blob(path, digest, size)
    store.get_blob(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"weights"
    assert store.read_blob(digest, 7) == b"weights"
    assert store.blob_size(digest) == 7


def test_a_blob_that_is_there_is_not_sent_again(store: MemoryStore, tmp_path: Path) -> None:
    for _ in range(2):
        store.put_blob(*a_file(tmp_path, b"weights"))
        store.put_bytes(b"metrics")
    assert sum(request.startswith("put") for request in store.requests) == 2


def test_a_stored_blob_of_the_wrong_size_is_replaced(store: MemoryStore, tmp_path: Path) -> None:
    path, digest, size = a_file(tmp_path, b"weights")
    store.contents[layout.blob(digest)] = b"weig"
    store.put_blob(path, digest, size)
    assert store.read_blob(digest, 7) == b"weights"


@pytest.mark.parametrize("changed", [b"weighty", b"weights and more", b"w", b""])
def test_a_file_that_changed_since_it_was_hashed_is_not_stored(
    store: MemoryStore, tmp_path: Path, changed: bytes
) -> None:
    path, digest, size = a_file(tmp_path, b"weights")
    path.write_bytes(changed)
    with pytest.raises(CorruptObject):
        store.put_blob(path, digest, size)
    assert store.contents == {}


def test_a_file_that_vanished_is_a_wrong_file(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(CorruptObject, match="no file"):
        store.put_blob(tmp_path / "gone", Digest.of(b""), 0)


def test_progress_adds_up_whatever_is_there_already(store: MemoryStore, tmp_path: Path) -> None:
    items = [a_file(tmp_path, bytes([i % 5]) * 1000, f"f{i}") for i in range(20)]
    store.put_bytes(bytes([1]) * 1000)
    moved: list[int] = []
    store.put_blobs(items, moved.append)
    assert sum(moved) == 20_000


def test_many_blobs_are_asked_for_by_listing(store: MemoryStore, tmp_path: Path) -> None:
    digests = [store.put_bytes(b"%d" % i) for i in range(1000)]
    store.requests.clear()
    absent = Digest.of(b"absent")
    sizes = {digest: len(b"%d" % i) for i, digest in enumerate(digests)} | {absent: 6, digests[3]: 99}
    assert set(store.missing_blobs(sizes)) == {absent, digests[3]}
    assert len(store.requests) <= 256


def test_reading_wrong_bytes_says_so(store: MemoryStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"weights")
    store.contents[layout.blob(digest)] = b"weighty"
    with pytest.raises(CorruptObject) as caught:
        store.get_blob(digest, tmp_path / "back")
    assert caught.value.expected == str(digest)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CorruptObject), store.open_blob(digest) as stream:
        stream.read()


def test_bytes_damaged_on_their_way_are_read_again(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put_bytes(b"weights")
    key = layout.blob(digest)
    answers = iter([b"weighty", b"weights"])
    opened = store._open
    monkeypatch.setattr(store, "_open", lambda k: store.contents.update({key: next(answers)}) or opened(k))
    assert store.read_blob(digest, 7) == b"weights"


def test_a_blob_larger_than_the_limit_is_refused(store: MemoryStore) -> None:
    digest = store.put_bytes(b"weights")
    with pytest.raises(UsageError, match="larger than 6 bytes"):
        store.read_blob(digest, 6)


def test_a_spec_is_checked_when_put_and_when_got(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="not the canonical bytes"):
        store.put_spec(SPEC_HASH, b"{}")
    store.put_spec(SPEC_HASH, SPEC)
    store.put_spec(SPEC_HASH, SPEC)
    assert store.get_spec(SPEC_HASH) == SPEC
    store.contents[f"v1/runs/{SPEC_HASH.hex}/spec.json"] = b'{"seed":2}'
    with pytest.raises(CorruptObject):
        store.get_spec(SPEC_HASH)
    with pytest.raises(CorruptObject):
        store.put_spec(SPEC_HASH, SPEC)


def test_the_layout_is_the_documented_one(store: MemoryStore) -> None:
    store.put_spec(SPEC_HASH, SPEC)
    store.put_log(SPEC_HASH, "a1", 0, b"line\n")
    blob = store.put_bytes(b"x")
    store.put_record(SPEC_HASH, "a1", b"{}")
    store.put_reference(SPEC_HASH, "a1")
    run = f"v1/runs/{SPEC_HASH.hex}"
    assert sorted(store.contents) == sorted(
        [
            f"{run}/spec.json",
            f"{run}/attempts/a1/log/00000000",
            f"{run}/attempts/a1/record.json",
            f"{run}/reference.json",
            f"v1/blobs/sha256/{blob.hex[:2]}/{blob.hex}",
        ]
    )
    assert store.attempt_url(SPEC_HASH, "a1") == f"memory:/{run}/attempts/a1"


def rotten(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, key: str, times: int) -> None:
    """The first reads of a key give a wrong last byte."""
    opened, left = store._open, [times]

    def rot(name: str) -> BinaryIO:
        stream = opened(name)
        if key not in name or not left[0]:
            return stream
        left[0] -= 1
        data = stream.read()
        return io.BytesIO(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])

    monkeypatch.setattr(store, "_open", rot)


@pytest.mark.parametrize("times", [1, 2])
def test_small_objects_damaged_on_their_way_are_read_again(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    store.put_spec(SPEC_HASH, SPEC)
    store.put_reference(SPEC_HASH, "a")
    store.put_diagnosis(SPEC_HASH, "a", sealed({"step": 1}))
    reads: list[tuple[str, Callable[[], object]]] = [
        ("spec.json", lambda: store.get_spec(SPEC_HASH)),
        ("spec.json", lambda: store.put_spec(SPEC_HASH, SPEC)),
        ("reference.json", lambda: store.reference(SPEC_HASH)),
        ("reference.json", lambda: store.put_reference(SPEC_HASH, "b")),
        ("diagnosis.json", lambda: store.diagnosis(SPEC_HASH, "a")),
    ]
    for key, read in reads:
        before = read()
        with monkeypatch.context() as broken:
            rotten(store, broken, key, times)
            if times == 1:
                assert read() == before
            else:
                with pytest.raises(CorruptObject):
                    read()


def test_a_record_is_ours_though_a_bit_flips_when_it_is_read_back(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_record(SPEC_HASH, "a", b"a record")
    rotten(store, monkeypatch, "record.json", 1)
    store.put_record(SPEC_HASH, "a", b"a record")


def test_a_record_is_created_once(store: MemoryStore) -> None:
    store.put_record(SPEC_HASH, "a1", b"one")
    store.put_record(SPEC_HASH, "a1", b"one")
    with pytest.raises(UsageError, match="other contents"):
        store.put_record(SPEC_HASH, "a1", b"two")
    assert store.get_record(SPEC_HASH, "a1") == b"one"


def test_an_attempt_without_a_record_does_not_exist(store: MemoryStore) -> None:
    store.put_log(SPEC_HASH, "b", 0, b"running")
    store.put_log(SPEC_HASH, "a", 0, b"ran")
    store.put_record(SPEC_HASH, "a", b"{}")
    assert store.attempts(SPEC_HASH) == ["a"]
    assert store.live_attempts(SPEC_HASH) == ["b"]
    with pytest.raises(NotFound):
        store.get_record(SPEC_HASH, "b")


def test_a_key_that_anybody_put_there_is_no_attempt(store: MemoryStore) -> None:
    for name in ("\x1b[31m", "-x", "a b"):
        store.contents[f"{layout.run(SPEC_HASH)}/attempts/{name}/record.json"] = b"{}"
    assert (store.attempts(SPEC_HASH), store.live_attempts(SPEC_HASH)) == ([], [])


def test_the_first_reference_stays(store: MemoryStore) -> None:
    assert store.reference(SPEC_HASH) is None
    assert [store.put_reference(SPEC_HASH, name) for name in ("a", "b", "a")] == ["a", "a", "a"]
    assert store.reference(SPEC_HASH) == "a"


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"{}", b'{"attempt":1}', b'{"attempt":"../x"}', b"\xff"])
def test_a_damaged_reference_is_never_no_reference(store: MemoryStore, stored: bytes) -> None:
    store.contents[f"v1/runs/{SPEC_HASH.hex}/reference.json"] = stored
    with pytest.raises(CorruptObject):
        store.reference(SPEC_HASH)


def test_a_lost_answer_to_our_own_put_is_a_success(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put = store._put
    monkeypatch.setattr(store, "_put", lambda key, payload, *, if_absent: put(key, payload, if_absent=if_absent) and 0)
    assert store.put_reference(SPEC_HASH, "a") == "a"
    store.put_record(SPEC_HASH, "a", b"{}")


def test_a_store_that_contradicts_itself_is_out_of_reach(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_put", lambda key, payload, *, if_absent: False)
    with pytest.raises(StoreUnreachable, match="both"):
        store.put_reference(SPEC_HASH, "a")


@pytest.mark.parametrize("attempt", ["", ".", "..", "a/b", ".a", "a" * 129, "ä", "a\n"])
def test_what_is_not_an_attempt_id_never_becomes_a_key(store: MemoryStore, attempt: str) -> None:
    with pytest.raises(ValueError, match="not an attempt id"):
        store.put_reference(SPEC_HASH, attempt)
    assert store.requests == []


def test_log_segments_from_any_start_up_to_the_last(store: MemoryStore) -> None:
    for segment in range(12):
        store.put_log(SPEC_HASH, "a", segment, b"%d" % segment)
    assert b"".join(store.log_segments(SPEC_HASH, "a")) == b"01234567891011"
    assert list(store.log_segments(SPEC_HASH, "a", 10)) == [b"10", b"11"]
    assert list(store.log_segments(SPEC_HASH, "a", 12)) == []


def test_spec_hashes_by_prefix(store: MemoryStore) -> None:
    store.put_spec(SPEC_HASH, SPEC)
    store.contents["v1/runs/README"] = b"not ours"
    assert list(store.spec_hashes()) == [SPEC_HASH]
    assert list(store.spec_hashes(SPEC_HASH.hex[:6])) == [SPEC_HASH]
    assert list(store.spec_hashes("0000000")) == []
    assert list(store.spec_hashes("../")) == []


def test_check_of_a_good_store() -> None:
    store = MemoryStore(clock=NOW - timedelta(seconds=90))
    check = store.check(NOW)
    assert (check.reachable, check.writable, check.conditional, check.clock_skew_s) == (True, True, True, 90.0)
    assert store.contents == {}


def test_check_of_a_store_that_ignores_conditions() -> None:
    store = MemoryStore(conditional=False)
    check = store.check(NOW)
    assert (check.reachable, check.writable, check.conditional) == (True, True, False)
    assert "If-None-Match" in check.advice
    assert store.contents == {}


def test_check_of_a_store_that_is_down() -> None:
    store = MemoryStore()
    store.down = True
    check = store.check(NOW)
    assert (check.reachable, check.writable, check.problem) == (False, False, "memory: nothing answers")


def test_out_of_reach_is_never_absent(store: MemoryStore) -> None:
    store.down = True
    for ask in (store.reference, store.get_spec, store.attempts, store.has_blob, store.live_attempts):
        with pytest.raises(StoreUnreachable):
            ask(SPEC_HASH)
    with pytest.raises(StoreUnreachable):
        list(store.log_segments(SPEC_HASH, "a"))
