# ruff: noqa: N803 - arguments are named as S3 names them
from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.spec.canonical import Digest
from executor.store import multipart
from executor.store.multipart import Multipart
from executor.store.transfer import Payload

PART = 1000
DATA = bytes(range(256)) * 13 + b"end"
"""Four parts, the last one shorter."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """A bucket that knows uploads in parts; `fail` is called before each request with its name and part number."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.keys: dict[str, str] = {}
        self.begun: dict[str, datetime] = {}
        self.requests: list[str] = []
        self.fail: Callable[[str], None] = lambda request: None
        self._numbers = itertools.count(1)
        self.client, self.place = self, "http://server/bucket"

    def _asked(self, name: str, number: int | str = "") -> None:
        self.requests.append(f"{name} {number}".strip())
        self.fail(self.requests[-1])

    def _parts(self, upload: str) -> dict[int, bytes]:
        if upload not in self.uploads:
            raise NotFound("NoSuchUpload")
        return self.uploads[upload]

    def create_multipart_upload(self, *, Key: str, **_: Any) -> dict[str, Any]:
        self._asked("create")
        upload = f"upload-{next(self._numbers)}"
        self.uploads[upload], self.keys[upload], self.begun[upload] = {}, Key, NOW
        return {"UploadId": upload}

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:
        self._asked("part", PartNumber)
        self._parts(UploadId)[PartNumber] = Body
        return {"ETag": Digest.of(Body).hex, "ChecksumCRC32": "told"}

    def list_parts(self, *, UploadId: str, PartNumberMarker: int = 0, **_: Any) -> dict[str, Any]:
        self._asked("list")
        parts = [{"PartNumber": n, "ETag": Digest.of(body).hex, "Size": len(body)}
                 for n, body in sorted(self._parts(UploadId).items()) if n > PartNumberMarker]  # fmt: skip
        page = parts[:2]  # small pages
        more = {"NextPartNumberMarker": page[-1]["PartNumber"]} if page else {}
        return {"Parts": page, "IsTruncated": len(parts) > 2, **more}

    def complete_multipart_upload(self, *, UploadId: str, MultipartUpload: Any, **_: Any) -> dict[str, Any]:
        self._asked("complete")
        parts, named = self._parts(UploadId), MultipartUpload["Parts"]
        assert [one["ETag"] for one in named] == [Digest.of(parts[one["PartNumber"]]).hex for one in named]
        self.objects[self.keys[UploadId]] = b"".join(parts[one["PartNumber"]] for one in named)
        del self.uploads[UploadId]
        return {}

    def abort_multipart_upload(self, *, UploadId: str, **_: Any) -> None:
        self._asked("abort")
        self._parts(UploadId)
        del self.uploads[UploadId]

    def list_multipart_uploads(self, *, Prefix: str, **_: Any) -> dict[str, Any]:
        self._asked("uploads")
        found = [{"Key": self.keys[one], "UploadId": one, "Initiated": self.begun[one]}
                 for one in self.uploads if self.keys[one].startswith(Prefix)]  # fmt: skip
        return {"Uploads": found, "IsTruncated": False}

    # As `multipart` asks it

    def address(self, key: str) -> dict[str, Any]:
        return {"Bucket": "bucket", "Key": key}

    def call(self, action: Callable[[], Any]) -> Any:
        return action()

    def once(self, action: Callable[[], Any]) -> None:
        with suppress(NotFound, StoreUnreachable):
            action()

    def size_of(self, key: str) -> int | None:
        self._asked("size")
        return len(self.objects[key]) if key in self.objects else None

    def sent(self) -> list[int]:
        """Numbers of the parts that were asked to be taken, sorted."""
        return sorted(int(one.removeprefix("part ")) for one in self.requests if one.startswith("part "))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "PART", PART)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def payload(data: bytes = DATA) -> Payload:
    return Payload.of_bytes(data, "bytes")


