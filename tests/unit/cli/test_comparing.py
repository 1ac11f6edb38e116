from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.cli import wiring
from executor.evidence.record import Hints, Record
from executor.spec.canonical import canonical_bytes, spec_hash
from executor.steps.home import Home
from tests.fakes import NOON
from tests.unit.cli.conftest import Run
from tests.unit.steps.finding.test_leaderboard import Team


class Shop(Team):
    """Runs that can be named by their hashes."""

    def tried(self, params: dict[str, Any], accuracy: float = 0.5, **changes: Any) -> Record:
        spec = {"seed": 1, "params": params, "gpu": None}
        changes = {"attempt": f"20260101T120000Z-{self.numbers:08x}", **changes}
        made = self.ran(accuracy, **{"spec": spec, "spec_hash": spec_hash(spec), **changes})
        self.store.put_spec(made.spec_hash, canonical_bytes(spec))
        return made


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    monkeypatch.setattr(wiring, "store", lambda url: made.store)
    monkeypatch.setattr(wiring, "home", lambda: Home(tmp_path))
    monkeypatch.setattr(wiring, "now", lambda: NOON)
    return made


def words(*records: Record) -> list[str]:
    return [record.spec_hash.hex for record in records]


def lines(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_two_runs_stand_side_by_side_with_deltas(run: Run, shop: Shop) -> None:
    one, other = shop.tried({"lr": 0.1, "batch": 32}, 0.5), shop.tried({"lr": 0.2, "drop": 1, "batch": 32}, 0.6)
    ran = run("compare", *words(one, other))
    told = lines(ran.out)
    assert told[0] == ["A", "x", f"{one.spec_hash.hex[:12]}/{one.attempt}", "succeeded", "baseline"]
    assert ["PARAMETERS", "A", "B"] in told
    assert ["lr", "0.1", "0.2", "(+0.1,", "+100.0%)"] in told
    assert ["drop", "missing", "1"] in told
    assert ["accuracy", "0.5", "0.6", "(+0.1,", "+20.0%)"] in told
    assert not [line for line in told if line[:1] == ["batch"]]
    assert told[-1][1:3] == ["fields", "equal"]
    assert (ran.code, ran.err) == (0, "")


def test_everything_can_be_told_and_the_baseline_chosen(run: Run, shop: Shop) -> None:
    one, other = shop.tried({"lr": 1, "batch": 32}), shop.tried({"lr": 2, "batch": 32})
    ran = run("compare", *words(one, other), "--all", "--baseline", other.spec_hash.hex)
    assert ["batch", "32", "32"] in lines(ran.out)
    assert ["lr", "1", "(-1,", "-50.0%)", "2"] in lines(ran.out)
    assert "hidden" not in ran.out


def test_a_baseline_that_is_not_among_them_joins_them(run: Run, shop: Shop) -> None:
    made = [shop.tried({"lr": lr}) for lr in (1, 2, 3)]
    found = run("compare", *words(*made[:2]), "--baseline", f"{words(made[2])[0]}/{made[2].attempt}", "--json").json
    assert ([one["attempt"] for one in found["runs"]], found["baseline"]) == ([one.attempt for one in made], 2)


def test_many_runs_have_a_line_for_each_field(run: Run, shop: Shop) -> None:
    for lr in range(8):
        shop.tried({"lr": lr} | ({"drop": "a"} if lr < 2 else {}))
    told = lines(run("compare", "--find", "status == 'succeeded'").out)
    assert ["PARAMETERS", "VALUES", "RANGE", "MISSING"] in told
    assert ["lr", "8", "0", "…", "7"] in told
    assert ["drop", "1", "a", "6"] in told


def test_json_and_csv_have_the_same_rows(run: Run, shop: Shop) -> None:
    made = words(shop.tried({"lr": 1}), shop.tried({"lr": 2}))
    found = run("compare", *made, "--json").json
    rows = list(csv.reader(io.StringIO(run("compare", *made, "--csv").out)))
    assert [(row["group"], row["name"]) for row in found["rows"]] == [(row[0], row[1]) for row in rows[1:]]
    assert (rows[0][:2], found["code"]) == (["group", "field"], [])


def test_one_run_and_an_unknown_one_are_refused(run: Run, shop: Shop) -> None:
    one = shop.tried({"lr": 1})
    ran = run("compare", *words(one, one))
    assert (ran.code, "1 of 2 to 200 runs" in ran.err) == (2, True)
    assert run("compare", *words(one), "0123456789").code == 2
    assert run("compare", "--find", "lr =").code == 2


def test_a_page_is_written_that_needs_nothing_else(run: Run, shop: Shop, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    made = words(shop.tried({"lr": 1}), shop.tried({"lr": 2}))
    page = tmp_path / "page.html"
    ran = run("compare", *made, "--html", page)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"{page}: 2 runs, ")
    assert "content-security-policy" in page.read_text()
    assert run("compare", *made, "--html", tmp_path / "nowhere" / "page.html").code == 2


def test_without_the_dashboard_the_line_that_installs_it_is_told(
    run: Run, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    made = words(shop.tried({"lr": 1}), shop.tried({"lr": 2}))
    monkeypatch.delitem(sys.modules, "executor.dashboard.still", raising=False)
    monkeypatch.delitem(sys.modules, "executor.dashboard.templating", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ran = run("compare", *made, "--html", tmp_path / "page.html")
    assert (ran.code, "--html needs jinja2" in ran.err) == (2, True)
    assert '→ pip install "repro-executor[dashboard]"' in ran.err


def test_what_others_wrote_is_no_terminal_escape(run: Run, shop: Shop) -> None:
    made = [shop.tried({"lr": f"\x1b[31m{lr}"}, hints=Hints(name="x\x1b[2J", image="i")) for lr in (1, 2)]
    assert "\x1b" not in run("compare", *words(*made)).out


# importance --------------------------------------------------------------------------------------------------------


def test_importance_is_a_table(run: Run, shop: Shop) -> None:
    pytest.importorskip("sklearn")
    for at in range(40):
        shop.tried({"lr": at, "opt": "ab"[at % 2], "depth": 3}, at / 40)
    ran = run("importance", "accuracy")
    told = lines(ran.out)
    assert told[0][:4] == ["metrics.accuracy", "over", "40", "runs,"]
    assert told[1] == ["PARAMETER", "TOTAL", "ALONE", "IMPURITY"]
    assert told[2][0] == "params.lr"
    assert ["the", "same", "in", "all", "runs:", "params.depth"] in told
    found = run("importance", "accuracy", "--where", "lr >= 10", "--json").json
    assert (found["runs"], found["problem"], found["parameters"][0]["name"]) == (30, "", "params.lr")
    assert found["r2"] > 0.9


def test_too_few_runs_are_said_in_the_place_of_numbers(run: Run, shop: Shop) -> None:
    for at in range(3):
        shop.tried({"lr": at}, at / 40)
    shop.tried({"lr": 9}, status="failed")
    ran = run("importance", "accuracy")
    assert ran.code == 0
    assert "too few runs: 3 of the 20 that 1 varying parameter takes" in ran.out
    assert "left out: 1 did not succeed" in ran.out
    assert "`executor best metrics.accuracy --per config`" in ran.out
    assert "TOTAL" not in ran.out


def test_of_a_small_grid_the_means_are_told(run: Run, shop: Shop) -> None:
    for at, (lr, opt) in enumerate((lr, opt) for lr in (0.1, 0.01, 0.001) for opt in ("adam", "sgd")):
        shop.tried({"lr": lr, "opt": opt, "at": f"unlike {at}"}, {0.1: 0.5, 0.01: 0.9, 0.001: 0.7}[lr])
    ran = run("importance", "accuracy")
    assert "too few runs: 6 of the 30" in ran.out
    told = lines(ran.out)
    start = told.index(["PARAMETER", "VALUE", "RUNS", "MEAN"])
    assert told[start + 1 : start + 6] == [
        ["params.lr", "0.001", "2", "0.7", "±", "0"], ["params.lr", "0.01", "2", "0.9", "±", "0"],
        ["params.lr", "0.1", "2", "0.5", "±", "0"], ["params.opt", "sgd", "3", "0.70", "±", "0.50"],
        ["params.opt", "adam", "3", "0.70", "±", "0.50"],
    ]  # fmt: skip
    assert "params.at" not in [words[0] for words in told[start:] if words], "each value is that of one run"


def test_a_metric_that_is_not_there_and_a_wrong_expression_are_usage(run: Run, shop: Shop) -> None:
    shop.tried({"lr": 1}, 0.5)
    assert run("importance", "nothing").code == run("importance", "accuracy", "--where", "lr =").code == 2
