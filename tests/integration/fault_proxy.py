"""A tiny HTTP proxy that loses answers, damages bodies and breaks connections where a test tells it to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

Fault = str
"""`lose`: forward, then hang up; `flip`: change one bit of the request's body; `rot`: one of the answer's; `cut`: break
off half of the answer;
`reset`: hang up without forwarding; a status such as `503` or `403`: answer that without forwarding."""
REASONS = {"403": "Forbidden", "409": "Conflict", "500": "Internal Server Error", "503": "Slow Down"}


class FaultProxy:
    """Forwards to `endpoint`; `plan(method, path)` names the fault of each request, empty for none."""

    def __init__(self, endpoint: str, plan: Callable[[str, str], Fault], *, port: int = 0) -> None:
        self.seen: list[tuple[str, str, Fault]] = []
        upstream, lock = urlsplit(endpoint).netloc, threading.Lock()
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    fault = plan(self.command, self.path)
                    seen.append((self.command, self.path, fault))
                self._answer(body, fault)

            def _answer(self, body: bytes, fault: Fault) -> None:
                if fault in REASONS:
                    self.wfile.write(f"HTTP/1.1 {fault} {REASONS[fault]}\r\nContent-Length: 0\r\n\r\n".encode())
                    return
                if fault == "reset":
                    self.close_connection = True
                    return
                if fault == "flip" and body:
                    body = body[:-1] + bytes([body[-1] ^ 1])
                status, reason, headers, answer = self._forward(body)
                if fault == "lose":
                    self.close_connection = True
                    return
                if fault == "rot" and answer:
                    answer = answer[:-1] + bytes([answer[-1] ^ 1])
                head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n"
                self.close_connection = fault == "cut"
                self.wfile.write(head.encode() + (answer[: len(answer) // 2] if fault == "cut" else answer))

            def _forward(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(upstream, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")]
                if answer.getheader("Content-Length") is None:
                    kept.append(("Content-Length", str(len(data))))
                return answer.status, answer.reason, kept, data

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
