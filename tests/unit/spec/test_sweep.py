from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import SpecError
from executor.spec.model import Spec
from executor.spec.ranges import Listed, Range
from executor.spec.sweep import Objective, Sweep, load_sweep, parse_sweep
from tests.unit.spec.bad import BASE

WHOLE = """version: 1
spec: digits.yaml
grid:
  params.lr: [0.1, 0.01]
  params.batch: {from: 16, to: 64, step: 16}
zip:
  params.width: [64, 128]
  params.depth: [4, 2]
points:
  - {params.lr: 0.3, params.batch: 128}
exclude:
  - {params.lr: 0.1, params.batch: 64}
seeds: 5
objective: {metric: accuracy, direction: maximize}
"""
SEARCH = """version: 1
spec: digits.yaml
objective: {metric: accuracy, direction: maximize}
sampler:
  seed: 7
  trials: 20
  space: {params.lr: {from: 0.001, to: 0.1, scale: log}, params.opt: [adam, sgd]}
"""


def read(text: str) -> Sweep:
    return parse_sweep(text.encode(), "s.yaml").asked


def said(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_sweep(text.encode(), "")
    return [f"{one.line}:{one.column}: {one.field}: {one.message}" for one in caught.value.issues]


def test_a_sweep_is_read_whole() -> None:
    found = read(WHOLE)
    assert found.spec == "digits.yaml"
    assert (found.grid["params.lr"], found.grid["params.batch"].count) == (Listed((0.1, 0.01)), 4)
    assert found.names == ("params.lr", "params.batch", "params.width", "params.depth")
    assert (found.seeds, found.objective) == (5, Objective(metric="accuracy", direction="maximize"))


def test_a_search_is_read_whole() -> None:
    sampler = read(SEARCH).sampler
    assert sampler is not None
    assert sampler.space["params.lr"] == Range(0.001, 0.1, log=True)
    assert (sampler.kind, sampler.batch, sampler.most, read(SEARCH).names) == (
        "tpe",
        1,
        20,
        ("params.lr", "params.opt"),
    )


def test_a_grid_of_a_sampler_ends_with_its_last_combination() -> None:
    text = SEARCH.replace("{from: 0.001, to: 0.1, scale: log}", "[1, 2, 3]").replace("seed: 7", "seed: 7\n  kind: grid")
    sampler = read(text).sampler
    assert sampler is not None
    assert sampler.most == 6


def test_a_spec_can_be_written_out() -> None:
    inline = "".join(f"  {line}\n" for line in BASE.splitlines())
    found = read(f"version: 1\nspec:\n{inline}seeds: 2\n").spec
    assert isinstance(found, Spec)
    assert found.hash == Spec.model_validate(found.model_dump()).hash


def test_seeds_are_a_number_a_list_or_a_range() -> None:
    assert read("version: 1\nspec: a\nseeds: [3, 4]").seeds == (3, 4)
    assert read("version: 1\nspec: a\nseeds: {from: 1, to: 9, step: 4}").seeds == (1, 5, 9)


def test_a_file_says_where_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: cannot be read: no such file"):
        load_sweep(tmp_path / "none.yaml")


def test_every_problem_has_its_line_and_column() -> None:
    found = said("""version: 2
spec: [a]
grid:
  lr: [0.1]
  params.b: {from: 16, too: 64}
  params.e: [.inf]
points:
  - {params.lr: 0.3, seed: 1}
  - {}
exclude: 4
seeds: [a, -1]
objective: {metric: acc, direction: up}
parms: 3
sampler: {space: {params.x: {from: 1, to: 1}}, trials: 0}
""")
    assert found == [
        "1:1: version: expected 1, the version that this executor reads, found 2",
        "2:1: spec: expected the path of a spec, or a spec written out, found a list",
        "4:3: grid.lr: expected the name of a parameter: did you mean `params.lr`?",
        "5:3: grid.params.b: `to` is missing: expected a list of values or a range such as "
        "{from: 0.1, to: 0.5, step: 0.1}",
        "5:24: grid.params.b.too: unknown field; a range has `from`, `to`, `step`, `num`, `scale`",
        "6:14: grid.params.e[0]: expected a finite number, found .inf; write it as quoted text",
        "8:22: points[0].seed: seeds are given in `seeds`, beside the parameters",
        "9:5: points[1]: expected a mapping, found an empty mapping",
        "10:1: exclude: expected a list such as [{params.lr: 0.1}], found 4",
        "11:9: seeds[0]: expected a whole number from 0 to 2**64-1, found 'a'",
        "11:12: seeds[1]: expected a whole number from 0 to 2**64-1, found -1",
        "12:26: objective.direction: expected `maximize` or `minimize`, found 'up'",
        "13:1: parms: unknown field; a sweep has `version`, `spec`, `grid`, `zip`, `points`, `exclude`, `seeds`, "
        "`objective`, `sampler`",
        "14:1: sampler.seed: missing: seed of the sampler: the same seed and the same results give the same points",
        "14:39: sampler.space.params.x.to: expected more than 1, found 1",
        "14:48: sampler.trials: expected a whole number from 1 to 100000, found 0",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: : nothing varies: expected `grid`, `zip`, `points`, `seeds` or `sampler`"),
        ("seeds: 0", "3:1: seeds: expected how many seeds, or a list of them, found 0"),
        ("seeds: 1000000000000", "3:1: seeds: expected at most 100000 seeds, found 1000000000000"),
        ("seeds: x", "3:1: seeds: expected how many seeds, a list of them or a range, found 'x'"),
        ("seeds: {from: 0, to: 18446744073709551615, step: 1}",
         "3:1: seeds: expected at most 100000 seeds, found 18446744073709551616"),
        ("grid: {params.a: [1]}\nzip: {params.a: [2]}",
         "4:7: zip.params.a: given in `grid` already; leave one of them out"),
        ("zip: {params.a: [1, 2], params.b: [1]}",
         "3:25: zip.params.b: moves together with params.a, which has 2 values, but has 1"),
        ("grid: {params.a: [1], params.a.b: [1]}",
         "3:23: grid.params.a.b: lies inside params.a, which varies as a whole"),
        ("grid: {params.a: *x}", "3:18: grid.params.a: aliases are not read: write the value out instead of *x"),
        ("grid: {params.: [1]}", "3:8: grid.params.: expected the name of a parameter such as `params.lr`"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, space: {params.a: [1]}}",
         "4:1: sampler: a sampler needs to know what is better: add `objective: {metric, direction}`"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, space: {params.a: [1, 1]}}",
         "4:39: sampler.space.params.a: a value is given twice"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, kind: grid, space: {params.a: {from: 1, to: 2}}}",
         "4:51: sampler.space.params.a: a grid needs a list, or a range with `step` or `num`"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, space: {params.a: {from: 1, to: 9007199254740993}}}",
         "4:39: sampler.space.params.a: a sampler has whole numbers of at most 9007199254740992"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, space: {params.a: {from: -1.0e308, to: 1.0e308}}}",
         "4:39: sampler.space.params.a: the range is too wide to be computed with"),
        ("seeds: 1\nsampler: {seed: 1, trials: 1, space: {params.a: {from: 1, to: 900000, step: 1}}}",
         "4:39: sampler.space.params.a: expected at most 100000 values, found 900000"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_said(text: str, expected: str) -> None:
    assert said(f"version: 1\nspec: a\n{text}") == [expected]


def test_a_sampler_takes_the_place_of_a_grid() -> None:
    found = said(f"{SEARCH}grid: {{params.lr: [1]}}\npoints: [{{params.lr: 1}}]\n")
    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == ["grid", "points"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_is_in_a_file_it_is_read_or_refused_with_words(text: bytes) -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep(text, "s.yaml")
    assert all(issue.message for issue in caught.value.issues)


@given(st.data())
def test_a_sweep_with_any_line_changed_is_read_or_refused_with_words(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from([WHOLE, SEARCH])).splitlines()
    odd = ["1", "[]", "{}", "[1, {params.a: 1}]", "null", "x", "{from: 1, to: 3}", "{params.a: [1]}", "[[1]]", "*a"]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = f"{lines[at].partition(':')[0]}: {data.draw(st.sampled_from(odd))}"
    issues = []
    try:
        parse_sweep("\n".join(lines).encode(), "s.yaml")
    except SpecError as error:
        issues = [issue for issue in error.issues if not (issue.message and issue.line)]
    assert issues == []


def test_the_examples_of_the_manual_are_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert [bool(read(block).sampler) for block in blocks] == [False, True]
