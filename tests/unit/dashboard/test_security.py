"""No route answers who does not know the token, or asks in the name of another host or from another origin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route

from executor import dashboard
from executor.dashboard.app import make_app, make_pages
from executor.dashboard.security import COOKIE, HEADERS, POLICY, Guard
from tests.unit.dashboard.conftest import TOKEN, World

STATIC = Path(dashboard.__file__).parent / "static"
MADE_UP = {"spec": "a" * 64, "attempt": "a1", "digest": "b" * 64}


def paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """Every address that the app knows, with something in the place of each parameter."""
    for route in routes:
        if isinstance(route, Mount):
            files = [path.relative_to(STATIC) for path in STATIC.rglob("*") if path.is_file()]
            yield from (f"{route.path}/{path}" for path in files)
            yield f"{route.path}/../app.py"
        else:
            assert isinstance(route, Route), f"{route}: how is it asked?"
            yield route.path.format_map(MADE_UP)


@pytest.fixture
def every(world: World) -> list[str]:
    found = [*paths(make_pages(world.desk).routes), "/no-such-page", "//", "/runs/%2e%2e/x"]
    assert len(found) > 20
    return found


REFUSED = {
    "no token": ({}, "", 401),
    "another token": ({}, "x" * len(TOKEN), 401),
    "a part of the token": ({}, TOKEN[:-1], 401),
    "an empty cookie": ({"cookie": f"{COOKIE}="}, "", 401),
    "another cookie": ({"cookie": f"{COOKIE}={TOKEN}x"}, "", 401),
    "another scheme": ({"authorization": f"Basic {TOKEN}"}, "", 401),
    "another host": ({"host": "evil.example"}, TOKEN, 403),
    "a host that begins like ours": ({"host": "127.0.0.1.evil.example"}, TOKEN, 403),
    "an address of the network": ({"host": "192.168.1.4:8000"}, TOKEN, 403),
    "a host that cannot be read": ({"host": "[::1"}, TOKEN, 403),
    "no host": ({"host": ""}, TOKEN, 403),
    "another origin": ({"origin": "http://evil.example"}, TOKEN, 403),
    "another port of this machine": ({"origin": "http://127.0.0.1:9999"}, TOKEN, 403),
    "no origin at all": ({"origin": "null"}, TOKEN, 403),
    "a page of another site": ({"sec-fetch-site": "cross-site"}, TOKEN, 403),
    "a page of another port": ({"sec-fetch-site": "same-site"}, TOKEN, 403),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_every_route_refuses(world: World, every: list[str], why: str) -> None:
    headers, token, status = REFUSED[why]
    for path in every:
        answer = world.get(path, headers, token=token)
        assert (path, answer.status_code) == (path, status)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert world.store.requests == []


def test_a_wrong_token_in_the_address_is_refused_whatever_else_is_known(world: World, every: list[str]) -> None:
    for path in every:
        assert world.get(f"{path}?token=wrong").status_code == 401
        assert world.get(f"{path}?token={TOKEN}&token=wrong").status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(world: World, every: list[str], method: str) -> None:
    for path in every:
        assert world.get(path, method=method).status_code == 405


def test_every_answer_bears_the_headers(world: World, every: list[str]) -> None:
    for path in every:
        answer = world.get(path)
        assert answer.headers["content-security-policy"] == POLICY
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_the_policy_lets_nothing_in() -> None:
    rules = dict(rule.strip().partition(" ")[::2] for rule in POLICY.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["form-action"] == "'self'"
    assert "unsafe" not in POLICY


def test_the_first_visit_becomes_a_cookie(world: World) -> None:
    answer = world.get(f"/?q=seed+%3D%3D+1&token={TOKEN}&run=a", token="")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=seed+%3D%3D+1&run=a")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN};")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert world.get("/", {"cookie": f"{COOKIE}={TOKEN}"}, token="").status_code == 200


def test_a_ticket_is_good_once(world: World) -> None:
    ticket = "a-ticket-that-nobody-guesses"
    world.app = make_app(world.desk, TOKEN, [ticket])
    assert world.get("/", token=ticket).status_code == 401  # it is no token
    answer = world.get(f"/?token={ticket}", token="")
    assert (answer.status_code, answer.headers["set-cookie"].split(";")[0]) == (303, f"{COOKIE}={TOKEN}")
    assert world.get(f"/?token={ticket}", token="").status_code == 401


def test_a_page_can_be_asked_for_without_its_contents(world: World) -> None:
    answer = world.get("/", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.get("/", method="HEAD", token="").status_code == 401


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example"])
def test_the_first_visit_leads_to_no_other_machine(world: World, path: str) -> None:
    target = world.get(f"http://127.0.0.1:8000{path}?token={TOKEN}", token="").headers["location"]
    assert target.startswith("/")
    assert target[1:2] not in ("/", "\\")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1", "[::1]:8000", "LOCALHOST"])
def test_this_machine_has_several_names(world: World, host: str) -> None:
    assert world.get("/", {"host": host, "origin": f"http://{host}"}).status_code == 200


def test_a_token_that_can_be_guessed_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="guessed"):
        Guard(lambda *_: None, "short")  # type: ignore[arg-type]


def test_only_http_is_spoken(world: World) -> None:
    answer = world.get("/", {"upgrade": "websocket", "connection": "upgrade"}, token="")
    assert answer.status_code == 401
    with pytest.raises(ValueError, match="only HTTP"):
        asyncio.run(world.app({"type": "websocket"}, None, None))  # type: ignore[arg-type]
