"""Pages about several runs in a real browser: pictures are drawn under the policy, seen, saved, and told in words."""

from __future__ import annotations

import io
import math
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from executor.dashboard.app import make_app
from executor.dashboard.desk import Desk
from executor.dashboard.still import still
from executor.evidence.record import Blob, Record
from executor.evidence.series import Column, SeriesWriter, Tally
from executor.evidence.versus import versus
from executor.spec.canonical import spec_hash
from executor.steps.finding.indexing import Library
from executor.steps.home import Home
from executor.steps.signed.keys import KeyRing
from executor.store import open_store
from tests.fakes import NOON
from tests.unit.evidence.samples import record

sync_api = pytest.importorskip("playwright.sync_api")
uvicorn = pytest.importorskip("uvicorn")

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
TOKEN = "a-token-that-nobody-guesses"
SVG = ".picture svg"
DRAWN = "() => [...document.querySelectorAll('.picture')].every((one) => one.querySelector('svg'))"
GROUND = "document.querySelector('.picture svg')?.style.backgroundColor"
WHITE = "rgb(255, 255, 255)"
UNNAMED = """() => [...document.querySelectorAll('button, a, select, input:not([type=hidden]), [tabindex="0"]')]
  .filter((one) => !one.hidden && one.checkVisibility())
  .filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.labels?.length || one.title))
  .map((one) => one.outerHTML)"""

pytestmark = pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="there is no browser")


@dataclass
class Shop:
    """A store in a folder with some runs, and its dashboard on a port."""

    desk: Desk
    made: list[Record]
    address: str = ""

    def url(self, *runs: Record, path: str = "/compare", **query: Any) -> str:
        words = [("run", f"{one.spec_hash.hex[:12]}/{one.attempt}") for one in runs or self.made]
        return f"{self.address}{path}?{urlencode([*words, *query.items()])}"


