"""The dashboard in headless Chromium: each page is used as a person uses it, and a hostile run does nothing."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

from benchmarks.runs import START, records
from executor.evidence.record import Blob, Hints, Record
from executor.evidence.row import row
from executor.facts import OutputFile, Role
from executor.store import Store
from executor.store.changes import announce
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine, locked, wait_until

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
HOSTILE = "<img src=https://evil.example/x onerror=alert(1)>\"'</script><script>alert(1)</script>\x1b[2J\u202e"
HTML = b"<!doctype html><script>fetch('https://evil.example/'); alert(1)</script>"
LOG = b"".join(b"line %d \x1b[31m<script>alert(1)</script>\r%d%%\n" % (number, number) for number in range(9000))
RUNS = list(records(130, seed=7))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: apt-get install chromium"),
]


def publish(store: Store, run: Record, hour: int = 0) -> Record:
    announce(store, run.spec_hash, run.attempt, START.replace(hour=hour % 24))
    store.put_record(run.spec_hash, run.attempt, run.to_json())
    return run


def role_of(path: str) -> Role:
    return "metrics" if path.endswith(".jsonl") else "file"


def rich(store: Store) -> Record:
    """A run with files, a log, curves and hostile words in all of its texts."""
    series = "".join(
        f'{{"step": {step}, "loss": {1 / (step + 1)}, {json.dumps(HOSTILE)}: {step % 7}}}\n' for step in range(80)
    )
    files = {"model.pt": b"weights", "metrics.jsonl": series.encode(), "report/index.html": HTML, HOSTILE: HTML}
    outputs = tuple(
        OutputFile(path=path, digest=store.put_bytes(data), size=len(data), role=role_of(path))
        for path, data in files.items()
    )
    hints = Hints(name=HOSTILE, image="localhost/torch", labels={"team": HOSTILE}, submitter=HOSTILE)
    base = RUNS[0]
    return base.model_copy(update={
        "attempt": "20270101T000000Z-0badc0de", "created": START.replace(year=2027), "outputs": outputs, "hints": hints,
        "metrics": {"loss": 1 / 80, HOSTILE: 2.0}, "log": Blob(digest=store.put_bytes(LOG), size=len(LOG)),
    })  # fmt: skip


@dataclass
class Site:
    """A dashboard that is served, and the store behind it."""

    machine: Machine
    address: str
    """With its token."""
    rich: Record

    @property
    def origin(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def url_of(self, run: Record) -> str:
        return f"{self.origin}/runs/{run.spec_hash.hex}/{run.attempt}"


@contextmanager
def served(machine: Machine) -> Iterator[str]:
    """`executor dashboard` while it runs; it ends by Ctrl-C, and well."""
    with machine.start("dashboard", "--no-open", "--json") as process:
        try:
            assert process.stdout
            document = json.loads(" ".join(iter(process.stdout.readline, "}\n")) + "}")
            yield document["url"]
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in err) == (0, False), err


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dashboard")
    machine = Machine(folder, f"file:{folder}/store")
    for hour, run in enumerate(RUNS):
        publish(machine.store, run, hour)
    found = publish(machine.store, rich(machine.store), 23)
    with served(machine) as address:
        yield Site(machine, address, found)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tools:
        found = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@dataclass
class Seen:
    """What a browser did that it should not have."""

    origin: str
    wrong: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda one: self._unless(one.url.startswith((self.origin, "blob:", "data:")), one.url))
        page.on("dialog", self._asked)
        page.on("pageerror", lambda one: self.wrong.append(str(one)))
        page.on("console", lambda one: self._unless(one.type != "error" or "status of 400" in one.text, one.text))

    def _asked(self, dialog: Dialog) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()

    def _unless(self, good: bool, what: str) -> None:
        self.wrong += [] if good else [what]


@contextmanager
def visit(browser: Browser, address: str, **how: object) -> Iterator[Page]:
    """A new browser that has opened the address, watched."""
    context: BrowserContext = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **how})  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    seen, page = Seen(address.partition("/?")[0]), context.new_page()
    seen.watch(page)
    page.goto(address)
    yield page
    context.close()
    assert seen.wrong == []


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    with visit(browser, site.address, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def cells(page: Page, number: int) -> list[str]:
    return page.locator(f"table.runs tbody tr > :nth-child({number})").all_inner_texts()


def column(page: Page, name: str) -> int:
    heads = page.locator("table.runs thead th").all_inner_texts()
    return next(at for at, head in enumerate(heads, 1) if head.endswith(name))


# Who may look ------------------------------------------------------------------------------------------------------


def test_the_token_becomes_a_cookie_and_leaves_the_address(site: Site, page: Page, browser: Browser) -> None:
    assert page.url == f"{site.origin}/"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["value"]) == (True, "Strict", site.token)
    assert page.evaluate("document.cookie") == ""
    stranger = browser.new_context().new_page()
    answer = stranger.goto(site.origin)
    assert answer
    assert answer.status == 401
    stranger.context.close()


def test_other_machines_and_other_names_of_this_one_have_no_answer(site: Site) -> None:
    port = urlsplit(site.origin).port
    bearer = {"authorization": f"Bearer {site.token}"}
    assert httpx.get(site.origin, headers=bearer).status_code == 200
    assert httpx.get(site.origin, headers={**bearer, "host": f"evil.example:{port}"}).status_code == 403
    assert httpx.get(site.origin, headers={**bearer, "origin": "https://evil.example"}).status_code == 403
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    own = [
        line.split()[1] for line in listening if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    ]
    assert own == [f"0100007F:{port:04X}"]  # 127.0.0.1 alone


# Runs --------------------------------------------------------------------------------------------------------------


def test_runs_are_filtered_in_the_language_of_find(site: Site, page: Page) -> None:
    text = "accuracy >= 0.9 and params.optimizer == 'adam'"
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_contain_text("of 131 runs")
    assert query(page)["q"] == [text]
    rows = [row(run).values for run in RUNS]
    good = [one for one in rows if one.get("metrics.accuracy", 0) >= 0.9 and one["params.optimizer"] == "adam"]  # type: ignore[operator]
    expect(page.locator("table.runs tbody tr")).to_have_count(len(good))
    expect(page.locator(".count strong")).to_have_text(str(len(good)))


def test_a_filter_with_a_mistake_says_where_it_is(page: Page) -> None:
    page.fill("[data-filter]", "acuracy > 0.9")
    page.click("button:has-text('Filter')")
    expect(page.locator("#filter-problem")).to_contain_text("no run has acuracy")
    expect(page.locator("#filter-problem")).to_contain_text("there is metrics.accuracy")
    expect(page.locator("[data-filter]")).to_have_value("acuracy > 0.9")
    assert page.locator("[data-filter]").get_attribute("aria-invalid") == "true"


def test_a_click_on_a_head_sorts(page: Page) -> None:
    def values() -> list[float]:
        return [float(text) for text in cells(page, column(page, "seed"))]

    head = page.locator("table.runs thead th").filter(has_text="seed")
    head.locator("a").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert values() == sorted(values(), reverse=True)
    head.locator("a").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert values() == sorted(values())
    assert (query(page)["sort"], query(page)["asc"]) == (["seed"], ["1"])
    page.reload()
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_columns_are_chosen_and_stand_in_the_address_and_in_the_csv(site: Site, page: Page) -> None:
    page.click("summary:has-text('Columns')")
    page.fill("[data-names]", "params.l")
    expect(page.locator(".names label:visible")).to_have_count(2)  # lr and layers
    page.check("input[value='params.layers']")
    page.click("text=Show these")
    assert "params.layers" in query(page)["col"]
    expect(page.locator("table.runs thead")).to_contain_text("layers")
    with page.expect_download() as download:
        page.click("a:has-text('CSV')")
    lines = Path(download.value.path()).read_text().splitlines()
    assert (len(lines), lines[0].split(",")[:2]) == (132, ["spec", "attempt"])
    assert "params.layers" in lines[0].split(",")


def test_runs_are_chosen_over_pages_and_compared(site: Site, page: Page) -> None:
    page.locator("table.runs tbody input").nth(1).check()
    page.locator("table.runs tbody tr").nth(2).focus()
    page.keyboard.press("x")
    expect(page.locator("#tray")).to_contain_text("2 chosen")
    page.click("text=Next")
    expect(page.locator(".pager")).to_contain_text("51–100 of 131")
    page.wait_for_load_state("load")  # before that nothing listens to keys
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#tray")).to_contain_text("3 chosen")
    assert len(query(page)["run"]) == 3
    page.fill("[data-filter]", "seed < 4")
    page.click("button:has-text('Filter')")
    expect(page.locator("#tray")).to_contain_text("3 chosen")
    page.keyboard.press("Tab")
    page.keyboard.press("c")
    page.wait_for_url(re.compile(r"/compare\?"))
    assert len(query(page)["run"]) == 3


def test_the_keyboard_is_enough(site: Site, page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    for key in "jjk":
        page.keyboard.press(key)
    expect(page.locator("table.runs tbody tr").nth(0)).to_be_focused()
    page.keyboard.press("j")
    wanted = page.locator("table.runs tbody tr").nth(1).get_attribute("data-href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.origin}{wanted}")
    page.goto(site.origin)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_run_that_is_published_meanwhile_is_there_after_a_reload(make_machine: MakeMachine, browser: Browser) -> None:
    machine = make_machine("file")
    publish(machine.store, RUNS[0])
    with served(machine) as address, visit(browser, address) as page:
        expect(page.locator("table.runs tbody tr")).to_have_count(1)
        for number, run in enumerate(RUNS[1:6], 1):
            publish(machine.store, run, number)
            page.reload()
            expect(page.locator("table.runs tbody tr")).to_have_count(number + 1)
        link = page.locator(f"tr[data-href$='{RUNS[5].attempt}'] th a")
        link.click()
        expect(page.locator("h1")).to_have_text(RUNS[5].hints.name)


# A run -------------------------------------------------------------------------------------------------------------


def test_a_run_is_looked_at_and_taken_along(site: Site, page: Page) -> None:
    run = site.rich
    page.goto(site.url_of(run))
    page.click(".command button >> nth=0")
    expect(page.locator(".command button >> nth=0")).to_have_text("Copied")
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == f"executor rerun {run.spec_hash.hex} --store {site.machine.url}"
    )
    expect(page.locator("figure.curve")).to_have_count(2)
    assert len(page.locator("figure.curve path").nth(0).get_attribute("d") or "") > 200
    expect(page.locator("svg.graph a.output")).to_have_count(4)
    for file in run.outputs:
        with page.expect_download() as download:
            page.click(f"a[href$='/outputs/{file.digest.hex}'] >> nth=0")
        data = Path(download.value.path()).read_bytes()
        assert data == site.machine.store.read_blob(file.digest, 1 << 20)
    page.click("svg.graph a.output >> nth=0")
    expect(page.locator("h1")).to_have_text("Who left these bytes")
    page.click("tbody a")
    page.wait_for_url(site.url_of(run))


def test_a_long_log_is_read_by_the_page(site: Site, page: Page) -> None:
    page.goto(site.url_of(site.rich))
    page.click("text=All of it")
    expect(page.locator("pre.log")).to_contain_text("8999%")
    page.click("nav[aria-label='Pages of the log'] >> nth=0 >> text=First")
    lines = page.locator("pre.log").inner_text().splitlines()
    assert lines[:2] == ["0%", "1%"]
    page.click("nav[aria-label='Pages of the log'] >> nth=0 >> text=Next")
    expect(page.locator("pre.log")).to_contain_text(f"\n{len(lines) + 1}%\n")


def test_the_best_are_listed(site: Site, page: Page) -> None:
    page.click("nav >> text=Best")
    page.fill("input[name=metric]", "accuracy")
    page.fill("input[name=where]", "seed < 4")
    page.keyboard.press("Enter")
    expect(page.locator("p[role=status]")).to_contain_text("successful runs")
    values = [float(text) for text in page.locator("tbody td:nth-child(2)").all_inner_texts()]
    top = [run.metrics["accuracy"] for run in RUNS if run.status == "succeeded" and run.spec["seed"] < 4]
    assert values[0] == pytest.approx(max(top), rel=1e-5)
    assert values == sorted(values, reverse=True)
    page.select_option("select[name=lowest]", "1")
    page.click("button:has-text('Show')")
    expect(page.locator("tbody td:nth-child(2) >> nth=0")).to_have_text(f"{min(top):.6g}")


# A live run --------------------------------------------------------------------------------------------------------

WAITS = r"""
echo begins
printf 'a <b>bold</b> \033[31mred\n'
step=0
until [ -e /outputs/stop ]; do
  echo "{\"step\": $step, \"loss\": 0.$step}" >>/outputs/metrics.jsonl
  echo "step $step"; step=$((step + 1)); sleep 0.2
