"""One suite for every kind of store: a folder, SeaweedFS over HTTP, and any endpoint that the environment names.

`EXECUTOR_TEST_S3_ENDPOINT`, `EXECUTOR_TEST_S3_ACCESS_KEY` and `EXECUTOR_TEST_S3_SECRET_KEY` add an S3 server, such as
the MinIO of `compose.yaml`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from executor.errors import CorruptObject, NotFound, StoreUnreachable, UsageError
from executor.spec.canonical import SPEC_TAG, Digest
from executor.store import Store, layout, open_store
from executor.store.multipart import MULTIPART, PART
from executor.store.s3 import open_s3
from executor.store.server import Server
from executor.store.sources import fetch_prefix
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy

pytestmark = pytest.mark.s3

SPEC = b'{"seed":1}'
SPEC_HASH = Digest.of(SPEC_TAG + SPEC)
NAMED = "EXECUTOR_TEST_S3_"


@dataclass(frozen=True)
class Place:
    """A store under test and a way to change what it holds behind its back."""

    store: Store
    env: dict[str, str]
    overwrite: Callable[[str, bytes], None]


def _folder(path: Path) -> Place:
    def overwrite(key: str, data: bytes) -> None:
        (path / "store" / key).parent.mkdir(parents=True, exist_ok=True)
        (path / "store" / key).write_bytes(data)

    return Place(open_store(f"file:{path / 'store'}", {}), {}, overwrite)


def _bucket(server: S3Server) -> Place:
    store = open_s3(f"{server.fresh_url()}/some/prefix", server.env, pauses=(0.05, 0.2, 0.8))

    def overwrite(key: str, data: bytes) -> None:
        store._s3.put_object(Bucket=store._bucket, Key=store._prefix + key, Body=data)

    return Place(store, server.env, overwrite)


@pytest.fixture(params=["folder", "seaweedfs", "named"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return _folder(tmp_path)
    if request.param == "seaweedfs":
        return _bucket(request.getfixturevalue("s3_server"))
    if f"{NAMED}ENDPOINT" not in os.environ:
        pytest.skip(f"{NAMED}ENDPOINT names no other S3 server")
    endpoint, access_key, secret_key = (os.environ[NAMED + part] for part in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"))
    return _bucket(S3Server(endpoint, access_key, secret_key))


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


def a_file(folder: Path, data: bytes, name: str = "file") -> tuple[Path, Digest, int]:
    path = folder / name
    path.write_bytes(data)
    return path, Digest.of(data), len(data)


def pattern(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


# Blobs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255, 65_536, 1_048_575, 1_048_577, 5 * 1_048_576 + 1])
def test_blobs_of_every_size_come_back(store: Store, tmp_path: Path, size: int) -> None:
    path, digest, _ = a_file(tmp_path, pattern(size))
    assert not store.has_blob(digest)
    store.put_blob(path, digest, size)
    store.get_blob(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == pattern(size)
    assert store.blob_size(digest) == size


def test_a_blob_in_several_parts(store: Store, tmp_path: Path) -> None:
    size = MULTIPART + PART // 2 + 1
    path, digest, _ = a_file(tmp_path, pattern(size))
    moved: list[int] = []
    store.put_blob(path, digest, size, progress=moved.append)
    assert sum(moved) == size
    store.get_blob(digest, tmp_path / "back")
    with (tmp_path / "back").open("rb") as back:
        assert Digest.of_stream(back) == (digest, size)


def test_a_large_file_that_changes_while_it_is_sent_leaves_nothing(store: Store, tmp_path: Path) -> None:
    size = MULTIPART + 1
    path, digest, _ = a_file(tmp_path, pattern(size))
    with path.open("r+b") as file:
        file.seek(size - 1)
        file.write(b"!")
    with pytest.raises(CorruptObject):
        store.put_blob(path, digest, size)
    assert not store.has_blob(digest)
    assert list(store.objects()) == []


def test_an_interrupted_upload_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def stop(moved: int) -> None:
        raise KeyboardInterrupt

    for size in (3, MULTIPART + 1):
        with pytest.raises(KeyboardInterrupt):
            store.put_blob(*a_file(tmp_path, pattern(size)), progress=stop)
    assert list(store.objects()) == []


def test_many_small_files(store: Store, tmp_path: Path) -> None:
    items = [a_file(tmp_path, b"%d" % (i % 290), f"f{i}") for i in range(310)]
    moved: list[int] = []
    store.put_blobs(items, moved.append)
    assert sum(moved) == sum(size for _, _, size in items)
    assert store.missing_blobs({digest: size for _, digest, size in items}) == []
    assert len(list(store.objects("v1/blobs/"))) == 290


def test_missing_blobs(store: Store) -> None:
    there = store.put_bytes(b"there")
    absent = Digest.of(b"absent")
    assert store.missing_blobs({there: 5, absent: 6}) == [absent]
    assert store.missing_blobs({there: 4}) == [there]
    assert store.missing_blobs({}) == []


def test_a_flipped_byte_is_found_however_it_is_read(place: Place, tmp_path: Path) -> None:
    digest = place.store.put_bytes(pattern(1000))
    place.overwrite(layout.blob(digest), pattern(999) + b"!")
    target = tmp_path / "out" / "back"
    target.parent.mkdir()
    for read in (lambda: place.store.read_blob(digest, 1000), lambda: place.store.get_blob(digest, target)):
        with pytest.raises(CorruptObject) as caught:
            read()
        assert caught.value.expected == str(digest)
    with pytest.raises(CorruptObject), place.store.open_blob(digest) as stream:
        stream.read()
    assert list(target.parent.iterdir()) == []


def test_an_absent_blob_is_not_found(store: Store, tmp_path: Path) -> None:
    absent = Digest.of(b"absent")
    with pytest.raises(NotFound):
        store.get_blob(absent, tmp_path / "back")
    with pytest.raises(NotFound):
        store.read_blob(absent, 10)
    assert store.blob_size(absent) is None
    assert list(tmp_path.glob("*back*")) == []


# Specs, records, references -------------------------------------------------------------------------------------------


def test_a_run_from_spec_to_reference(store: Store) -> None:
    assert store.reference(SPEC_HASH) is None
    assert store.attempts(SPEC_HASH) == []
    store.put_spec(SPEC_HASH, SPEC)
    store.put_log(SPEC_HASH, "a1", 0, b"epoch 1\n")
    assert (store.attempts(SPEC_HASH), store.live_attempts(SPEC_HASH)) == ([], ["a1"])
    store.put_record(SPEC_HASH, "a1", b'{"status":"succeeded"}')
    assert store.put_reference(SPEC_HASH, "a1") == "a1"
    assert (store.attempts(SPEC_HASH), store.live_attempts(SPEC_HASH)) == (["a1"], [])
    assert store.get_spec(SPEC_HASH) == SPEC
    assert store.get_record(SPEC_HASH, "a1") == b'{"status":"succeeded"}'
    assert store.reference(SPEC_HASH) == "a1"


def test_a_changed_spec_is_found(place: Place) -> None:
    place.store.put_spec(SPEC_HASH, SPEC)
    place.overwrite(f"{layout.run(SPEC_HASH)}/spec.json", b'{"seed":2}')
    with pytest.raises(CorruptObject):
        place.store.get_spec(SPEC_HASH)


def test_a_record_is_created_once(store: Store) -> None:
    for _ in range(2):
        store.put_record(SPEC_HASH, "a1", b"one")
    with pytest.raises(UsageError, match="other contents"):
        store.put_record(SPEC_HASH, "a1", b"two")
    assert store.get_record(SPEC_HASH, "a1") == b"one"


def test_sixteen_first_successes_make_one_reference(store: Store) -> None:
    start = threading.Barrier(16)

    def claim(attempt: str) -> str:
        start.wait()
        return store.put_reference(SPEC_HASH, attempt)

    with ThreadPoolExecutor(16) as pool:
        winners = set(pool.map(claim, [f"a{number}" for number in range(16)]))
    assert winners == {store.reference(SPEC_HASH)}


def test_specs_are_found_by_prefix(store: Store) -> None:
    specs = [b'{"seed":%d}' % seed for seed in range(40)]
    hashes = {Digest.of(SPEC_TAG + spec): spec for spec in specs}
    for spec_hash, spec in hashes.items():
        store.put_spec(spec_hash, spec)
        store.put_record(spec_hash, "a", b"{}")
    some = min(hashes)
    assert set(store.spec_hashes()) == set(hashes)
    assert list(store.spec_hashes(some.hex[:10])) == [some]
    assert list(store.spec_hashes(some.hex)) == [some]
    assert set(store.spec_hashes(some.hex[0])) == {each for each in hashes if each.hex[0] == some.hex[0]}


def test_log_segments_while_they_are_written(store: Store) -> None:
    assert list(store.log_segments(SPEC_HASH, "a")) == []
    for segment in range(11):
        store.put_log(SPEC_HASH, "a", segment, b"%d\n" % segment)
        assert list(store.log_segments(SPEC_HASH, "a", segment)) == [b"%d\n" % segment]
    assert b"".join(store.log_segments(SPEC_HASH, "a", 8)) == b"8\n9\n10\n"


def test_more_keys_than_fit_on_one_page(store: Store) -> None:
    def put(number: int) -> None:
        store.put_log(SPEC_HASH, f"a{number % 1010:04}", number // 1010, b"")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(1111)))
    assert len(set(store.objects())) == 1111
    assert len(store.live_attempts(SPEC_HASH)) == 1010


def test_check_of_a_good_store_leaves_nothing(store: Store) -> None:
    check = store.check(datetime.now(UTC))
    assert (check.reachable, check.writable, check.conditional, check.problem) == (True, True, True, "")
    assert abs(check.clock_skew_s or 0) < 60
    assert list(store.objects()) == []


def test_two_stores_side_by_side_do_not_see_each_other(place: Place) -> None:
    digest = place.store.put_bytes(b"mine")
    other = open_store(place.store.url + "2", place.env)
    assert not other.has_blob(digest)
    assert list(other.objects()) == []


# Out of reach is never absent -----------------------------------------------------------------------------------------


def asked(store: Store) -> Iterator[Callable[[], object]]:
    yield lambda: store.reference(SPEC_HASH)
    yield lambda: store.has_blob(SPEC_HASH)
    yield lambda: store.get_spec(SPEC_HASH)
    yield lambda: store.attempts(SPEC_HASH)
    yield lambda: list(store.spec_hashes())
    yield lambda: list(store.log_segments(SPEC_HASH, "a"))
    yield lambda: store.missing_blobs({SPEC_HASH: 1})
    yield lambda: store.put_bytes(b"x")
    yield lambda: store.put_reference(SPEC_HASH, "a")


def expect_unreachable(url: str, env: dict[str, str], advice: str) -> None:
    for ask in asked(open_s3(url, env, pauses=())):
        with pytest.raises(StoreUnreachable) as caught:
            ask()
        assert advice in caught.value.advice
    check = open_s3(url, env, pauses=()).check(datetime.now(UTC))
    assert not check.reachable
    assert advice in check.advice


def test_nothing_listens(s3_server: S3Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        env = s3_server.env | {"EXECUTOR_S3_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        expect_unreachable("s3://some-bucket", env, "nothing answers there")


def test_no_such_bucket(s3_server: S3Server) -> None:
    expect_unreachable("s3://no-such-bucket", s3_server.env, "no such bucket")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials(s3_server: S3Server, name: str) -> None:
    expect_unreachable(s3_server.fresh_url(), s3_server.env | {name: "wrong"}, "access key")


def test_a_clock_that_is_off(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    url = s3_server.fresh_url()
    late = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: late().replace(year=late().year + 1))
    expect_unreachable(url, s3_server.env, "more than 15 minutes apart")


# A network that loses and damages -------------------------------------------------------------------------------------


def through(server: S3Server, plan: Callable[[str, str], str]) -> tuple[FaultProxy, Callable[[], Store]]:
    url = server.fresh_url()
    proxy = FaultProxy(server.endpoint, plan)
    return proxy, lambda: open_s3(url, replace(server, endpoint=proxy.endpoint).env, pauses=(0.01, 0.05, 0.2))


def once(method: str, part: str, fault: str) -> Callable[[str, str], str]:
    left = [fault]
    return lambda m, path: left.pop() if left and m == method and part in path else ""


def test_a_lost_answer_to_our_own_commit_is_a_success(s3_server: S3Server) -> None:
    proxy, open_it = through(s3_server, once("PUT", "reference.json", "lose"))
    with proxy:
        store = open_it()
        assert store.put_reference(SPEC_HASH, "a1") == "a1"
        assert store.put_reference(SPEC_HASH, "a2") == "a1"
    assert ("PUT", "lose") in {(method, fault) for method, _, fault in proxy.seen}


def test_a_lost_answer_to_a_record_is_a_success(s3_server: S3Server) -> None:
    proxy, open_it = through(s3_server, once("PUT", "record.json", "lose"))
    with proxy:
        store = open_it()
        store.put_record(SPEC_HASH, "a1", b"{}")
        assert store.attempts(SPEC_HASH) == ["a1"]


def test_a_body_damaged_on_its_way_is_sent_again(s3_server: S3Server) -> None:
    proxy, open_it = through(s3_server, once("PUT", "blobs", "flip"))
    with proxy:
        store = open_it()
        digest = store.put_bytes(b"weights")
        assert store.read_blob(digest, 7) == b"weights"
    assert [fault for method, path, fault in proxy.seen if method == "PUT"] == ["flip", ""]


def test_a_part_damaged_on_its_way_is_sent_again(s3_server: S3Server, tmp_path: Path) -> None:
    proxy, open_it = through(s3_server, once("PUT", "partNumber=2", "flip"))
    path, digest, size = a_file(tmp_path, pattern(MULTIPART + 1))
    with proxy:
        store = open_it()
        store.put_blob(path, digest, size)
        store.get_blob(digest, tmp_path / "back")
    assert sum("partNumber=2" in path for _, path, _ in proxy.seen) == 2


def test_a_lost_answer_to_the_end_of_a_multipart_upload(s3_server: S3Server, tmp_path: Path) -> None:
    proxy, open_it = through(s3_server, once("POST", "uploadId=", "lose"))
    path, digest, size = a_file(tmp_path, pattern(MULTIPART + 1))
    with proxy:
        store = open_it()
        store.put_blob(path, digest, size)
        assert store.blob_size(digest) == size
    assert any(fault == "lose" for _, _, fault in proxy.seen)


def test_a_download_that_breaks_off_goes_on_where_it_was(s3_server: S3Server, tmp_path: Path) -> None:
    proxy, open_it = through(s3_server, once("GET", "blobs", "cut"))
    with proxy:
        store = open_it()
        digest = store.put_bytes(pattern(5_000_000))
        store.get_blob(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == pattern(5_000_000)
    assert [fault for method, path, fault in proxy.seen if method == "GET" and "blobs" in path] == ["cut", ""]


def test_a_server_in_trouble_is_asked_again_and_then_given_up(s3_server: S3Server) -> None:
    trouble = iter(["503", "503"] + [""] * 10)
    proxy, open_it = through(s3_server, lambda method, path: next(trouble))
    with proxy:
        assert open_it().reference(SPEC_HASH) is None
    proxy, open_it = through(s3_server, lambda method, path: "503")
    with proxy:
        store = open_it()
        for ask in asked(store):
            with pytest.raises(StoreUnreachable):
                ask()


# Data sources and the server itself -----------------------------------------------------------------------------------


def test_data_below_a_prefix_is_fetched(place: Place, tmp_path: Path) -> None:
    for key, data in {"train/a.csv": b"1\n", "train/ü b/c": b"", "train2/x": b"not this"}.items():
        place.overwrite(key, data)
    fetch_prefix(place.store.url + "/train", tmp_path / "got", place.env)
    got = tmp_path / "got"
    assert {str(p.relative_to(got)): p.read_bytes() for p in got.rglob("*") if p.is_file()} == {
        "a.csv": b"1\n",
        "ü b/c": b"",
    }


def test_a_server_is_found_again_stopped_and_keeps_what_it_has(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        starts = set(pool.map(lambda _: Server(tmp_path).start(), range(3)))
    assert len(starts) == 1
    (info,) = starts
    digest = open_store(info.url, info.env).put_bytes(b"kept")
    assert server.running() == info
    assert server.stop()
    assert server.running() is None
    began = time.monotonic()
    with pytest.raises(StoreUnreachable):
        open_s3(info.url, info.env, pauses=()).has_blob(digest)
    assert time.monotonic() - began < 5
    try:
        again = server.start()
        assert (again.endpoint, again.access_key) == (info.endpoint, info.access_key)
        assert open_store(again.url, again.env).read_blob(digest, 4) == b"kept"
    finally:
        server.stop()
