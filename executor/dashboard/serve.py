"""The app on a port of this machine, until it is stopped. Nobody else can reach it: it listens on loopback alone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from executor.errors import UsageError

HOST = "127.0.0.1"
GRACE_S = 1
"""Seconds that answers have to end; a page that follows a run never does by itself."""
LONGEST = 64 << 10
"""Bytes of a request: the address of a comparison names all its runs."""


def serve(app: ASGIApp, port: int, ready: Callable[[int], None]) -> None:
    """Serve until Ctrl-C; `ready` is told the port, 0 being any free one. Raises `UsageError` for one that is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}", advice="name another one, or none") from error
        listener.listen()
        ready(listener.getsockname()[1])
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off",
                                ws="none", proxy_headers=False, http="h11", h11_max_incomplete_event_size=LONGEST,
                                timeout_graceful_shutdown=GRACE_S)  # fmt: skip
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