done
echo ends
"""


@pytest.mark.engine
def test_a_run_is_followed_to_its_end(make_machine: MakeMachine, small_image: str, browser: Browser) -> None:
    machine = make_machine("file")
    spec, spec_hash = locked(machine, WAITS)
    with machine.start("submit", spec, "--quiet") as run, served(machine) as address, visit(browser, address) as page:
        folder = wait_until(lambda: next(machine.home.glob("attempts/*/work/outputs"), None), "the attempt's folder")
        wait_until(lambda: (folder / "metrics.jsonl").exists(), "the first number")
        page.goto(f"{address.partition('/?')[0]}/live")
        page.click("tbody a")
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#lines")).to_contain_text("a <b>bold</b> red")
        expect(page.locator("#curves figure")).to_contain_text("loss")
        expect(page.locator("#gpu")).to_contain_text(re.compile("There is none|busy"))
        before = page.locator("#curves path").get_attribute("d") or ""
        expect(page.locator("#curves path")).not_to_have_attribute("d", before)  # it grows
        (folder / "stop").touch()
        page.click("#end a")
        page.wait_for_url(re.compile(f"/runs/{spec_hash}/"))
        expect(page.locator("main")).to_contain_text("succeeded")
        assert run.wait(60) == 0


# Whatever a run wrote ----------------------------------------------------------------------------------------------


def every_page(site: Site) -> list[str]:
    run = site.rich
    here, name = site.url_of(run).removeprefix(site.origin), f"{run.spec_hash.hex}/{run.attempt}"
    return ["/", "/?col=name&col=labels.team&col=submitter", here, f"{here}/log", f"/files/{run.outputs[0].digest.hex}",
            "/best", "/best?metric=loss", "/live", f"/compare?run={name}"]  # fmt: skip


def test_a_hostile_run_does_nothing(site: Site, page: Page) -> None:
    for path in every_page(site):
        page.goto(f"{site.origin}{path}")
        page.wait_for_load_state("networkidle")
        assert page.locator("main img, main iframe, main script").count() == 0
    page.goto(site.url_of(site.rich))
    expect(page.locator("h1")).to_contain_text("<img src=https://evil.example/x onerror=alert(1)>")
    html = next(file for file in site.rich.outputs if file.path == "report/index.html")
    with page.expect_download():  # even where it is asked for as a page
        page.evaluate(f"location.href = '{site.url_of(site.rich)}/outputs/{html.digest.hex}'")


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (390, "dark"), (1400, "dark")])
def test_no_page_scrolls_sideways(site: Site, browser: Browser, width: int, theme: str) -> None:
    size = {"width": width, "height": 844}
    with visit(browser, site.address, viewport=size, color_scheme=theme) as page:
        for path in every_page(site):
            page.goto(f"{site.origin}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_pages_can_be_used_without_seeing_them(site: Site, page: Page) -> None:
    for path in every_page(site)[:-1]:
        page.goto(f"{site.origin}{path}")
        assert page.get_attribute("html", "lang") == "en"
        assert page.locator("h1").count() == 1, path
        assert page.locator("table:not(:has(caption)), th:not([scope])").count() == 0, path
        unnamed = page.evaluate("""() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
            .filter((one) => !one.labels?.length && !one.ariaLabel).map((one) => one.outerHTML)""")
        assert unnamed == [], path
        assert page.locator(".scroll:not([tabindex])").count() == 0, path


def test_the_theme_follows_the_system_until_a_person_decides(site: Site, browser: Browser) -> None:
    def ground(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    with visit(browser, site.address, color_scheme="dark") as page:
        dark = ground(page)
        page.emulate_media(color_scheme="light")
        light = ground(page)
        assert dark != light
        page.click("#theme")
        page.click("#theme")
        assert ground(page) == dark
        page.reload()
        expect(page.locator("#theme")).to_have_text("Dark")
        assert ground(page) == dark
