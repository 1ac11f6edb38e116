"""The Python API as in a notebook: a plain Python process, a real store, a real run on the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeMachine
from tests.integration.site import SMALL, Machine, repository

pytestmark = [pytest.mark.engine, pytest.mark.s3]

SCRIPT = """
echo hello
echo "{\\"step\\": 1, \\"loss\\": 0.5}" >/outputs/metrics.jsonl
echo "{\\"step\\": 2, \\"loss\\": 0.25}" >>/outputs/metrics.jsonl
echo weights >/outputs/model.pt
"""
DRAFT = {"version": 1, "name": "small", "image": SMALL, "code": {"repo": "project"}, "command": ["sh", "run.sh"],
         "params": {"lr": 0.1}, "seed": 1, "gpu": None, "resources": {"memory": "256MiB"}}  # fmt: skip


def session(machine: Machine, code: str) -> Any:
    """Run cells of a notebook; gives what the last one printed as JSON."""
    done = subprocess.run([sys.executable, "-c", f"import executor, json\nlab = executor.open()\n{code}"],
                          capture_output=True, text=True, timeout=300, check=False, env=machine.environment,
                          cwd=machine.folder)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["file", "s3"])
def machine(request: pytest.FixtureRequest, make_machine: MakeMachine, small_image: str) -> Machine:
    made = make_machine(request.param)
    source = made.folder / "source"
    source.mkdir()
    (source / "run.sh").write_text(SCRIPT)
    repository(source, made.folder / "project", images={})
    return made


def test_a_notebook_runs_finds_and_compares(machine: Machine, tmp_path: Path) -> None:
    found = session(machine, f"""
draft = json.loads('''{json.dumps(DRAFT)}''')
run = lab.submit(draft, lock=True)
again = lab.rerun(run)
other = lab.submit(draft | {{"seed": 2}}, lock=True)
loss = run.series("loss")
(line,) = lab.best("loss", lowest=True, limit=1)
print(json.dumps({{
    "hash": run.spec_hash, "verdict": again.verdict, "cached": lab.submit(draft, lock=True).cached,
    "metrics": run.metrics, "steps": list(loss.steps), "values": list(loss.values), "log": run.log(),
    "weights": run.read("model.pt").decode(), "pulled": [path.name for path in run.pull("out")],
    "wrong": [str(one) for one in run.verify().every], "total": lab.find("loss < 1").total, "best": line["spec"],
    "claim": [row["spec"] for row in lab.claim("loss=0.25")], "differs": lab.compare([run, other]).column("field"),
    "html": "<table" in run._repr_html_() and "<table" in lab.find()._repr_html_(),
    "made": [one.spec_hash for one in lab.history("out/model.pt")],
}}))
""")  # fmt: skip
    spec_hash = found["hash"]
    assert found["verdict"] == "identical"
    assert found["cached"] is True
    assert (found["metrics"], found["steps"], found["values"]) == ({"loss": 0.25}, [1, 2], [0.5, 0.25])
    assert (found["log"], found["weights"]) == ("hello\n", "weights\n")
    assert (sorted(found["pulled"]), found["wrong"]) == (["metrics.jsonl", "model.pt"], [])
    assert (found["total"], len(found["claim"]), len(found["made"])) == (3, 3, 3)
    assert {found["best"], *found["claim"]} >= {spec_hash}
    assert "seed" in found["differs"]
    assert found["html"] is True
    assert machine.run("show", spec_hash, "--json").json["agreement"] == {"identical": 2, "succeeded": 2}


def test_errors_are_exceptions_with_their_advice(machine: Machine) -> None:
    found = session(machine, """
from executor import errors
said = {}
for name, call in {
    "NotFound": lambda: lab.run("abcdef"), "UsageError": lambda: lab.run("x"),
    "SpecError": lambda: lab.submit({"version": 1}), "QueryError": lambda: lab.find("loss ="),
}.items():
    try:
        call()
    except getattr(errors, name) as error:
        said[type(error).__name__] = [error.exit_code, bool(error.message)]
print(json.dumps(said))
""")  # fmt: skip
    assert found == {name: [2, True] for name in ("NotFound", "UsageError", "SpecError", "QueryError")}
