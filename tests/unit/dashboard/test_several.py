"""Pages about several runs: compare, importance, reproducibility."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from executor.evidence.divergence import Divergence
from executor.evidence.record import Comparison, Hints, Record
from executor.spec.canonical import spec_hash
from tests.unit.dashboard.conftest import HOSTILE, World
from tests.unit.dashboard.test_pages import Page


def tried(world: World, params: dict[str, Any], accuracy: float = 0.5, **changes: Any) -> Record:
    spec = {"seed": 1, "params": params, "gpu": None, "code": None, "cpu": {"threads": 1, "isa": "avx2"}}
    return world.ran(**{"spec": spec, "spec_hash": spec_hash(spec), "experiment_key": spec_hash(spec),
                        "metrics": {"accuracy": accuracy}, **changes})  # fmt: skip


def word(made: Record, digits: int = 64) -> str:
    return f"{made.spec_hash.hex[:digits]}/{made.attempt}"


def url(*runs: Record, path: str = "/compare", **query: Any) -> str:
    return f"{path}?{urlencode([*(('run', word(one)) for one in runs), *query.items()])}"


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def data(text: str, name: str) -> Any:
    (found,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


# compare -----------------------------------------------------------------------------------------------------------


def test_two_runs_stand_side_by_side(world: World) -> None:
    one, other = tried(world, {"lr": 1, "batch": 32}), tried(world, {"lr": 2, "drop": 1, "batch": 32}, 0.75)
    text = world.page(url(one, other))
    page = Page(text)
    assert "2 runs compared" in page.text
    assert "+0.25, +50.0%" in page.text
    assert "missing" in page.text
    assert ">batch</th>" not in text
    assert re.search(r"\d+ fields are equal in all and hidden", page.text)
    assert ">batch</th>" in world.page(url(one, other, all=1))


def test_the_address_holds_the_whole_view(world: World) -> None:
    made = [tried(world, {"lr": lr}, lr) for lr in (1, 2, 3)]
    asked = {"baseline": word(made[1], 12), "metric": "accuracy", "x": "time", "smooth": "0.6", "log": "1"}
    text = world.page(url(*made, **asked))
    assert "-1, -50.0%" in text
    assert 'value="0.60"' in text
    assert data(text, "curves") == {"metric": "accuracy", "x": "wall time, seconds from the first value", "log": True,
                                    "base": 1, "final": [1.0, 2.0, 3.0]}  # fmt: skip
    again = next(link for link in Page(text).links if link.startswith("/compare?") and "all=1" in link)
    assert all(f"{name}=" in again for name in asked)
    assert again.count("run=") == 3


def test_what_makes_no_sense_in_an_address_is_as_if_it_were_not(world: World) -> None:
    made = [tried(world, {"lr": lr}) for lr in (1, 2)]
    strange = {"smooth": "nan", "x": "up", "metric": "nothing", "baseline": "ffffff/none", "log": "yes"}
    found = data(world.page(url(*made, **strange)), "curves")
    assert (found["metric"], found["x"], found["log"], found["base"]) == ("accuracy", "step", False, 0)
    assert world.page(url(*made, smooth="7"))
    assert world.page(url(*made, smooth="x"))


def test_a_few_digits_of_a_hash_are_enough_and_too_few_are_not(world: World) -> None:
    made = [tried(world, {"lr": lr}) for lr in (1, 2)]
    short = urlencode([("run", word(one, 12)) for one in made])
    assert "2 runs compared" in world.page(f"/compare?{short}")
    for wrong in (word(made[0], 5), f"{'0' * 12}/{made[0].attempt}", "nothing"):
        assert world.get(f"/compare?{urlencode({'run': wrong})}").status_code == 404


def test_runs_are_found_by_an_expression(world: World) -> None:
    for lr in range(4):
        tried(world, {"lr": lr})
    assert "3 runs compared" in world.page("/compare?find=params.lr+>+0")
    assert world.get("/compare?find=params.lr+=").status_code == 400


def test_fewer_than_two_runs_ask_for_more(world: World) -> None:
    assert "it takes two" not in world.page("/compare")
    assert "One run is chosen; it takes two" in world.page(url(tried(world, {"lr": 1})))


def test_more_than_two_hundred_runs_are_refused(world: World) -> None:
    many = urlencode([("run", f"{at:064x}/a") for at in range(201)])
    assert world.get(f"/compare?{many}").status_code == 400


def test_the_table_is_a_csv(world: World) -> None:
    answer = world.get(url(tried(world, {"lr": 1}), tried(world, {"lr": 2}), path="/compare.csv"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="compare.csv"' in answer.headers["content-disposition"]
    assert ["params", "lr", "1", "2", "1.0"] in table(answer.text)


def test_curves_are_data_and_a_csv(world: World) -> None:
    lines = "".join(json.dumps({"step": at, "accuracy": at / 10}) + "\n" for at in range(5))
    files = (world.file("metrics.jsonl", lines.encode()),)
    made = [tried(world, {"lr": lr}, outputs=files) for lr in (1, 2)]
    asked = {"metric": "accuracy"}
    found = world.get(url(*made, path="/compare/curves.json", **asked)).json()
    assert [one["run"] for one in found["curves"]] == [0, 1]
    assert found["curves"][0]["y"] == [0, 0.1, 0.2, 0.3, 0.4]
    smooth = world.get(url(*made, path="/compare/curves.json", smooth="0.9", **asked)).json()
    assert smooth["curves"][0]["y"][-1] < 0.3
    rows = table(world.get(url(*made, path="/compare/curves.csv", **asked)).text)
    assert rows[:2] == [["run", "step", "accuracy"], [word(made[0], 12), "0", "0.0"]]
    assert len(rows) == 11


def test_what_a_run_wrote_stays_text(world: World) -> None:
    made = [tried(world, {HOSTILE: lr, "x": HOSTILE * lr}, hints=Hints(name=HOSTILE, image="i"),
                  metrics={"</script><img>": 1.0}) for lr in (1, 2)]  # fmt: skip
    text = world.page(url(*made, all=1))
    Page(text)
    assert "<img" not in text
    assert "\x1b" not in re.sub(r"\\u001b", "", text)
    assert data(text, "curves")["metric"] == "</script><img>"


# importance --------------------------------------------------------------------------------------------------------


def test_importance_asks_for_a_metric_then_tells_it(world: World) -> None:
    pytest.importorskip("sklearn")
    for at in range(24):
        tried(world, {"lr": at, "depth": 3}, at / 24)
    assert "<option>accuracy" in world.page("/importance")
    text = world.page("/importance?metric=accuracy")
    assert [bar["name"] for bar in data(text, "importance")] == ["lr"]
    assert "params.depth" in text
    rows = table(world.get("/importance.csv?metric=accuracy").text)
    assert (rows[0][:5], rows[1][:2]) == (["parameter", "kind", "values", "missing", "total"], ["params.lr", "number"])


def test_too_few_runs_are_said_in_the_place_of_numbers(world: World) -> None:
    tried(world, {"lr": 1})
    tried(world, {"lr": 2}, 0.7)
    text = world.page("/importance?metric=accuracy")
    assert "No importance is told: too few runs: 2 of the 20 that 1 varying parameter takes" in text
    assert "/best?metric=accuracy&amp;per=config" in text
    assert '<th scope="col">lr</th>' in world.page("/best?metric=accuracy")
    assert data(text, "importance") == []
    assert world.get("/importance?metric=nothing").status_code == 400
    assert world.get("/importance?metric=accuracy&where=lr+=").status_code == 400


def test_the_means_of_a_few_runs_are_told_by_value(world: World) -> None:
    for at, (lr, opt) in enumerate((lr, opt) for lr in (1, 2) for opt in (HOSTILE, "sgd")):
        tried(world, {"lr": lr, "opt": opt}, at / 4)
    text = world.page("/importance?metric=accuracy")
    Page(text)
    assert "0.6 ± 1.6" in text
    rows = table(world.get("/importance/means.csv?metric=accuracy").text)
    assert rows[:3] == [["parameter", "value", "runs", "mean", "half width", "lowest", "highest"],
                        ["params.lr", "1", "2", "0.125", rows[1][4], "0.0", "0.25"],
                        ["params.lr", "2", "2", "0.625", rows[2][4], "0.5", "0.75"]]  # fmt: skip


# reproducibility ---------------------------------------------------------------------------------------------------


def test_nothing_repeated_says_what_to_do(world: World) -> None:
    tried(world, {"lr": 1})
    assert "executor rerun HASH" in world.page("/reproducibility")


def test_repetitions_stand_in_a_matrix_and_those_that_parted_below_it(world: World) -> None:
    files = (world.file("a.txt", b"1"),)
    first = tried(world, {"lr": 1}, outputs=files)
    parted = Divergence(step=12, kind="gradient", cause="threads", reason="threads was 2 and is 4", where="train.py:4")
    held = Comparison(reference=first.attempt, verdict="different", reason="", divergence=parted)
    again = tried(world, {"lr": 1}, outputs=files, comparison=held)
    text = world.page("/reproducibility")
    assert "1 repetition, by machine" in text
    assert "threads was 2 and is 4" in text
    assert f"/runs/{again.spec_hash.hex}/{again.attempt}" in Page(text).links
    links = [link for link in Page(text).links if link.startswith("/compare?")]
    assert "2 runs compared" in world.page(links[-1])
    assert table(world.get("/reproducibility.csv").text) == [
        ["reference ran on", "ran on", "identical", "close", "different"], ["CPU", "CPU", "0", "0", "1"],
    ]  # fmt: skip
    (_, row) = table(world.get("/reproducibility/pairs.csv").text)
    assert row[-4:] == ["12", "gradient", "threads", "threads was 2 and is 4"]
    assert world.get("/reproducibility?where=lr+=").status_code == 400


def test_two_specs_of_one_experiment_parted_and_nobody_has_looked(world: World) -> None:
    for number in ("1", "2"):
        tried(world, {"lr": number}, outputs=(world.file("a.txt", number.encode()),), experiment_key=spec_hash({}))
    assert "nobody has looked" in world.page("/reproducibility")
    (_, row) = table(world.get("/reproducibility/pairs.csv").text)
    assert row[-5:] == ["different", "", "", "", ""]