def journals(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def down_at(
    request: str, error: Callable[[], BaseException] = lambda: StoreUnreachable("down")
) -> Callable[[str], None]:
    def fail(asked: str) -> None:
        if asked == request:
            raise error()

    return fail


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_object_goes_in_parts_and_leaves_nothing_behind(server: Server, folder: Path, with_journal: bool) -> None:
    Multipart(server, folder if with_journal else None).send("key", payload())
    assert server.objects == {"key": DATA}
    assert (server.sent(), server.uploads, journals(folder)) == ([1, 2, 3, 4], {}, [])


@pytest.mark.parametrize("at", ["part 3", "complete"])
def test_an_upload_that_broke_off_goes_on_where_it_was(server: Server, folder: Path, at: str) -> None:
    server.fail = down_at(at)
    with pytest.raises(StoreUnreachable):
        Multipart(server, folder).send("key", payload())
    before = set(server.sent()) - ({3} if at == "part 3" else set())
    assert len(journals(folder)) == len(server.uploads) == 1
    server.requests.clear()
    server.fail = lambda request: None
    Multipart(server, folder).send("key", payload())
    assert server.objects == {"key": DATA}
    assert set(server.sent()) == {1, 2, 3, 4} - before
    assert "create" not in server.requests
    assert (server.uploads, journals(folder)) == ({}, [])


def test_without_a_journal_an_upload_that_broke_off_is_taken_back(server: Server) -> None:
    server.fail = down_at("part 3")
    with pytest.raises(StoreUnreachable):
        Multipart(server, None).send("key", payload())
    assert (server.uploads, server.objects) == ({}, {})


def test_bytes_that_are_no_more_are_taken_back(server: Server, folder: Path) -> None:
    wrong = Payload(payload(DATA[:-1] + b"!").open, "file", Digest.of(DATA), len(DATA))
    with pytest.raises(CorruptObject):
        Multipart(server, folder).send("key", wrong)
    assert (server.uploads, server.objects, journals(folder)) == ({}, {}, [])


@pytest.fixture
def broken(server: Server, folder: Path) -> Server:
    """A server with an upload that broke off at its last part."""
    server.fail = down_at("part 4")
    with pytest.raises(StoreUnreachable):
        Multipart(server, folder).send("key", payload())
    server.fail = lambda request: None
    server.requests.clear()
    return server


def test_the_journal_is_only_as_good_as_what_the_server_has(broken: Server, folder: Path) -> None:
    (parts,) = broken.uploads.values()
    parts[1] = b"other bytes"
    del parts[2]
    Multipart(broken, folder).send("key", payload())
    assert broken.sent() == [1, 2, 4]
    assert broken.objects == {"key": DATA}


def test_what_the_server_has_and_the_journal_does_not_is_sent(broken: Server, folder: Path) -> None:
    (journal,) = journals(folder)
    head, first, *_ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(head + first)
    Multipart(broken, folder).send("key", payload())
    assert len(broken.sent()) == 3
    assert broken.objects == {"key": DATA}


def test_an_upload_that_the_server_forgot_begins_again(broken: Server, folder: Path) -> None:
    broken.uploads.clear()
    Multipart(broken, folder).send("key", payload())
    assert broken.objects == {"key": DATA}
    assert (broken.sent(), journals(folder)) == ([1, 2, 3, 4], [])


@pytest.mark.parametrize("at", ["part 4", "complete"])
def test_an_upload_that_is_forgotten_under_way_begins_again_once(server: Server, folder: Path, at: str) -> None:
    def forget(request: str) -> None:
        if request == at:
            server.uploads.clear()

    first = iter([True])
    server.fail = lambda request: forget(request) if request == at and next(first, False) else None
    Multipart(server, folder).send("key", payload())
    assert server.objects == {"key": DATA}
    server.objects.clear()
    server.fail = forget
    with pytest.raises(StoreUnreachable, match="forgets"):
        Multipart(server, folder).send("key", payload())
    assert journals(folder) == []


def test_an_upload_of_other_bytes_is_left_alone(broken: Server, folder: Path) -> None:
    other = b"x" * 2500
    Multipart(broken, folder).send("key", payload(other))
    assert broken.objects == {"key": other}
    assert len(journals(folder)) == len(broken.uploads) == 1


def test_a_lost_answer_to_the_end_is_a_success(server: Server, folder: Path) -> None:
    complete = server.complete_multipart_upload

    def lost(**request: Any) -> None:
        complete(**request)
        raise NotFound("NoSuchUpload")  # what the second try is told

    server.complete_multipart_upload = lost  # type: ignore[method-assign,assignment]
    Multipart(server, folder).send("key", payload())
    assert (server.objects, journals(folder)) == ({"key": DATA}, [])


def test_a_server_that_lost_bytes_is_not_believed(server: Server, folder: Path) -> None:
    complete = server.complete_multipart_upload

    def shortened(**request: Any) -> dict[str, Any]:
        answer = complete(**request)
        server.objects["key"] = DATA[:-1]
        return answer

    server.complete_multipart_upload = shortened  # type: ignore[method-assign]
    with pytest.raises(StoreUnreachable, match=f"{len(DATA) - 1} bytes of {len(DATA)}"):
        Multipart(server, folder).send("key", payload())


def test_a_disk_that_is_full_costs_the_journal_and_not_the_upload(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("executor.store.journal.Journal._write", full)
    Multipart(server, folder).send("key", payload())
    assert server.objects == {"key": DATA}


def test_a_large_object_has_no_more_parts_than_there_may_be(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PARTS", 3)
    Multipart(server, None).send("key", payload())
    assert (server.objects, server.sent()) == ({"key": DATA}, [1, 2, 3])


# What nobody goes on with ------------------------------------------------------------------------------------------


def test_an_upload_that_may_go_on_is_kept(broken: Server, folder: Path) -> None:
    assert Multipart(broken, folder).abort_stale("", NOW - timedelta(days=1)) == 0
    assert len(journals(folder)) == len(broken.uploads) == 1


def test_an_upload_whose_object_is_stored_is_given_up(broken: Server, folder: Path) -> None:
    broken.objects["key"] = DATA
    assert Multipart(broken, folder).abort_stale("", NOW - timedelta(days=1)) == 1
    assert (journals(folder), broken.uploads) == ([], {})


def test_an_upload_that_rested_for_too_long_is_given_up(broken: Server, folder: Path) -> None:
    broken.begun = dict.fromkeys(broken.begun, NOW + timedelta(days=20_000))
    assert Multipart(broken, folder).abort_stale("", NOW + timedelta(days=10_000)) == 1
    assert (journals(folder), broken.uploads) == ([], {})


def test_old_uploads_of_others_are_given_up_and_young_ones_are_not(broken: Server, folder: Path) -> None:
    for key, days in (("key", 9), ("key", 1), ("elsewhere", 9)):
        upload = broken.create_multipart_upload(Key=key)["UploadId"]
        broken.begun[upload] = NOW - timedelta(days=days)
    assert Multipart(broken, None).abort_stale("k", NOW - timedelta(days=7)) == 1
    assert sorted(broken.uploads) == ["upload-1", "upload-3", "upload-4"]


def test_a_journal_of_an_upload_that_is_gone_goes(broken: Server, folder: Path) -> None:
    broken.uploads.clear()
    broken.objects["key"] = DATA
    Multipart(broken, folder).abort_stale("", NOW)
    assert journals(folder) == []
