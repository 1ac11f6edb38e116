"""Who may ask, and what an answer may do: a guard around the whole app, so that no route can be forgotten.

- A request must know the token: a cookie, `Authorization: Bearer`, or `?token=`, which is turned into the cookie. A
  ticket stands in the place of the token in `?token=`, once: what a browser is started with is seen by every user of
  this machine.
- It must name this machine as its host, or a page of another name that resolves to loopback could ask (DNS rebinding),
  and must not come from a page of another origin.
- It can only ask (GET, HEAD); and an answer can load nothing but our own files, run nothing that stands in the page,
  be framed by nobody, and be kept nowhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Of every answer, where a page did not set its own."""
HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAME = frozenset({"same-origin", "none"})
"""What browsers say of a request that no other site has a part in; `none` is an address that a person typed."""
SHORTEST = 16
"""Characters of a token, which are random."""
COOKIE = "executor-dashboard"


class Guard:
    """The app behind it is asked only by who knows the token."""

    def __init__(self, app: ASGIApp, token: str, tickets: Iterable[str] = ()) -> None:
        self._app, self._token, self._tickets = app, token, set(tickets)
        if min(map(len, (token, *self._tickets))) < SHORTEST:
            raise ValueError("a token that can be guessed")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the app, or let it answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await (self._refusal(scope) or self._app)(scope, receive, _with_headers(send))
        else:
            raise ValueError("only HTTP is spoken here")

    def _refusal(self, scope: Scope) -> Response | None:
        """What to say in the place of the app; none when it may answer."""
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("this dashboard only shows\n", 405, {"allow": "GET, HEAD"})
        if not _ours(headers):
            return PlainTextResponse("the host or the origin of this request is another one\n", 403)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if self._redeems(given):
            return self._welcome(scope, [pair for pair in query if pair[0] != "token"])
        if given or not any(map(self._knows, _tokens(headers))):
            return PlainTextResponse("open the address that `executor dashboard` printed\n", 401,
                                     {"www-authenticate": "Bearer"})  # fmt: skip
        return None

    def _welcome(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        """Keep the token in a cookie that no script sees and no other site sends, and out of the address."""
        path = "/" + scope["path"].lstrip("/\\")  # `//host` would be another machine
        answer = RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)
        answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _redeems(self, given: list[str]) -> bool:
        """Whether what the address bears is the token, or a ticket, which is used up by that."""
        if len(given) == 1 and given[0] in self._tickets:
            self._tickets.remove(given[0])
            return True
        return bool(given) and all(map(self._knows, given))

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode())


def _ours(headers: Headers) -> bool:
    """Whether a request names this machine, and comes from no page of another origin."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    try:
        named = [urlsplit(f"//{host}").hostname for host in hosts]
    except ValueError:
        return False
    return (
        len(hosts) == 1
        and named[0] in HOSTS
        and all(origin == f"http://{hosts[0]}" for origin in origins)
        and headers.get("sec-fetch-site", "none") in SAME
    )


def _tokens(headers: Headers) -> list[str]:
    """Tokens that a request bears."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    found = [bearer.strip()] if scheme.lower() == "bearer" else []
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return found
    return [*found, *([cookies[COOKIE].value] if COOKIE in cookies else [])]


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
