"""Images by digest from a real registry on loopback, over HTTP and over TLS."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from executor.engine import pulling
from executor.engine.interface import Credentials
from executor.engine.oci import LAYER, MANIFEST_LIMIT, Descriptor, Manifest
from executor.engine.pulling import Registry, is_plain, located
from executor.errors import ExecutorError, ImageNotFound, RegistryUnreachable
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.engine.tls import serving

ADA = Credentials("ada", "secret")
LAYER_BYTES = bytes(range(256)) * 9_000


@dataclass
class Place:
    """What the registry has, how it behaves, and what it was asked."""

    blobs: FolderBlobs
    digest: Digest
    scheme: str = ""
    """How it wants to know who asks: `basic`, `bearer`."""
    realm: str = ""
    token: str = "t0ken"
    redirect: str = ""
    """Where blobs really are."""
    failures: int = 0
    """How many answers are 503 before one is right."""
    spoil: Callable[[bytes], bytes] = lambda data: data
    promise: int = 0
    """Bytes that are promised beyond those that come."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path, and the scheme of the authorization."""

    @property
    def layer(self) -> Descriptor:
        manifest = Manifest.parse((self.blobs.root / self.digest.hex).read_bytes())
        return manifest.layers[0]


class Handler(BaseHTTPRequestHandler):
    place: Place

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = form["refresh_token"] == ["r3fresh"] and form["grant_type"] == ["refresh_token"]
        self._answer(200 if good else 401, json.dumps({"access_token": self.place.token}).encode())

    def do_GET(self) -> None:
        place, said = self.place, self.headers.get("Authorization", "")
        path = urlsplit(self.path).path
        place.asked.append((path, said.partition(" ")[0]))
        if path == "/token":
            return self._token(said)
        if path.startswith("/elsewhere/"):
            return self._blob(path)
        wanted = {"basic": f"Basic {base64.b64encode(b'ada:secret').decode()}", "bearer": f"Bearer {place.token}"}
        if place.scheme and said != wanted[place.scheme]:
            realm = f'Bearer realm="{place.realm}",service="here",scope="repository:acme/x:pull"'
            challenge = realm if place.scheme == "bearer" else 'Basic realm="here"'
            return self._answer(401, b"", {"WWW-Authenticate": challenge})
        if place.failures:
            place.failures -= 1
            return self._answer(503, b"")
        if place.redirect and "/blobs/" in path:
            return self._answer(307, b"", {"Location": f"{place.redirect}/{path.rpartition('/')[2]}"})
        return self._blob(path)

    def _token(self, said: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        known = said in ("", f"Basic {base64.b64encode(b'ada:secret').decode()}")
        good = known and query == {"service": ["here"], "scope": ["repository:acme/x:pull"]}
        self._answer(200 if good else 401, json.dumps({"token": self.place.token}).encode())

    def _blob(self, path: str) -> None:
        name = self.place.blobs.root / path.rpartition(":")[2]
        if not name.is_file():
            return self._answer(404, b"")
        return self._answer(200, self.place.spoil(name.read_bytes()))

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + self.place.promise))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    blobs = FolderBlobs(tmp_path)
    return Place(blobs, blobs.image(LAYER_BYTES))


@pytest.fixture
def address(place: Place) -> Iterator[str]:
    """Of a registry over plain HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Handler,), {"place": place})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def secure(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Of a registry over TLS that has a name, and whom to trust for it."""
    lookup = socket.getaddrinfo

    def lookup_here(host: str, *rest: Any, **options: Any) -> Any:
        return lookup("127.0.0.1" if host.endswith("registry.test") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup_here)
    folder = tmp_path / "tls"
    folder.mkdir()
    with serving(type("Mine", (Handler,), {"place": place}), folder) as (url, certificate):
        yield f"registry.test:{urlsplit(url).port}", ssl.create_default_context(cafile=str(certificate))


def registry(
    address: str, known: Credentials | None = None, *, context: ssl.SSLContext | None = None, tries: int = 1
) -> Registry:
    return Registry(f"{address}/acme/x", lambda _: known, context=context, pauses=(0.0,) * (tries - 1))


