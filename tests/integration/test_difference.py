"""`diff` of two real runs, in a folder and on SeaweedFS: what was asked, what came, and always the same answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import MakeMachine
from tests.integration.site import SPEC, Machine, project

pytestmark = pytest.mark.s3

SCRIPT = """
echo "{\\"loss\\": 0.$1}" >/outputs/metrics.jsonl
echo "weights of seed $1" >/outputs/model.pt
"""


@pytest.fixture(params=["file", "s3"])
def machine(request: pytest.FixtureRequest, make_machine: MakeMachine, small_image: str) -> Machine:
    return make_machine(request.param)


def locked_seeds(machine: Machine, *seeds: int) -> list[Path]:
    """A locked spec for each seed."""
    draft = project(machine.folder / "project", SPEC.replace("run.sh]", 'run.sh, "{seed}"]'), run_sh=SCRIPT)
    spec = draft.with_name("1.lock.yaml")
    assert machine.run("lock", draft, "--output", spec).code == 0
    paths = [spec.with_name(f"{seed}.lock.yaml") for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        path.write_text(spec.read_text().replace("seed: 1\n", f"seed: {seed}\n"))
    return paths


def test_two_seeds_differ_in_their_seed_and_in_what_came_of_it(machine: Machine) -> None:
    runs = [machine.run("submit", spec, "--json").json for spec in locked_seeds(machine, 1, 2)]
    assert [run["status"] for run in runs] == ["succeeded", "succeeded"]
    one, other = (run["spec_hash"] for run in runs)
    for words in ((one, other), (one[:8], other[:8]), (f"{one}/{runs[0]['attempt']}", other)):
        found = machine.run("diff", *words, "--json")
        assert (found.code, found.json["spec"]) == (4, {"seed": [1, 2]})
        assert found.json["metrics"] == {"loss": [0.1, 0.2]}
        assert {file["path"] for file in found.json["comparison"]["files"]} == {"metrics.jsonl", "model.pt"}
        assert "the specs differ: seed was 1 and is 2" in found.json["divergence"]["reason"]
        assert "metrics.jsonl: line 1, loss: 0.1 → 0.2" in found.json["divergence"]["evidence"]
    assert machine.run("diff", other, one, "--json").json["spec"] == {"seed": [2, 1]}
    same = machine.run("diff", one, one, "--json")
    assert (same.code, same.json["spec"]) == (0, {})
