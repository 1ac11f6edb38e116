"""What the pages say, and that what a run wrote stays text."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from executor.evidence.record import Hints
from executor.facts import Finding
from executor.spec.canonical import Digest
from tests.unit.dashboard.conftest import HOSTILE, World, digest_of, url_of


class Page(HTMLParser):
    """Links, tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.inputs, self.text = list[str](), list[str](), list[dict[str, str | None]](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.links += [found["href"] or ""] if tag == "a" else []
        self.inputs += [found] if tag == "input" else []
        assert not [name for name in found if name.startswith("on") or name == "style"], (tag, found)

    def handle_data(self, data: str) -> None:
        self.text += data

    def rows(self) -> list[str]:
        return [one["value"] or "" for one in self.inputs if one.get("type") == "checkbox" and one.get("name") == "run"]


def runs(world: World, url: str = "/") -> list[str]:
    return [row.partition("/")[2] for row in Page(world.page(url)).rows()]


def test_an_empty_store_says_what_to_do(world: World) -> None:
    assert "executor submit" in world.page("/")


def test_a_run_that_is_published_is_there_after_a_reload(world: World) -> None:
    world.ran()
    assert runs(world) == ["a1"]
    world.ran(seed=2)
    assert set(runs(world)) == {"a1", "a2"}


def test_runs_are_filtered_and_sorted_and_both_stand_in_the_address(world: World) -> None:
    for seed in (3, 1, 2):
        world.ran(seed=seed)
    assert runs(world, "/?q=loss+<+1.5&sort=metrics.loss&asc=1") == ["a2", "a3"]
    assert runs(world, "/?q=loss+<+1.5&sort=metrics.loss") == ["a3", "a2"]
    links = [link for link in Page(world.page("/?q=loss+<+1.5&sort=metrics.loss")).links if "sort=seed" in link]
    assert parse_qs(urlsplit(links[0]).query) == {"q": ["loss < 1.5"], "sort": ["seed"]}


@pytest.mark.parametrize(("query", "said"), [("los < 1", "no run has los"), ("loss = 1", "expected `==`"),
                                             ("status == 'fine'", "status is one of")])  # fmt: skip
def test_a_filter_that_cannot_be_read_is_told_in_place(world: World, query: str, said: str) -> None:
    world.ran()
    answer = world.get(f"/?q={query}")
    assert answer.status_code == 400
    assert said in Page(answer.text).text
    assert 'aria-invalid="true"' in answer.text
    assert Page(answer.text).rows()  # and the runs are still there


def test_pages_follow_each_other_without_a_gap(world: World) -> None:
    for seed in range(60):
        world.ran(seed=seed)
    first, second = runs(world), runs(world, "/?page=2")
    assert (len(first), len(second), len({*first, *second})) == (50, 10, 60)
    assert "51–60 of 60" in world.page("/?page=2")
    assert "no such page" in world.page("/?page=9")


def test_the_csv_has_all_pages_and_the_same_columns(world: World) -> None:
    for seed in range(60):
        world.ran(seed=seed)
    answer = world.get("/runs.csv?q=seed+<+55&col=seed&col=loss&page=2")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["spec", "attempt", "seed", "metrics.loss"]
    assert (len(rows) - 1, answer.headers["x-total-count"]) == (55, "55")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_chosen_runs_stay_chosen_on_the_other_pages(world: World) -> None:
    made = world.ran()
    name = f"{made.spec_hash.hex}/a1"
    page = Page(world.page(f"/?run={name}&q=seed+==+2"))
    assert [one["value"] for one in page.inputs if one.get("name") == "run"].count(
        name
    ) >= 2  # of the filter, of compare


def test_addresses_that_make_no_sense_are_no_errors(world: World) -> None:
    world.ran()
    for query in ("page=0", "page=-1", "page=x", "page=" + "9" * 40, "size=7", "asc=2", "run=nothing"):
        assert world.get(f"/?{query}").status_code == 200
    for query in ("sort=nothing", "col=nothing"):
        assert world.get(f"/?{query}").status_code == 400


def test_what_a_run_wrote_is_text_on_every_page(world: World) -> None:
    finding = Finding(field=HOSTILE, expected=HOSTILE, observed=HOSTILE, severity="warn", advice=HOSTILE)
    made = world.ran((f"{HOSTILE}.html", HOSTILE), name=HOSTILE, metrics={HOSTILE: 1.0, "loss": 1.0},
                     hints=Hints(name=HOSTILE, image=HOSTILE, labels={HOSTILE: HOSTILE}, submitter=HOSTILE),
                     findings=(finding,), refused_outputs={HOSTILE: HOSTILE})  # fmt: skip
    digest = made.outputs[0].digest.hex
    pages = ("/", "/?col=name", url_of(made), f"{url_of(made)}/log", f"/files/{digest}", "/best?metric=loss", "/best",
             f"/?q={quote(HOSTILE)}", "/best?metric=<img+src=x>", f"/runs/{quote(HOSTILE)}", "/live")  # fmt: skip
    for url in pages:
        text = world.get(url).text
        assert not {"img", "iframe"} & set(Page(text).tags), url
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text), url
    assert "<img src=x" in Page(world.page(url_of(made))).text  # shown as it was written


