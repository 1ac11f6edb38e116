"""A real run in the formats of others: the public validator of RO-Crates, Parquet and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from executor.spec.canonical import Digest
from tests.integration import neighbours
from tests.integration.conftest import MakeMachine
from tests.integration.site import SCRIPT, Machine, locked

pytestmark = [pytest.mark.engine, pytest.mark.s3]

MORE = """
params: {lr: 0.1, hidden: [128, 64], opt: {name: adam}}
env: {A: "1"}
outputs: {weights: ["*.pt", "**/*.bin"]}
labels: {license: "https://spdx.org/licenses/CC-BY-4.0"}
"""
ODD = f"{SCRIPT}\necho x >'/outputs/=a b#%é.bin'\n"
UNKNOWN = {
    "process-run-crate-0.5_3.2",  # a URL of the program: its repository is a folder here
    "process-run-crate-0.5_5.1",  # likewise, as its name
    "ro-crate-1.1_22.3",  # a publisher: whoever publishes the crate says that
    "ro-crate-1.1_30.2",  # where the author works
    "ro-crate-1.1_30.3",
}
"""Recommended, and not known to us."""


@pytest.fixture
def machine(small_image: str, make_machine: MakeMachine) -> Machine:
    return make_machine("file")


def test_a_crate_passes_the_public_validator(machine: Machine, tmp_path: Path) -> None:
    neighbours.needed()
    spec, spec_hash = locked(machine, ODD, MORE)
    assert machine.run("submit", spec, "--quiet").code == 0
    for name in ("crate", "crate.zip"):
        assert machine.run("export", spec_hash, "--as", "ro-crate", "--to", tmp_path / name).code == 0
        required = neighbours.validated(tmp_path / name, "REQUIRED", tmp_path)
        assert (required["passed"], required["issues"]) == (True, [])
        recommended = neighbours.validated(tmp_path / name, "RECOMMENDED", tmp_path)
        assert {issue["check"] for issue in recommended["issues"]} <= UNKNOWN
        assert recommended["entities"] > 20
    graph = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())["@graph"]
    files = {one["@id"]: one["sha256"] for one in graph if one["@type"] == "File"}
    assert files["outputs/%3Da%20b%23%25%C3%A9.bin"] == Digest.of(b"x\n").hex


def test_the_validator_sees_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    """Else its silence would mean nothing."""
    neighbours.needed()
    spec, spec_hash = locked(machine, SCRIPT)
    assert machine.run("submit", spec, "--quiet").code == 0
    assert machine.run("export", spec_hash, "--as", "ro-crate", "--to", tmp_path / "crate").code == 0
    document = tmp_path / "crate" / "ro-crate-metadata.json"
    document.write_text(document.read_text().replace('"instrument"', '"tool"'))
    assert not neighbours.validated(tmp_path / "crate", "REQUIRED", tmp_path)["passed"]


def test_a_run_that_failed_is_a_valid_crate_too(machine: Machine, tmp_path: Path) -> None:
    neighbours.needed()
    spec, spec_hash = locked(machine, f"{SCRIPT}\nexit 3\n")
    assert machine.run("submit", spec, "--quiet").code == 1
    assert machine.run("export", spec_hash, "--as", "ro-crate", "--to", tmp_path / "crate").code == 0
    assert neighbours.validated(tmp_path / "crate", "REQUIRED", tmp_path)["passed"]
    graph = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())["@graph"]
    (action,) = (one for one in graph if one["@type"] == "CreateAction")
    assert action["error"] == "failed, exit status 3"


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_the_table_of_all_runs_is_read_by_others(
    kind: str, make_machine: MakeMachine, small_image: str, tmp_path: Path
) -> None:
    machine = make_machine(kind)
    spec, spec_hash = locked(machine, SCRIPT)
    assert machine.run("submit", spec, "--quiet").code == 0
    assert machine.run("rerun", spec_hash, "--quiet").code == 0
    for form in ("csv", "parquet"):
        ran = machine.run("export", "--find", "loss < 1", "--as", form, "--to", tmp_path / f"a.{form}", "--json")
        assert (ran.code, ran.json["runs"]) == (0, 2)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["attempt"] for row in rows] == [row["attempt"] for row in table]
    assert [(row["spec"], row["verdict"], row["metrics.loss"]) for row in table] == [
        (spec_hash, "identical", 0.5), (spec_hash, None, 0.5),
    ]  # fmt: skip
    points = pq.read_table(tmp_path / "a.series.parquet").to_pylist()
    assert [(one["name"], one["step"], one["value"]) for one in points] == [("loss", 1, 0.5)] * 2
    assert {one["attempt"] for one in points} == {row["attempt"] for row in table}
