from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from executor.cli.sweeps import interval, submit_sweep, sweep_options
from executor.errors import SpecError, UsageError
from executor.evidence.interval import estimate
from executor.run import Options
from executor.spec.file import spec_text
from tests.unit.sites import Program, World, a_spec

BASE = a_spec(params={"lr": 0.1, "note": "x"}, seed=7)


@pytest.fixture
def folder(tmp_path: Path, world: World) -> Path:
    world.program = Program(outputs={"metrics.jsonl": b'{"acc": 0.5}\n{"acc": 0.75, "loss": NaN}\n'})
    (tmp_path / "base.yaml").write_text(spec_text(BASE))
    return tmp_path


def swept(folder: Path, world: World, text: str, *, most: int | None = None, stop: bool = False,
          as_json: bool = False) -> int:  # fmt: skip
    path = folder / "sweep.yaml"
    path.write_text(f"version: 1\nspec: base.yaml\n{text}")
    return submit_sweep(path, world.site, Options(), locking=False, most=most, stop_on_failure=stop, as_json=as_json)


def test_a_sweep_for_people(folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    text = "grid: {params.lr: [1, 2]}\nseeds: 2\nobjective: {metric: acc, direction: maximize}\n"
    assert swept(folder, world, text) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"sweep {folder}/sweep.yaml: 4 runs: 4 done, 0 cached, 0 failed"
    assert [line.split() for line in lines[1:4]] == [
        ["lr", "acc", "loss", "runs"],
        ["1", *["0.75", "±", "0", "(n=2)"], "nan", "(n=2)", "2"],
        ["2", *["0.75", "±", "0", "(n=2)"], "nan", "(n=2)", "2"],
    ]
    assert lines[4].startswith("best acc 0.75 ± 0 (n=2): lr=1  (")
    assert "sweep 1 of 4: lr=1 seed=7 · 0 done, 0 cached, 0 failed\n" in err


def test_a_sweep_is_one_document(folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    text = "grid: {params.lr: [1, 2]}\nobjective: {metric: acc, direction: minimize}\n"
    assert swept(folder, world, text, as_json=True) == 0
    assert swept(folder, world, text, as_json=True) == 0
    first, second = (json.loads(part + "\n}") for part in capsys.readouterr().out.split("\n}\n")[:2])
    assert (first["total"], first["done"], first["cached"]) == (2, 2, 0)
    assert (second["total"], second["done"], second["cached"]) == (2, 0, 2)
    assert first["best"]["values"] == {"params.lr": 1}
    assert first["rows"][0]["metrics"]["acc"] == {
        "n": 1, "mean": 0.75, "half_width": None, "lowest": 0.75, "highest": 0.75,
    }  # fmt: skip
    assert first["runs"][0]["metrics"] == {"acc": 0.75, "loss": "NaN"}
    assert [run["spec_hash"] for run in first["runs"]] == [run["spec_hash"] for run in second["runs"]]


def test_the_code_is_that_of_the_first_run_without_a_result(
    folder: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.program = Program(code=3)
    assert swept(folder, world, "grid: {params.lr: [1, 2]}\n") == 1
    out = capsys.readouterr().out
    assert "2 runs: 0 done, 0 cached, 2 failed" in out
    assert "lr=1 seed=7: exit status 3" in out
    assert "2 of 2" not in out
    assert swept(folder, world, "grid: {params.lr: [1, 2, 3]}\n", stop=True) == 1
    assert ", 2 not begun" in capsys.readouterr().out


def test_a_wish_to_stop_is_code_130(folder: Path, world: World) -> None:
    world.site.stop.event.set()
    assert swept(folder, world, "grid: {params.lr: [1, 2]}\n") == 130


def test_many_points_are_cut_for_people(folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    swept(folder, world, "grid: {params.lr: {from: 1, to: 23, step: 1}}\n")
    assert "… and 3 more points; --json has all" in capsys.readouterr().out


def test_a_metric_that_no_run_has_is_said(folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    swept(folder, world, "seeds: 1\nobjective: {metric: f1, direction: maximize}\n")
    assert "no run has the metric f1: there is no best point" in capsys.readouterr().out


def test_a_terminal_is_not_moved_by_what_a_sweep_says(
    folder: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    swept(folder, world, 'points: [{params.note: "\\e[2J"}]\n')
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_more_runs_than_allowed_are_refused_before_the_first(folder: Path, world: World) -> None:
    with pytest.raises(UsageError, match="3 runs, more than 2"):
        swept(folder, world, "seeds: 3\n", most=2)
    assert world.engine.plans == []


def test_a_draft_is_refused_until_it_is_locked(folder: Path, world: World) -> None:
    draft = spec_text(BASE).replace(f"@{BASE.image.digest}", ":latest")
    (folder / "base.yaml").write_text(draft)
    with pytest.raises(SpecError) as caught:
        swept(folder, world, "seeds: 2\n")
    assert "executor lock" in caught.value.advice
    options = {"most": None, "stop_on_failure": False, "as_json": True}
    assert submit_sweep(folder / "sweep.yaml", world.site, Options(), locking=True, **options) == 0  # type: ignore[arg-type]
    assert (folder / "base.lock.yaml").exists()


def test_a_spec_written_out_is_run(folder: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    inline = "".join(f"  {line}\n" for line in spec_text(BASE).splitlines())
    path = folder / "inline.yaml"
    path.write_text(f"version: 1\nspec:\n{inline}seeds: [7]\n")
    options = {"locking": False, "most": None, "stop_on_failure": False, "as_json": True}
    assert submit_sweep(path, world.site, Options(), **options) == 0  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out)["runs"][0]["spec_hash"] == BASE.hash.hex


def test_an_interval_lets_few_digits_count() -> None:
    assert interval(estimate([0.90, 0.92, 0.91, 0.94, 0.93])) == "0.920 ± 0.020 (n=5)"
    assert interval(estimate([0.123456789])) == "0.123456789"
    assert interval(estimate([1e9, 3e9])) == "2e+09 ± 1.3e+10 (n=2)"
    assert interval(estimate([1e-9, 3e-9])) == "2e-09 ± 1.3e-08 (n=2)"
    assert interval(estimate([1.0, float("inf")])) == "inf (n=2)"


def test_the_options_of_a_sweep(folder: Path) -> None:
    @click.command("submit")
    @sweep_options
    def submit(sweep_file: Path, most: int, stop_on_failure: bool) -> None:
        click.echo(repr((str(sweep_file), most, stop_on_failure)))

    ran = CliRunner().invoke(submit, ["--sweep", "a.yaml", "--max", "20000", "--stop-on-failure"])
    assert ran.output == "('a.yaml', 20000, True)\n"
    assert CliRunner().invoke(submit, ["--max", "0"]).exit_code == 2
