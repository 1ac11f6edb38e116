"""One file over `https://`, as a data source.

A redirect must stay on https. The address that is really connected to is looked at before anything is asked of it: a
name that leads to this machine, or to the link-local addresses where clouds keep their credentials, is refused.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

from executor.errors import SourceUnreachable, UsageError
from executor.spec.canonical import CHUNK
from executor.spec.tree import Progress

_TIMEOUT_S = 60


@dataclass(frozen=True)
class HttpsFetcher:
    """Fetches one file; called as `fetcher(url, folder, progress)`."""

    limit: int = 2**40
    """Most bytes that are taken."""
    allow_loopback: bool = False
    """Whether this machine may be asked; tests do."""
    context: ssl.SSLContext | None = None
    """Trusted certificates; those of the system when none."""

    def __call__(self, url: str, target: Path, progress: Progress | None = None) -> None:
        """Write the file into the folder `target` under the last name of the URL's path.

        Raises `SourceUnreachable` when it does not come whole, `UsageError` for a URL that names no file.
        """
        path = target / _name(url)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _Https(self.context, self.allow_loopback), _HttpsRedirects
        )
        try:
            with opener.open(url, timeout=_TIMEOUT_S) as answer, path.open("xb") as file:
                self._receive(url, cast(http.client.HTTPResponse, answer), file, progress)
        except urllib.error.HTTPError as error:
            error.close()
            raise SourceUnreachable(f"{url}: {error.code} {error.reason}", advice="check the address") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise SourceUnreachable(f"{url}: {reason}", advice="check the address and the network") from error

    def _receive(self, url: str, answer: http.client.HTTPResponse, file: IO[bytes], progress: Progress | None) -> None:
        promised, size = answer.length, 0
        while piece := answer.read(CHUNK):
            size += file.write(piece)
            if size > self.limit:
                raise UsageError(f"{url}: more than {self.limit} bytes", advice="put large data into a bucket")
            if progress:
                progress(len(piece))
        if promised is not None and size != promised:
            raise SourceUnreachable(f"{url}: ended after {size} of {promised} bytes", advice="try again")


def _name(url: str) -> str:
    parts = urlsplit(url)
    name = unquote(parts.path, errors="strict").rpartition("/")[2]
    if parts.scheme != "https" or not parts.hostname or name in ("", ".", "..") or "\0" in name or parts.username:
        raise UsageError(f"{url}: not the https address of a file", advice="write https://host/path/file")
    return name


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
                         newurl: str) -> urllib.request.Request | None:  # fmt: skip
        if urlsplit(newurl).scheme != "https":
            raise SourceUnreachable(f"{req.full_url}: redirects away from https", advice="use the final address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext | None, allow_loopback: bool) -> None:
        super().__init__()
        self.connection = partial(
            _Connection, context=context or ssl.create_default_context(), allow_loopback=allow_loopback
        )

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.connection, req)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, allow_loopback: bool, **options: Any) -> None:
        super().__init__(host, **options)
        self.allow_loopback = allow_loopback

    def connect(self) -> None:
        super().connect()
        peer = ip_address(self.sock.getpeername()[0].partition("%")[0])
        address = (peer.ipv4_mapped or peer) if isinstance(peer, IPv6Address) else peer
        if address.is_link_local or (address.is_loopback and not self.allow_loopback):
            self.close()
            raise SourceUnreachable(f"{self.host} is {address}, an address of this machine or its cloud",
                                    advice="data is fetched from other machines only")  # fmt: skip