def test_manifest_and_blobs_come_as_they_are(place: Place, address: str, tmp_path: Path) -> None:
    moved: list[tuple[str, int, int]] = []
    here = registry(address)
    assert Digest.of(here.manifest(place.digest)) == place.digest
    here.fetch(place.layer, tmp_path / "layer", lambda *seen: moved.append(seen))
    assert (tmp_path / "layer").read_bytes() == LAYER_BYTES
    assert moved[-1] == (place.layer.digest.hex[:12], len(LAYER_BYTES), len(LAYER_BYTES))
    assert [path for path, _ in place.asked] == [f"/v2/acme/x/manifests/{place.digest}",
                                                 f"/v2/acme/x/blobs/{place.layer.digest}"]  # fmt: skip


@pytest.mark.parametrize("known", [None, ADA, Credentials(refresh_token="r3fresh")])
def test_a_token_is_fetched_once_as_whoever_we_are(
    place: Place, address: str, tmp_path: Path, known: Credentials | None
) -> None:
    place.scheme, place.realm = "bearer", f"http://{address}/token"
    here = registry(address, known)
    here.manifest(place.digest)
    here.fetch(place.layer, tmp_path / "layer", lambda *_: None)
    tokens = [said for path, said in place.asked if path == "/token"]
    assert tokens == {None: [""], ADA: ["Basic"]}.get(known, [])
    assert [said for path, said in place.asked if path != "/token"] == ["", "Bearer", "Bearer"]


def test_a_token_that_has_run_out_is_fetched_again(place: Place, address: str, tmp_path: Path) -> None:
    place.scheme, place.realm = "bearer", f"http://{address}/token"
    here = registry(address)
    here.manifest(place.digest)
    place.token = "another"
    here.fetch(place.layer, tmp_path / "layer", lambda *_: None)
    assert (tmp_path / "layer").read_bytes() == LAYER_BYTES


def test_a_password_is_given_to_who_asks_for_one(place: Place, address: str) -> None:
    place.scheme = "basic"
    assert registry(address, ADA).manifest(place.digest)
    for known in (None, Credentials("ada", "wrong")):
        with pytest.raises(ImageNotFound) as caught:
            registry(address, known).manifest(place.digest)
        assert "docker login" in caught.value.advice


@pytest.mark.parametrize("realm", ["http://example.org/token", "ftp://127.0.0.1/token", "file:///etc/passwd", "token"])
def test_credentials_never_go_where_others_could_read_them(place: Place, address: str, realm: str) -> None:
    place.scheme, place.realm = "bearer", realm
    with pytest.raises(RegistryUnreachable, match="would have us sign in at"):
        registry(address, ADA).manifest(place.digest)


@pytest.mark.parametrize("token", ["", "two words", "line\nend"])
def test_what_is_no_token_is_refused(place: Place, address: str, token: str) -> None:
    place.scheme, place.realm, place.token = "bearer", f"http://{address}/token", token
    with pytest.raises(RegistryUnreachable, match="answered without a token"):
        registry(address).manifest(place.digest)


