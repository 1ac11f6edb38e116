"""A result reaches its store whatever happens on the way, and nothing is sent, run or kept twice for it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.errors import CorruptObject, StoreUnreachable
from executor.spec.canonical import Digest
from executor.steps.history import records
from executor.store import layout
from executor.store.multipart import MULTIPART, PART
from executor.store.s3 import S3Store, open_s3
from executor.store.server import Server
from tests.integration.conftest import S3Server
from tests.integration.fault_proxy import FaultProxy
from tests.integration.site import SCRIPT, Machine, containers, locked, wait_until

pytestmark = [pytest.mark.s3]

BIG = """
block=x
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do block=$block$block; done
number=0
while [ $number -lt 1800 ]; do
    number=$((number + 1))
    echo "$number $block"
done >/outputs/model.pt
"""
"""Leaves 113 MiB: eight parts."""
SMALLEST = 5 << 20
"""Bytes of the smallest part that S3 takes, if it is not the last one."""
NUMBER = re.compile(r"partNumber=(\d+)")
Plan = Callable[[str, str], str]


def through(server: S3Server, plan: Plan) -> tuple[FaultProxy, Callable[..., S3Store]]:
    """A proxy, and what opens a store of a new bucket behind it."""
    url, proxy = server.fresh_url(), FaultProxy(server.endpoint, plan)
    env = server.env | {"EXECUTOR_S3_ENDPOINT": proxy.endpoint}
    return proxy, lambda **more: open_s3(url, env, pauses=(0.01, 0.05, 0.2), **more)


def a_file(folder: Path, size: int) -> tuple[Path, Digest, int]:
    path, data = folder / "file", (bytes(range(256)) * (size // 256 + 1))[:size]
    path.write_bytes(data)
    return path, Digest.of(data), size


def uploads(store: S3Store) -> list[Any]:
    """Uploads that the server has begun and not ended."""
    found: list[Any] = store._s3.list_multipart_uploads(Bucket=store._bucket).get("Uploads", [])
    return [one for one in found if one["Key"].startswith(store._prefix)]


def parts_sent(proxy: FaultProxy) -> set[int]:
    """Numbers of the parts that came to the server."""
    passed = [path for method, path, fault in proxy.seen if method == "PUT" and not fault]
    return {int(match[1]) for path in passed if (match := NUMBER.search(path))}


def check(machine: Machine, spec_hash: str, attempts: int = 1) -> None:
    """Every record is whole, they agree, one is the reference, and nothing is left over."""
    found = records(machine.store, Digest(spec_hash))
    assert len(found) == attempts
    assert len({record.result_digest for record in found}) == 1
    assert all(machine.store.missing_blobs(record.blobs()) == [] for record in found)
    assert machine.store.reference(Digest(spec_hash)) in {record.attempt for record in found}
    assert [one.key for one in machine.store.objects("v1/runs/") if "intent" in one.key] == []
    assert [path for path in (machine.home / "attempts").iterdir() if path.is_dir()] == []
    assert containers(spec_hash) == []


# Large blobs ----------------------------------------------------------------------------------------------------------


@contextmanager
def until_part(number: int) -> Iterator[tuple[Plan, threading.Event, threading.Event]]:
    """A plan that holds every request from the first for a part beyond `number` on, until it is told to go on."""
    reached, go_on = threading.Event(), threading.Event()

    def plan(method: str, path: str) -> str:
        match = NUMBER.search(path)
        if method == "PUT" and match and int(match[1]) > number and not go_on.is_set():
            reached.set()
            go_on.wait(60)
            return "reset"
        return ""

    try:
        yield plan, reached, go_on
    finally:
        go_on.set()


@pytest.mark.engine
@pytest.mark.slow
def test_an_upload_whose_process_was_killed_goes_on_where_it_was(
    s3_server: S3Server, small_image: str, tmp_path: Path
) -> None:
    with until_part(3) as (plan, reached, go_on):
        url, proxy = s3_server.fresh_url(), FaultProxy(s3_server.endpoint, plan)
        machine = Machine(tmp_path, url, s3_server.env | {"EXECUTOR_S3_ENDPOINT": proxy.endpoint})
        store = open_s3(url, s3_server.env)
        spec, spec_hash = locked(machine, BIG)
        with proxy, machine.start("submit", "--json", spec) as submit:
            journals = machine.home / "uploads"
            wait_until(lambda: reached.is_set() or submit.poll() is not None, "the fourth part")
            assert submit.poll() is None, submit.communicate()
            wait_until(lambda: sum(len(one.read_bytes().splitlines()) > 3 for one in journals.glob("*")), "the journal")
            submit.kill()
            submit.wait()
            (journal,) = journals.iterdir()
            written = len(journal.read_bytes().splitlines()) - 1
            assert written == 3
            assert len(uploads(store)) == 1
            assert store.attempts(Digest(spec_hash)) == []
            go_on.set()
            proxy.seen.clear()
            done = machine.run("publish", "--pending", "--json")
        assert (done.code, [one["state"] for one in done.json]) == (0, ["published"]), done
        assert parts_sent(proxy) == set(range(written + 1, 9)), "every missing part, and no other"
    assert uploads(store) == []
    assert list(journals.iterdir()) == []
    machine = Machine(tmp_path, url, s3_server.env)
    check(machine, spec_hash)
    (record,) = records(store, Digest(spec_hash))
    store.get_blob(record.outputs[0].digest, tmp_path / "back")


def test_an_upload_that_a_store_in_trouble_stopped_goes_on(s3_server: S3Server, tmp_path: Path) -> None:
    trouble = [True]
    proxy, open_it = through(s3_server, lambda m, path: "503" if "partNumber=4" in path and trouble[0] else "")
    path, digest, size = a_file(tmp_path, MULTIPART + PART)
    journal = tmp_path / "uploads"
    with proxy:
        with pytest.raises(StoreUnreachable):
            open_it(journal=journal).put_blob(path, digest, size)
        trouble[0] = False
        before = parts_sent(proxy)
        proxy.seen.clear()
        store = open_it(journal=journal)
        store.put_blob(path, digest, size)
        assert parts_sent(proxy) == set(range(1, 6)) - before
        assert (uploads(store), list(journal.iterdir()), store.blob_size(digest)) == ([], [], size)
        store.get_blob(digest, tmp_path / "back")


@pytest.mark.parametrize("what", ["partNumber=1", "partNumber=3", "uploadId", "uploads"])
@pytest.mark.parametrize("fault", ["lose", "503", "flip", "cut"])
def test_every_request_of_a_large_upload_may_fail_once(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, fault: str
) -> None:
    monkeypatch.setattr("executor.store.s3.MULTIPART", SMALLEST)
    monkeypatch.setattr("executor.store.multipart.PART", SMALLEST)
    method, left = "PUT" if what.startswith("part") else "POST", [fault]
    proxy, open_it = through(s3_server, lambda m, path: left.pop() if left and m == method and what in path else "")
    path, digest, size = a_file(tmp_path, 2 * SMALLEST + 1)
    journal = tmp_path / "uploads"
    with proxy:
        store = open_it(journal=journal)
        store.put_blob(path, digest, size)
        store.get_blob(digest, tmp_path / "back")
        left_over = len(uploads(store))
        assert left == []
        assert list(journal.iterdir()) == []
        assert left_over == (1 if what == "uploads" and fault in ("lose", "cut") else 0)
        if left_over:  # the server's answer with its name was lost: nobody knows it
            assert store.abort_stale(datetime.now(UTC) + timedelta(days=1)) == 1
            assert uploads(store) == []
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_uploads_that_nobody_goes_on_with_are_given_up(s3_server: S3Server, tmp_path: Path) -> None:
    proxy, open_it = through(s3_server, lambda method, path: "503" if "partNumber=5" in path else "")
    path, digest, size = a_file(tmp_path, MULTIPART + 1)
    journal = tmp_path / "uploads"
    with proxy:
        store = open_it(journal=journal)
        with pytest.raises(StoreUnreachable):
            store.put_blob(path, digest, size)
        now = datetime.now(UTC)
        assert store.abort_stale(now - timedelta(days=1)) == 0
        assert (len(uploads(store)), len(list(journal.iterdir()))) == (1, 1)
        assert store.abort_stale(now + timedelta(days=1)) == 1
        assert (uploads(store), list(journal.iterdir())) == ([], [])


@pytest.mark.parametrize("size", [5_000_000, MULTIPART + 1])
def test_a_bit_that_flips_on_the_way_down_is_found_and_read_again(
    s3_server: S3Server, tmp_path: Path, size: int
) -> None:
    faults = ["rot"]
    proxy, open_it = through(
        s3_server, lambda m, path: faults.pop() if faults and m == "GET" and "blobs" in path else ""
    )
    path, digest, _ = a_file(tmp_path, size)
    with proxy:
        store = open_it()
        store.put_blob(path, digest, size)
        store.get_blob(digest, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == path.read_bytes()
        assert store.read_blob(digest, size) == path.read_bytes()
        faults.extend(["rot", "rot"])
        with pytest.raises(CorruptObject):
            store.get_blob(digest, tmp_path / "other")
        faults.extend(["rot", "rot"])
        with pytest.raises(CorruptObject):
            store.read_blob(digest, size)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["back", "file"]


# Results that wait ----------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.slow
def test_a_store_that_stops_during_the_run_loses_nothing(small_image: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    info = server.start()
    machine = Machine(tmp_path, info.url, info.env)
    spec, spec_hash = locked(machine, SCRIPT + "echo >/outputs/ready\nsleep 4\n")
    try:
        with machine.start("submit", "--json", spec) as submit:
            wait_until(lambda: list(machine.home.glob("attempts/*/work/outputs/ready")), "the run")
            server.stop()
            out, err = submit.communicate(timeout=300)
        assert submit.returncode == 6, err
        assert '"error": "Unpublished"' in out
        assert "its result is kept in" in err
        assert "`executor publish --pending` brings it to the store" in err
        still = machine.run("publish", "--pending", "--json")
        assert (still.code, [one["state"] for one in still.json]) == (6, ["waiting"]), still
        shutil.rmtree(machine.home / "code")  # all that is needed waits with the result
        assert server.start() == info or server.running()
        told = machine.run("submit", "--quiet", spec)
        assert "1 result of earlier runs waits on this machine" in told.err, told
        done = machine.run("publish", "--pending")
        assert (done.code, done.out.split()[0]) == (0, "published"), done
        check(machine, spec_hash, attempts=2)
        assert machine.run("submit", "--json", spec).json["cached"] is True
    finally:
        server.stop()


@pytest.mark.engine
@pytest.mark.parametrize("key", ["record.json", "reference.json", "provenance.json", "/blobs/"])
def test_a_request_whose_answer_never_comes_is_settled_later(
    s3_server: S3Server, small_image: str, tmp_path: Path, key: str
) -> None:
    machine = Machine(tmp_path, s3_server.fresh_url(), s3_server.env)
    spec, spec_hash = locked(machine, SCRIPT)
    with FaultProxy(s3_server.endpoint, lambda m, path: "lose" if m == "PUT" and key in path else "") as proxy:
        failed = machine.run("submit", "--json", spec, env={"EXECUTOR_S3_ENDPOINT": proxy.endpoint})
    assert (failed.code, failed.json["error"]) == (6, "Unpublished"), failed
    attempt = failed.json["attempt"]
    url = f"{layout.attempt(Digest(spec_hash), attempt)}/record.json"
    arrived = machine.store.read(url) if machine.store.stat(url) else None
    assert (arrived is not None) == (key in ("record.json", "reference.json"))
    place = {"EXECUTOR_S3_ENDPOINT": proxy.endpoint}
    away = machine.run("publish", "--pending", "--json", env=place)
    assert (away.code, [one["state"] for one in away.json]) == (6, ["waiting"])
    with FaultProxy(s3_server.endpoint, lambda method, path: "", port=proxy.port) as again:
        assert again.endpoint == proxy.endpoint
        done = machine.run("publish", attempt, "--json", env=place)
    assert (done.code, [one["state"] for one in done.json]) == (0, ["published"]), done
    assert arrived is None or machine.store.read(url) == arrived
    check(machine, spec_hash)


@pytest.mark.engine
def test_a_store_that_stumbles_all_the_time_is_enough(s3_server: S3Server, small_image: str, tmp_path: Path) -> None:
    machine, count = Machine(tmp_path, s3_server.fresh_url(), s3_server.env), iter(range(1_000_000))
    spec, spec_hash = locked(machine, SCRIPT)
    kinds = ("", "503", "", "lose", "", "", "reset", "", "rot", "")

    def plan(method: str, path: str) -> str:
        fault = kinds[next(count) % len(kinds)]
        return "" if fault == "rot" and "blobs" not in path else fault

    with FaultProxy(s3_server.endpoint, plan) as proxy:
        done = machine.run("submit", "--json", spec, env={"EXECUTOR_S3_ENDPOINT": proxy.endpoint})
        assert (done.code, done.json["status"]) == (0, "succeeded"), done
    assert {fault for _, _, fault in proxy.seen} >= {"503", "lose", "reset"}
    check(machine, spec_hash)


@pytest.mark.engine
def test_two_deliver_one_result_and_it_is_there_once(s3_server: S3Server, small_image: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, s3_server.fresh_url(), s3_server.env)
    spec, spec_hash = locked(machine, SCRIPT)
    with FaultProxy(s3_server.endpoint, lambda m, path: "503" if m == "PUT" and "record" in path else "") as proxy:
        failed = machine.run("submit", "--json", spec, env={"EXECUTOR_S3_ENDPOINT": proxy.endpoint})
        assert failed.code == 6
    with FaultProxy(s3_server.endpoint, lambda method, path: "", port=proxy.port):
        env = {"EXECUTOR_S3_ENDPOINT": proxy.endpoint}
        other = Machine(tmp_path, machine.url, s3_server.env | env)
        with other.start("publish", "--pending", "--json") as one, other.start("publish", "--pending", "--json") as two:
            codes = [process.wait(timeout=120) for process in (one, two)]
    assert 0 in codes
    assert set(codes) <= {0, 7}
    check(machine, spec_hash)
