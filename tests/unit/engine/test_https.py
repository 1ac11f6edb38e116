"""One file over https, from a real server on loopback."""

import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from executor.engine.addresses import named_hosts
from executor.engine.https import HttpsFetcher
from executor.errors import SourceUnreachable, UsageError
from tests.unit.engine.tls import serving

BODY = bytes(range(256)) * 10_000


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind.startswith("redirect"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/redirect").replace("@", "://"))
            self.end_headers()
            return
        self.send_response(404 if kind == "absent" else 200)
        if kind != "endless":
            self.send_header("Content-Length", str(len(BODY) + (kind == "short")))
        self.end_headers()
        if kind != "absent":
            self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ssl.SSLContext]]:
    with serving(_Handler, tmp_path_factory.mktemp("tls")) as (url, certificate):
        yield url, ssl.create_default_context(cafile=str(certificate))


def fetcher(server: tuple[str, ssl.SSLContext], *, limit: int = 2**40, hosts: str = "127.0.0.1") -> HttpsFetcher:
    return HttpsFetcher(limit, named_hosts(hosts), server[1])


def test_a_file_comes_whole_under_the_name_in_its_address(server: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    seen: list[int] = []
    fetcher(server)(f"{server[0]}/data/a%20b.csv?x=1#y", tmp_path, seen.append)
    assert (tmp_path / "a b.csv").read_bytes() == BODY
    assert sum(seen) == len(BODY)


def test_a_redirect_on_https_is_followed(server: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    fetcher(server)(f"{server[0]}/redirect/data/x", tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent/x", "404"),
        ("/short/x", f"ended after {len(BODY)} of {len(BODY) + 1} bytes"),
        ("/redirecthttp@example.org/x", "redirects away from https"),
        ("/redirectfile@/etc/passwd", "302"),
    ],
)
def test_what_does_not_come_whole_is_out_of_reach(
    server: tuple[str, ssl.SSLContext], tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(SourceUnreachable, match=message):
        fetcher(server)(server[0] + path, tmp_path)


def test_this_machine_is_not_asked_by_any_of_its_names(server: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    for url in (server[0], server[0].replace("127.0.0.1", "localhost")):
        with pytest.raises(SourceUnreachable, match="an address of this machine"):
            fetcher(server, hosts="example.org")(f"{url}/data/x", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0:{port}",
             "[::ffff:127.0.0.1]:{port}", "[64:ff9b::7f00:1]", "2130706433:{port}", "0x7f000001:{port}",
             "127.1:{port}"],
)  # fmt: skip
def test_a_redirect_leads_to_no_address_of_this_machine_or_its_cloud(
    server: tuple[str, ssl.SSLContext], tmp_path: Path, host: str
) -> None:
    target = host.format(port=server[0].rpartition(":")[2])
    began = time.monotonic()
    with pytest.raises(SourceUnreachable, match="an address of this machine or its cloud"):
        fetcher(server)(f"{server[0]}/redirecthttps@{target}/data/x", tmp_path)
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_sent_to_an_address_that_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(SourceUnreachable, match="an address of this machine"):
            HttpsFetcher()(f"https://127.0.0.1:{listener.getsockname()[1]}/x", tmp_path)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_an_untrusted_certificate_is_refused(server: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        HttpsFetcher(hosts=named_hosts("127.0.0.1"))(f"{server[0]}/data/x", tmp_path)


def test_more_than_the_limit_is_refused(server: tuple[str, ssl.SSLContext], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"more than {len(BODY) - 1} bytes"):
        fetcher(server, limit=len(BODY) - 1)(f"{server[0]}/endless/x", tmp_path)
    fetcher(server, limit=len(BODY))(f"{server[0]}/endless/y", tmp_path)


@pytest.mark.parametrize(
    "url", ["https://example.org", "https://example.org/", "https://example.org/a/..", "http://example.org/a",
            "https:///a", "https://example.org/a%00b", "https://me@example.org/a", "https://example.org/%2E%2E"],
)  # fmt: skip
def test_addresses_that_name_no_file_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the https address of a file"):
        HttpsFetcher()(url, tmp_path)