def spoiled(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("spoil", [spoiled, lambda data: data + b" ", lambda data: data + bytes(MANIFEST_LIMIT)])
def test_other_bytes_than_those_of_the_digest_are_never_taken(
    place: Place, address: str, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    place.spoil = spoil
    for action in (
        lambda: registry(address, tries=3).manifest(place.digest),
        lambda: registry(address, tries=3).fetch(place.layer, tmp_path / "layer", lambda *_: None),
    ):
        place.asked.clear()
        with pytest.raises(ImageNotFound) as caught:
            action()
        assert "do not trust" in caught.value.advice
        assert len(place.asked) == 1  # it was answered: to ask again would not make it true


def test_a_blob_without_an_end_is_not_read_to_it(place: Place, address: str, tmp_path: Path) -> None:
    blob = Descriptor(LAYER, place.layer.digest, 1 << 20)
    with pytest.raises(ImageNotFound, match="other bytes"):
        registry(address).fetch(blob, tmp_path / "layer", lambda *_: None)
    assert (tmp_path / "layer").stat().st_size <= 2 << 20


def test_what_did_not_come_whole_is_asked_for_again(place: Place, address: str, tmp_path: Path) -> None:
    place.failures = 2
    assert registry(address, tries=3).manifest(place.digest)
    place.failures = 2
    with pytest.raises(RegistryUnreachable, match="503"):
        registry(address, tries=2).manifest(place.digest)
    place.promise, place.spoil = 7, lambda data: data[:-7]
    with pytest.raises(RegistryUnreachable, match="ended after"):
        registry(address).fetch(place.layer, tmp_path / "layer", lambda *_: None)
    with pytest.raises(RegistryUnreachable, match="ended after"):
        registry(address).manifest(place.digest)


def test_absent_and_unreachable_are_never_confused(place: Place, address: str, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="404"):
        registry(address).manifest(Digest.of(b"nobody has this"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(RegistryUnreachable, match="refused"):
            registry(f"127.0.0.1:{nobody.getsockname()[1]}").manifest(place.digest)


def test_over_tls_the_blobs_may_be_elsewhere_and_the_password_stays(
    place: Place, secure: tuple[str, ssl.SSLContext], tmp_path: Path
) -> None:
    name, context = secure
    place.scheme, place.redirect = "basic", f"https://cdn.{name}/elsewhere"
    context.check_hostname = False  # the certificate names one of the two hosts
    here = registry(name, ADA, context=context)
    here.fetch(place.layer, tmp_path / "layer", lambda *_: None)
    assert (tmp_path / "layer").read_bytes() == LAYER_BYTES
    assert [said for _, said in place.asked] == ["", "Basic", ""]


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/elsewhere", "http://registry.test/x", "file:///etc"])
def test_a_redirect_that_leaves_https_is_not_followed(
    place: Place, secure: tuple[str, ssl.SSLContext], tmp_path: Path, target: str
) -> None:
    place.redirect = target
    with pytest.raises(RegistryUnreachable, match=r"away from https|307"):
        registry(secure[0], context=secure[1]).fetch(place.layer, tmp_path / "layer", lambda *_: None)


def test_whom_a_redirect_leads_to_cannot_ask_for_the_password(
    place: Place, secure: tuple[str, ssl.SSLContext], tmp_path: Path
) -> None:
    name, context = secure
    context.check_hostname = False
    place.redirect = f"https://cdn.{name}/v2/acme/x/manifests"  # wants to know who asks, as the registry does
    place.scheme, place.realm = "bearer", f"https://{name}/token"
    here = registry(name, ADA, context=context)
    with pytest.raises(ImageNotFound, match="401"):
        here.fetch(place.layer, tmp_path / "layer", lambda *_: None)
    assert [path for path, _ in place.asked].count("/token") == 1


def test_an_unknown_authority_is_refused_unless_the_engine_trusts_it(
    place: Place, secure: tuple[str, ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        registry(secure[0]).manifest(place.digest)
    own = tmp_path / "certs.d" / secure[0]
    own.mkdir(parents=True)
    (own / "ca.crt").write_bytes((tmp_path / "tls" / "certificate.pem").read_bytes())
    monkeypatch.setattr(pulling, "CERTIFICATES", tmp_path / "certs.d")
    assert registry(secure[0]).manifest(place.digest)


@pytest.mark.parametrize(
    ("name", "host", "repository"),
    [
        ("torch", "docker.io", "library/torch"),
        ("nvidia/cuda", "docker.io", "nvidia/cuda"),
        ("docker.io/torch", "docker.io", "library/torch"),
        ("index.docker.io/a/b", "docker.io", "a/b"),
        ("quay.io/a/b/c", "quay.io", "a/b/c"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000", "x"),
        ("localhost/x", "localhost", "x"),
        ("registry:5000/x", "registry:5000", "x"),
    ],
)
def test_names_are_read_as_engines_read_them(name: str, host: str, repository: str) -> None:
    assert located(name) == (host, repository)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:5000", "127.9.9.9:1", "localhost:5000", "localhost"])
def test_this_machine_is_asked_without_tls(host: str) -> None:
    assert is_plain(host)


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1:5000", "127.0.0.1.example.org", "localhost.example.org:80"])
def test_all_others_are_asked_over_tls(host: str) -> None:
    assert not is_plain(host)


def test_secrets_are_in_no_message(place: Place, address: str) -> None:
    place.scheme = "basic"
    assert "secret" not in repr(ADA)
    with pytest.raises(ExecutorError) as caught:
        registry(address, Credentials("ada", "hunter2")).manifest(place.digest)
    assert "hunter2" not in f"{caught.value} {caught.value.advice}"