def test_a_run_shows_what_it_was_and_how_to_have_it_again(world: World) -> None:
    made = world.ran(("metrics.jsonl", '{"step": 0, "loss": 2.0}\n{"step": 1, "loss": 0.5}\n'), ("notes.txt", "hello"))
    other = world.ran(("notes.txt", "hello"), seed=2)
    world.again("different")
    text = world.page(url_of(made))
    page = Page(text)
    assert f"executor rerun {made.spec_hash.hex} --store memory:" in page.text
    assert 'aria-label="loss from step 0 to 1, between 0.5 and 2"' in text
    assert {f"/files/{digest_of(made, 'notes.txt').hex}", f"{url_of(made)}/log"} <= set(page.links)
    assert "unsigned" in page.text
    assert "<dt>lr</dt><dd>0.1</dd>" in text
    assert f"/?q=commit+%3D%3D+%27{'c' * 40}%27" in page.links
    assert "a3" in page.text  # the other attempt of this spec
    assert url_of(other) in Page(world.page(f"/files/{digest_of(made, 'notes.txt').hex}")).links


def test_a_rerun_that_differs_says_so(world: World) -> None:
    world.ran()
    page = Page(world.page(url_of(world.again("different"))))
    assert "It says so." in page.text
    assert any(link.startswith("/compare?run=") and link.count("run=") == 2 for link in page.links)


def test_a_spec_leads_to_the_attempt_that_counts(world: World) -> None:
    made = world.ran()
    world.again("identical")
    world.store.put_reference(made.spec_hash, "a1")
    for word in (made.spec_hash.hex, made.spec_hash.hex[:8]):
        assert world.get(f"/runs/{word}").headers["location"] == url_of(made)
    for word in ("abcdef", "ab", "z" * 64, "a" * 65):
        assert world.get(f"/runs/{word}").status_code == 404


def test_what_is_not_there_is_told(world: World) -> None:
    made = world.ran()
    for url in (f"/runs/{made.spec_hash.hex}/a9", f"/runs/{'e' * 64}/a1", f"/files/{'e' * 64}", "/nothing"):
        answer = world.get(url)
        assert (answer.status_code, "This cannot be shown" in answer.text) == (404, True)
    assert world.get(f"/runs/{made.spec_hash.hex}/-").status_code == 400


def test_a_store_that_is_away_is_told(world: World) -> None:
    world.store.down = True
    answer = world.get("/")
    assert (answer.status_code, "nothing answers" in answer.text) == (503, True)


def test_the_log_is_shown_without_what_it_would_do_to_a_terminal(world: World) -> None:
    text = Page(world.page(f"{url_of(world.ran())}/log")).text
    assert "one\nred <script>alert(1)</script>\ndone" in text


def test_the_best_come_first_and_a_metric_that_is_none_is_told(world: World) -> None:
    for seed in (2, 3, 1):
        world.ran(seed=seed)
    assert [link[-2:] for link in Page(world.page("/best?metric=loss")).links if link.startswith("/runs/")] == [
        "a2",
        "a1",
        "a3",
    ]
    lowest = Page(world.page("/best?metric=loss&lowest=1&where=seed+>+1"))
    assert [link[-2:] for link in lowest.links if link.startswith("/runs/")] == ["a1", "a2"]
    for query in ("metric=los", "metric=loss&where=x+y", "metric=status"):
        assert world.get(f"/best?{query}").status_code == 400
    assert "/best?metric=metrics.loss" in Page(world.page("/best")).links


def test_an_output_is_a_file_to_keep_and_nothing_else(world: World) -> None:
    made = world.ran(("../r\u202eport <1>.html", "<script>alert(1)</script>"))
    answer = world.get(f"{url_of(made)}/outputs/{made.outputs[0].digest.hex}")
    assert (answer.status_code, answer.text) == (200, "<script>alert(1)</script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''rport%20%3C1%3E.html"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_what_its_record_names_can_be_had(world: World) -> None:
    made = world.ran(("a.txt", "a"))
    others = world.store.put_bytes(b"nobody's")
    for word in (others.hex, "..%2f..%2fetc%2fpasswd", "e" * 64, f"sha256:{made.outputs[0].digest.hex}"):
        assert world.get(f"{url_of(made)}/outputs/{word}").status_code == 404
    assert made.log
    assert world.get(f"{url_of(made)}/outputs/{made.log.digest.hex}").status_code == 200


def test_wrong_bytes_never_arrive_whole(world: World) -> None:
    made = world.ran(("a.txt", "right"))
    digest = made.outputs[0].digest
    world.store.contents[f"v1/blobs/sha256/{digest.hex[:2]}/{digest.hex}"] = b"wrong"
    with pytest.raises(RuntimeError, match="response already started"):  # the answer breaks off
        world.get(f"{url_of(made)}/outputs/{digest.hex}")


def test_a_damaged_record_is_told_where_runs_are_listed(world: World) -> None:
    made = world.ran()
    world.ran(seed=2)
    key = f"v1/runs/{made.spec_hash.hex}/attempts/a1/record.json"
    world.store.contents[key] = world.store.contents[key].replace(b"succeeded", b"succeedeD")
    assert "A record cannot be read" in world.page("/")
    assert world.get(url_of(made)).status_code == 500


def test_nothing_is_written_to_the_store(world: World) -> None:
    made = world.ran(("a.txt", "a"))
    before = dict(world.store.contents)
    for url in ("/", url_of(made), f"{url_of(made)}/log", "/best?metric=loss", "/live", "/runs.csv"):
        world.get(url)
    assert world.store.contents == before
    assert Digest.of(b"a").hex in world.page(url_of(made))
