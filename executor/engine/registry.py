"""A read-only image registry on loopback: what a store keeps, any engine can pull by digest.

Three routes of the distribution protocol are enough for `pull 127.0.0.1:PORT/any-name@sha256:…`; the digest is the
address and the name is free. Engines accept plain HTTP from 127.0.0.0/8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Any, BinaryIO

from executor.engine.oci import MANIFEST_LIMIT, BlobSource, media_type
from executor.errors import ExecutorError
from executor.spec.canonical import CHUNK, Digest

_ROUTE = re.compile(r"/v2/[a-z0-9][a-z0-9._/-]*/(manifests|blobs)/(sha256:[0-9a-f]{64})")


@contextmanager
def serve(source: BlobSource) -> Iterator[str]:
    """Serve the blobs of `source` while the block runs; gives `127.0.0.1:PORT`."""
    server = _Server(source)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="registry", daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, source: BlobSource) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.source = source

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the connection is cut, which the engine sees and reports as a failed pull."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer with headers and bytes."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with headers."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Keep stderr clean."""

    def version_string(self) -> str:
        """Tell nothing of the host."""
        return "executor"

    def _answer(self, *, body: bool) -> None:
        if self.path == "/v2/":
            self._head(HTTPStatus.OK, 0)
        elif route := _ROUTE.fullmatch(self.path):
            self._blob(Digest.parse(route[2]), manifest=route[1] == "manifests", body=body)
        else:
            self._head(HTTPStatus.NOT_FOUND, 0)

    def _blob(self, digest: Digest, *, manifest: bool, body: bool) -> None:
        source = self.server.source
        try:
            size = source.size(digest)
            stream = None if size is None else source.open(digest)
        except ExecutorError:
            return self._head(HTTPStatus.SERVICE_UNAVAILABLE, 0)  # unreachable is not absent
        if size is None or stream is None:
            return self._head(HTTPStatus.NOT_FOUND, 0)
        with stream:
            start = stream.read(min(size, MANIFEST_LIMIT)) if manifest else b""
            kind = _manifest_type(start) if manifest else "application/octet-stream"
            if kind is None:
                return self._head(HTTPStatus.NOT_FOUND, 0)
            self._head(HTTPStatus.OK, size, {"Content-Type": kind, "Docker-Content-Digest": str(digest)})
            if body:
                self._send(start, stream, size)
        return None

    def _send(self, start: bytes, stream: BinaryIO, size: int) -> None:
        chunk = start or stream.read(CHUNK)
        while chunk:
            self.wfile.write(chunk)
            size -= len(chunk)
            chunk = stream.read(CHUNK)
        self.close_connection = size != 0  # else the engine would wait for the bytes that are missing

    def _head(self, status: HTTPStatus, length: int, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.end_headers()


def _manifest_type(data: bytes) -> str | None:
    try:
        return media_type(data)
    except ValueError:
        return None
