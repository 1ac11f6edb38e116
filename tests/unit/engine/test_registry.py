from __future__ import annotations

import http.client
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from executor.engine.oci import MANIFEST
from executor.engine.registry import serve
from executor.errors import StoreUnreachable
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs

ABSENT = Digest.of(b"nobody has this")


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


@pytest.fixture
def address(blobs: FolderBlobs) -> Iterator[str]:
    with serve(blobs) as address:
        yield address


def ask(address: str, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    try:
        with urlopen(Request(f"http://{address}{path}", method=method), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_only_this_machine_can_ask(address: str) -> None:
    assert address.startswith("127.0.0.1:")


def test_it_says_that_it_is_a_registry(address: str) -> None:
    status, headers, _ = ask(address, "/v2/")
    assert (status, headers["Docker-Distribution-API-Version"]) == (HTTPStatus.OK, "registry/2.0")


@pytest.mark.parametrize("name", ["torch", "any/name/at-all", "a.b_c"])
def test_a_manifest_is_given_with_its_type_and_digest(address: str, blobs: FolderBlobs, name: str) -> None:
    digest = blobs.image(b"layer")
    status, headers, body = ask(address, f"/v2/{name}/manifests/{digest}")
    assert (status, Digest.of(body)) == (HTTPStatus.OK, digest)
    assert (headers["Content-Type"], headers["Docker-Content-Digest"]) == (MANIFEST, str(digest))


def test_a_blob_is_given_whole(address: str, blobs: FolderBlobs) -> None:
    data = bytes(range(256)) * 20_000
    status, headers, body = ask(address, f"/v2/x/blobs/{blobs.add(data)}")
    assert (status, body, headers["Content-Length"]) == (HTTPStatus.OK, data, str(len(data)))


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_head_gives_the_headers_of_get_and_no_body(address: str, blobs: FolderBlobs, kind: str) -> None:
    path = f"/v2/x/{kind}/{blobs.image(b'layer')}"
    (_, got, data), (status, head, body) = ask(address, path), ask(address, path, "HEAD")
    fixed = ("Content-Length", "Content-Type", "Docker-Content-Digest")
    assert (status, body, [head[name] for name in fixed]) == (HTTPStatus.OK, b"", [got[name] for name in fixed])
    assert int(head["Content-Length"]) == len(data)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2",
        "/v2/_catalog",
        "/v2/x/tags/list",
        "/v2/x/manifests/latest",
        "/v2/x/blobs/sha256:00",
        "/v2/x/blobs/sha256:../../etc/passwd",
        "/v2//blobs/" + str(ABSENT),
        f"/v2/x/blobs/{ABSENT}",
        f"/v2/x/manifests/{ABSENT}",
    ],
)
def test_everything_else_is_not_found(address: str, path: str) -> None:
    assert ask(address, path)[0] == HTTPStatus.NOT_FOUND


def test_a_layer_is_no_manifest(address: str, blobs: FolderBlobs) -> None:
    assert ask(address, f"/v2/x/manifests/{blobs.add(b'layer bytes')}")[0] == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_nothing_can_be_written(address: str, blobs: FolderBlobs, method: str) -> None:
    digest = blobs.add(b"kept")
    assert ask(address, f"/v2/x/blobs/{digest}", method)[0] == HTTPStatus.NOT_IMPLEMENTED
    assert blobs.size(digest) == 4


def test_several_questions_on_one_connection(address: str, blobs: FolderBlobs) -> None:
    line = http.client.HTTPConnection(address, timeout=10)
    for data in (b"one", b"two"):
        line.request("GET", f"/v2/x/blobs/{blobs.add(data)}")
        assert line.getresponse().read() == data
    line.close()


class Failing(FolderBlobs):
    """A store that is out of reach, or whose connection breaks while it is read."""

    def size(self, digest: Digest) -> int | None:
        if digest == ABSENT:
            raise StoreUnreachable("no answer")
        return 1_000

    def open(self, digest: Digest) -> BinaryIO:
        return Path("/dev/null").open("rb")


def test_unreachable_is_not_absent(tmp_path: Path) -> None:
    with serve(Failing(tmp_path)) as address:
        assert ask(address, f"/v2/x/blobs/{ABSENT}")[0] == HTTPStatus.SERVICE_UNAVAILABLE


def test_a_blob_that_breaks_off_is_seen_to_break_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve(Failing(tmp_path)) as address:
        line = http.client.HTTPConnection(address, timeout=10)
        line.request("GET", f"/v2/x/blobs/{Digest.of(b'')}")
        with pytest.raises(http.client.IncompleteRead):
            line.getresponse().read()
        line.close()
    assert capfd.readouterr().err == ""


def test_nothing_answers_after_the_block(blobs: FolderBlobs) -> None:
    with serve(blobs) as address:
        host, port = address.split(":")
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(host, int(port), timeout=5).connect()