def tried(desk: Desk, at: int) -> Record:
    """A run with two hundred points of two metrics; every second one lacks a parameter."""
    params = {"lr": 0.001 * 4**at, "optimizer": ("adam", "sgd")[at % 2]} | ({"dropout": 0.1 * at} if at % 2 else {})
    spec = {"seed": at, "params": params, "cpu": {"threads": 1, "isa": "avx2"}}
    loss = [math.exp(-step / (20 + 10 * at)) + 0.02 * math.sin(step) for step in range(200)]
    loss[100] = math.nan
    sink = io.BytesIO()
    with SeriesWriter(sink, Tally()) as writer:
        writer.take({"loss": Column(loss, None, [1e9 + at + step for step in range(200)]),
                     "accuracy": Column([1 - value for value in loss])})  # fmt: skip
    table = sink.getvalue()
    run = record(
        spec=spec, spec_hash=spec_hash(spec), attempt=f"20260101T120000Z-{at:08x}",
        series=Blob(digest=desk.store.put_bytes(table), size=len(table)),
        metrics={"loss": loss[-1], "accuracy": 1 - loss[-1]},
    )  # fmt: skip
    desk.store.put_record(run.spec_hash, run.attempt, run.to_json())
    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("shop")
    store, home = open_store(f"file:{root}/store", {}), Home(root / "home")
    desk = Desk(Library.of(store, home, print), lambda: NOON, home, KeyRing(home.keys, {}))
    made = Shop(desk, [tried(desk, at) for at in range(5)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        made.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(make_app(desk, TOKEN), log_level="warning", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield made
        server.should_exit = True
        thread.join(20)


@dataclass
class Seen:
    """A page of a browser, and what went wrong on it."""

    page: Any
    wrong: list[str] = field(default_factory=list)

    def open(self, url: str) -> Any:
        self.page.goto(url)
        self.drawn()
        return self.page

    def drawn(self) -> None:
        """Wait for every picture."""
        self.page.wait_for_selector(SVG)
        self.page.wait_for_function(DRAWN)

    @property
    def readout(self) -> str:
        return str(self.page.locator(".readout").first.inner_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(params=[("light", 1400), ("dark", 390)], ids=["light", "dark and small"])
def seen(request: pytest.FixtureRequest, browser: Any, shop: Shop) -> Iterator[Seen]:
    """Nothing that a page does may break its policy, or fail."""
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    found = Seen(context.new_page())
    found.page.on("console", lambda one: found.wrong.append(one.text) if one.type in ("error", "warning") else None)
    found.page.on("pageerror", lambda error: found.wrong.append(str(error)))
    found.page.goto(f"{shop.address}/compare?token={TOKEN}")
    yield found
    context.close()
    assert found.wrong == []


def fits(page: Any) -> bool:
    """Whether the page is no wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_pictures_are_drawn_and_the_page_is_no_wider_than_its_window(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url())
    assert page.locator(SVG).count() == 2
    assert page.locator(".mark-line path").count() >= 2 * len(shop.made)
    assert fits(page)
    text = page.locator("[data-chart=parallel] svg").text_content()
    assert all(word in text for word in ("lr", "dropout", "missing", "adam"))


def test_a_line_that_is_pointed_at_is_told_and_lit_in_every_picture(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url(metric="loss"))
    picture = page.locator(".picture").first
    picture.focus()
    page.keyboard.press("ArrowDown")
    first = seen.readout
    assert first.startswith(shop.made[0].spec_hash.hex[:7])
    page.keyboard.press("ArrowDown")
    assert seen.readout.startswith(shop.made[1].spec_hash.hex[:7])
    box = picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] - 70)
    page.wait_for_function("() => document.querySelector('.readout').textContent.includes(' at step ')")
    assert "loss" in seen.readout


def test_the_controls_stand_in_the_address(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url())
    page.select_option("[name=metric]", "accuracy")
    page.wait_for_url("**metric=accuracy**")
    seen.drawn()
    page.select_option("[name=x]", "time")
    page.wait_for_url("**x=time**")
    seen.drawn()
    with page.expect_response("**/compare/curves.json**smooth=0.9**"):
        page.locator("[name=smooth]").fill("0.9")
    query = parse_qs(urlsplit(page.url).query)
    assert (query["metric"], query["x"], query["smooth"], len(query["run"])) == (["accuracy"], ["time"], ["0.9"], 5)
    assert "smooth=0.9" in page.locator("a[href^='/compare/curves.csv']").get_attribute("href")
    seen.open(page.url)
    assert page.locator("[name=smooth]").input_value() == "0.9"


def test_pictures_are_saved_as_svg_and_png_and_tables_as_csv(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url())
    for kind, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
        for at in range(2):
            with page.expect_download() as download:
                page.locator(f"[data-save={kind}]").nth(at).click()
            assert Path(download.value.path()).read_bytes().startswith(start)
    for link in page.locator("a[download]").all():
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename.endswith(".csv")


def test_pictures_follow_the_theme(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url())
    for theme, sign in (("light", "==="), ("dark", "!==")):
        page.locator("#theme").click()
        assert page.evaluate("() => document.documentElement.dataset.theme") == theme
        page.wait_for_function(f"() => {GROUND} {sign} '{WHITE}'")


def test_everything_can_be_reached_by_keyboard_and_has_a_name(seen: Seen, shop: Shop) -> None:
    page = seen.open(shop.url())
    assert page.evaluate(UNNAMED) == []
    assert page.get_by_label("Smoothing").get_attribute("type") == "range"
    assert all(one.get_attribute("aria-label") for one in page.locator("[role=img]").all())


def test_a_file_that_stands_alone_works_without_a_server(seen: Seen, shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "runs.html"
    target.write_text(still(shop.desk.store, versus(shop.made), 0), "utf-8")
    seen.page = seen.page.context.new_page()
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url))
    seen.page.on("console", lambda one: seen.wrong.append(one.text))
    page = seen.open(target.as_uri())
    assert page.locator(SVG).count() == 2
    before = page.locator("[data-chart=curves] svg").inner_html()
    page.select_option("[data-metrics]", "accuracy")
    changed = "(before) => document.querySelector('[data-chart=curves] svg')?.innerHTML !== before"
    page.wait_for_function(changed, arg=before)
    with page.expect_download() as download:
        page.locator("[data-save=svg]").first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"<svg")
    assert fits(page)
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
