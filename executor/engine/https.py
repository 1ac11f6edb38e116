"""Over `https://`: one file as a data source, and what opens the addresses of registries.

A redirect must stay on https. Every host on the way is looked at before it is connected to, as `addresses` says.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

from executor.engine.addresses import Connect, checked
from executor.errors import SourceUnreachable, UsageError
from executor.spec.canonical import CHUNK
from executor.spec.tree import Progress

_TIMEOUT_S = 60


@dataclass(frozen=True)
class HttpsFetcher:
    """Fetches one file; called as `fetcher(url, folder, progress)`."""

    limit: int = 2**40
    """Most bytes that are taken."""
    hosts: frozenset[str] = frozenset()
    """Hosts that may be asked wherever they are, this machine among them."""
    context: ssl.SSLContext | None = None
    """Trusted certificates; those of the system when none."""

    def __call__(self, url: str, target: Path, progress: Progress | None = None) -> None:
        """Write the file into the folder `target` under the last name of the URL's path.

        Raises `SourceUnreachable` when it does not come whole, `UsageError` for a URL that names no file.
        """
        path = target / _name(url)
        try:
            with (
                opener(self.context, hosts=self.hosts).open(url, timeout=_TIMEOUT_S) as answer,
                path.open("xb") as file,
            ):
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


def opener(
    context: ssl.SSLContext | None = None, *, allow_loopback: bool = False, hosts: frozenset[str] = frozenset()
) -> urllib.request.OpenerDirector:
    """What opens https addresses: redirects stay on https, and only `addresses.checked` connects.

    Refusals are `SourceUnreachable`; the rest is what `urllib` raises. The system's certificates count when no context
    says which do.
    """
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _Https(context, checked(hosts, loopback=allow_loopback)), _HttpsRedirects
    )  # fmt: skip


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
                         newurl: str) -> urllib.request.Request | None:  # fmt: skip
        if urlsplit(newurl).scheme != "https":
            raise SourceUnreachable(f"{req.full_url}: redirects away from https", advice="use the final address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext | None, connect: Connect) -> None:
        super().__init__()
        self.connection = partial(_Connection, context=context or ssl.create_default_context(), connect=connect)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.connection, req)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, connect: Connect, **options: Any) -> None:
        super().__init__(host, **options)
        self._create_connection = connect
