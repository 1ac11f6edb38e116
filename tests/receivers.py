"""Real receivers on loopback for what a run tells others: webhooks, and spans over OTLP/HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """Takes posts, and answers them with each status in turn, the last one from then on."""

    url: str = ""
    statuses: Sequence[int] = (200,)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is not set, a receiver of status 0 says nothing."""


@contextmanager
def receiver(*statuses: int) -> Iterator[Receiver]:
    """A receiver on a port of its own; it answers 200 when nothing else is said, and not at all to 0."""
    found = Receiver(statuses=statuses or (200,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            found.paths.append(self.path)
            status = found.statuses[min(len(found.bodies), len(found.statuses)) - 1]
            if not status:
                found.silent.wait()
                return
            self.send_response(status)
            if status in (301, 302, 307, 308):
                self.send_header("Location", f"{found.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.silent.set()
        server.shutdown()
        server.server_close()
        thread.join()
