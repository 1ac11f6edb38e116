"""Images from their registry, by digest alone and as the registry has them: what the store keeps of an image.

The distribution protocol's two routes, with Basic and Bearer authentication. Every byte is compared with its digest
while it comes. A registry on 127.0.0.0/8 is asked over plain HTTP, as engines do; all others over HTTPS, where a
redirect may lead to another host but not away from HTTPS, and never takes the credentials along.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.error
from collections.abc import Callable, Sequence
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit
from urllib.request import Request

from executor.engine.https import opener
from executor.engine.interface import Credentials, Progress
from executor.engine.oci import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, MANIFEST_LIMIT, Descriptor
from executor.errors import ImageNotFound, RegistryUnreachable, SourceUnreachable
from executor.spec.canonical import CHUNK, Digest

T = TypeVar("T")
HUB, HUB_HOST = "docker.io", "registry-1.docker.io"
"""What names without a host mean, and who answers for it."""
CERTIFICATES = Path("/etc/docker/certs.d")
"""Where engines look for the authorities of private registries, in a folder for each."""
PAUSES = (1.0, 4.0)
"""Seconds before each further try."""
_TIMEOUT_S = 60
_TOKEN_LIMIT = 1 << 20
_MANIFESTS = ", ".join((INDEX, DOCKER_INDEX, MANIFEST, DOCKER_MANIFEST))
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_TOKEN = re.compile(r"[!-~]+")
_DISTRUST = "do not trust what this registry gives; name another one"


class Registry:
    """One repository of a registry, such as `quay.io/acme/torch`."""

    def __init__(
        self, name: str, credentials: Callable[[str], Credentials | None], *, context: ssl.SSLContext | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:  # fmt: skip
        """Nothing is asked yet; `credentials` is asked for those of a host when the registry wants any."""
        self._host, self._repository = located(name)
        self._credentials, self._pauses = credentials, pauses
        self._plain = is_plain(self._host)
        host = HUB_HOST if self._host == HUB else self._host
        self._base = f"{'http' if self._plain else 'https'}://{host}/v2/{self._repository}"
        self._opener = opener(context or _trusted(self._host), allow_loopback=True)
        self._authorization = ""

    def manifest(self, digest: Digest) -> bytes:
        """A manifest or index; raises `ImageNotFound`, also for other bytes, and `RegistryUnreachable`."""
        url = f"{self._base}/manifests/{digest}"

        def get() -> bytes:
            with self._get(url, _MANIFESTS) as answer:
                data = answer.read(MANIFEST_LIMIT + 1)
                if answer.length and len(data) <= MANIFEST_LIMIT:
                    raise RegistryUnreachable(f"{url}: ended after {len(data)} bytes", advice="try again")
                return data

        data = self._tried(url, get)
        if len(data) > MANIFEST_LIMIT or Digest.of(data) != digest:
            raise ImageNotFound(f"{url}: not the manifest of that digest", advice=_DISTRUST)
        return data

    def fetch(self, blob: Descriptor, target: Path, progress: Progress) -> None:
        """Write a blob to a file; raises what `manifest` raises, and then the file is worth nothing."""
        url = f"{self._base}/blobs/{blob.digest}"

        def get() -> None:
            with self._get(url, "*/*") as answer:
                self._receive(url, answer, blob, target, progress)

        self._tried(url, get)

    def _receive(
        self, url: str, answer: http.client.HTTPResponse, blob: Descriptor, target: Path, progress: Progress
    ) -> None:
        hasher, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            while size <= blob.size and (piece := answer.read(CHUNK)):
                hasher.update(piece)
                size += file.write(piece)
                progress(blob.digest.hex[:12], size, blob.size)
        if size < blob.size:
            raise RegistryUnreachable(f"{url}: ended after {size} of {blob.size} bytes", advice="try again")
        if size > blob.size or hasher.hexdigest() != blob.digest.hex:
            raise ImageNotFound(f"{url}: other bytes than those of that digest", advice=_DISTRUST)

    def _tried(self, url: str, action: Callable[[], T]) -> T:
        """Try again what did not answer; what was answered stands."""
        for pause in self._pauses:
            try:
                return self._mapped(url, action)
            except RegistryUnreachable:
                time.sleep(pause)
        return self._mapped(url, action)

    def _mapped(self, url: str, action: Callable[[], T]) -> T:
        """Map what HTTP raises to our words, once."""
        try:
            return action()
        except urllib.error.HTTPError as error:
            with closing(error):
                raise _refused(url, error.code, str(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            advice = "check the network and the registry's name"
            raise RegistryUnreachable(f"{url}: {getattr(error, 'reason', error)}", advice=advice) from error
        except SourceUnreachable as error:
            raise RegistryUnreachable(error.message, advice=error.advice) from error

    def _get(self, url: str, accept: str) -> http.client.HTTPResponse:
        """The answer; when the registry asks who we are, once more with what it wants to know."""
        headers = {"Accept": accept, "User-Agent": "executor"}
        try:
            return self._open(Request(url, headers=headers), self._authorization)  # noqa: S310  (https, or loopback)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.UNAUTHORIZED or error.url != url:  # whom it redirects to learns nothing
                raise
            with closing(error):
                self._authorization = self._authorize(error.headers.get("WWW-Authenticate", ""))
        return self._open(Request(url, headers=headers), self._authorization)  # noqa: S310

    def _open(self, request: Request, authorization: str) -> http.client.HTTPResponse:
        if authorization:
            request.add_unredirected_header("Authorization", authorization)  # for whom we ask, not for its redirects
        return cast(http.client.HTTPResponse, self._opener.open(request, timeout=_TIMEOUT_S))

    def _authorize(self, challenge: str) -> str:
        """The header that answers a challenge."""
        scheme, _, rest = challenge.partition(" ")
        known, fields = self._credentials(self._host), dict(_FIELD.findall(rest))
        if scheme.lower() == "bearer" and "realm" in fields:
            return f"Bearer {self._token(fields, known)}"
        if scheme.lower() == "basic" and known:
            return _basic(known)
        raise ImageNotFound(f"{self._base}: the registry wants to know who asks", advice=f"docker login {self._host}")

    def _token(self, fields: dict[str, str], known: Credentials | None) -> str:
        realm = fields["realm"]
        scheme, host, *_ = urlsplit(realm)
        if not (scheme == "https" or (scheme == "http" and self._plain and is_plain(host))):
            raise RegistryUnreachable(f"{self._base}: would have us sign in at {realm}", advice=_DISTRUST)
        scope = fields.get("scope", f"repository:{self._repository}:pull")
        query = urlencode({"service": fields.get("service", ""), "scope": scope})
        request = Request(f"{realm}{'&' if '?' in realm else '?'}{query}")  # noqa: S310
        if known and known.refresh_token:
            form = {"grant_type": "refresh_token", "client_id": "executor", "refresh_token": known.refresh_token}
            request = Request(realm, data=f"{query}&{urlencode(form)}".encode())  # noqa: S310
        with self._open(request, _basic(known) if known and known.user else "") as answer:
            token = _token_in(answer.read(_TOKEN_LIMIT))
        if not _TOKEN.fullmatch(token):
            raise RegistryUnreachable(f"{realm}: answered without a token", advice="try again, or name another one")
        return token


def located(name: str) -> tuple[str, str]:
    """Host and repository of an image's name, as engines read it: `torch` is `library/torch` of Docker Hub."""
    host, slash, rest = name.partition("/")
    if slash and (host == "localhost" or any(letter in host for letter in ".:")):
        host = HUB if host == f"index.{HUB}" else host
        return host, f"library/{rest}" if host == HUB and "/" not in rest else rest
    return HUB, name if slash else f"library/{name}"


def is_plain(host: str) -> bool:
    """Whether a host (`name:port`) is asked without TLS: one of this machine, by its address or as `localhost`."""
    name = host.rpartition(":")[0] or host
    try:
        return name == "localhost" or IPv4Address(name).is_loopback
    except ValueError:
        return False


def _trusted(host: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in sorted((CERTIFICATES / host).glob("*.crt")):
        context.load_verify_locations(authority)
    return context


def _refused(url: str, code: int, reason: str) -> ImageNotFound | RegistryUnreachable:
    if code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN, http.HTTPStatus.NOT_FOUND):
        advice = "check the name and the digest, and that you may read it (`docker login`)"
        return ImageNotFound(f"{url}: {code} {reason}", advice=advice)
    return RegistryUnreachable(f"{url}: {code} {reason}", advice="try again later")


def _basic(known: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{known.user}:{known.password}".encode()).decode()


def _token_in(data: bytes) -> str:
    try:
        found: Any = json.loads(data)
        return str(found.get("token") or found.get("access_token") or "")
    except (ValueError, RecursionError, AttributeError):
        return ""
