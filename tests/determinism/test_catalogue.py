"""Every folder here is one source of nondeterminism: a program that has it, and the proof of what is said of it.

`case.yaml` holds:

- `about`: the source in one sentence;
- `plain`: what two plain `docker run`s of the program get, variables in capitals and options of `docker run` in small
  letters; their outputs differ, but for a control. `pause` seconds lie between two runs. A source that one machine
  cannot show has `plain_why_not` in its place;
- `vary`: words for `rerun --vary` that take away the part of the contract that controls the source;
- `expect`: fields of the divergence that the rerun must come to, after `--diagnose`;
- `control: true`: nothing differs, though one might think so: neither the plain runs nor the varied rerun;
- `uncontrolled: true`: the contract cannot control it, so the rerun differs by itself, and must be located and named;
- `cpus`, `needs`, `vendor`: CPUs, flags and maker of the CPU without which there is nothing to see;
- `quick: true`: is tested every time; the others with EXECUTOR_TEST_ALL=1, which writes the table of results too.

Proved of each: (1) two plain runs differ. (2) Under the contract a rerun is identical, proven, and was not foreseen
otherwise. (3) Without the contract it differs, at the step, in the way and for the reason that `expect` says.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.determinism.conftest import Cpu
from tests.integration.site import TORCH, Machine, repository
from tests.ran import Ran
from tests.thorough import ALL, thorough

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "determinism.json"
ENOUGH = 25
"""Sources that the contract controls, at least."""


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path
    about: str
    plain: tuple[Mapping[str, str], ...] = ()
    plain_why_not: str = ""
    pause: float = 0.0
    vary: tuple[str, ...] = ()
    expect: Mapping[str, Any] = field(default_factory=dict)
    control: bool = False
    uncontrolled: bool = False
    cpus: int = 1
    needs: tuple[str, ...] = ()
    vendor: str = ""
    quick: bool = False

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def controlled(self) -> bool:
        return not self.control and not self.uncontrolled

    def missing(self, cpu: Cpu) -> str:
        """What this machine lacks to show it."""
        if cpu.count < self.cpus:
            return f"needs {self.cpus} CPUs"
        if lacking := set(self.needs) - cpu.flags:
            return f"needs a CPU with {', '.join(sorted(lacking))}"
        return f"needs a CPU of {self.vendor}" if self.vendor not in ("", cpu.vendor) else ""


def _read(path: Path) -> Case:
    said: dict[str, Any] = yaml.safe_load(path.read_text())
    known = {one.name for one in fields(Case)} - {"folder"}
    assert said.keys() <= known, f"{path}: {said.keys() - known} means nothing"
    lists: dict[str, Any] = {name: tuple(one) for name, one in said.items() if isinstance(one, list)}
    return Case(path.parent, **{**said, **lists})


CASES = [_read(path) for path in sorted(FOLDER.glob("*/case.yaml"))]


def _marked(case: Case) -> Any:
    marks = [pytest.mark.engine, pytest.mark.slow]
    if not case.quick:
        marks.append(thorough)
    return pytest.param(case, id=case.name, marks=marks)


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, dict[str, Any]]]:
    """What was seen of each folder; written down when it is all of them."""
    found: dict[str, dict[str, Any]] = {}
    yield found
    if ALL and found.keys() == {case.name for case in CASES}:
        rows = [{"source": name, **found[name]} for name in sorted(found)]
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_source(
    case: Case, machine: Machine, cpu: Cpu, torch_image: str, tmp_path: Path, results: dict[str, dict[str, Any]]
) -> None:
    kind = "control" if case.control else "uncontrolled" if case.uncontrolled else "controlled"
    row: dict[str, Any] = {"about": case.about, "class": kind}
    if lacking := case.missing(cpu):
        results[case.name] = {**row, "skipped": lacking}
        pytest.skip(lacking)
    code = repository(case.folder, tmp_path / case.name, images={TORCH: torch_image}, leave=frozenset({"case.yaml"}))
    row["plain"] = _plain(case, code, torch_image, tmp_path)
    spec_hash = _submitted(machine, code)
    if not case.uncontrolled:
        row["contract"] = _contract(machine, spec_hash)
    if case.vary or case.uncontrolled:
        row |= _rerun(case, machine, spec_hash)
    results[case.name] = row


def _plain(case: Case, code: Path, image: str, tmp_path: Path) -> str:
    """(1) Two plain runs in the image, with nothing of ours."""
    if case.plain_why_not:
        return case.plain_why_not
    command = yaml.safe_load((code / "spec.yaml").read_text())["command"]
    seen = []
    for number, given in enumerate(case.plain):
        time.sleep(case.pause if number else 0)
        seen.append(_docker_run(given, command, image, code, tmp_path / f"plain-{number}"))
    assert len(seen) == 2, "two plain runs"
    assert seen[0], "it leaves an output"
    assert (seen[0] == seen[1]) == case.control, f"plain runs gave {seen[0]} and {seen[1]}"
    return "identical" if case.control else "different"


def _docker_run(given: Mapping[str, str], command: list[str], image: str, code: Path, outputs: Path) -> dict[str, str]:
    """Digests of what a plain `docker run` leaves, by path."""
    outputs.mkdir()
    options = [f"--env={name}={value}" if name.isupper() else f"--{name}={value}" for name, value in given.items()]
    fixed = ["--rm", "--network=none", "--shm-size=256m", f"--user={os.getuid()}:{os.getgid()}", "--env=HOME=/tmp",
             f"--volume={code}:/code:ro", f"--volume={outputs}:/outputs", "--workdir=/code"]  # fmt: skip
    done = subprocess.run(
        ["docker", "run", *fixed, *options, image, *command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    files = sorted(path for path in outputs.rglob("*") if path.is_file())
    return {path.relative_to(outputs).as_posix(): sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def _submitted(machine: Machine, code: Path) -> str:
    ran = machine.run("submit", "--lock", "--json", code / "spec.yaml")
    assert ran.code == 0, ran
    return str(ran.json["spec_hash"])


def _contract(machine: Machine, spec_hash: str) -> dict[str, str]:
    """(2) Under the contract: identical, proven, and not foreseen to be otherwise."""
    ran = machine.run("rerun", "--json", spec_hash)
    record = machine.record(ran.json)
    assert ran.json["verdict"] == "identical", _shown(ran)
    assert ran.code == 0, ran
    assert record.proof is not None
    assert record.proof.standing == "proven", record.proof.reasons
    assert record.prediction is not None
    assert record.prediction.value != "different", record.prediction
    return {"verdict": "identical", "proof": record.proof.standing, "predicted": record.prediction.value}


def _rerun(case: Case, machine: Machine, spec_hash: str) -> dict[str, Any]:
    """(3) Without the contract, or beyond it: where and why it differs, or that it does not."""
    time.sleep(case.pause)
    varied = [f"--vary={word}" for word in case.vary]
    ran = machine.run("rerun", *varied, "--diagnose", "--json", spec_hash)
    assert ran.out, ran
    predicted = (ran.json.get("prediction") or {}).get("value")
    if case.control:
        assert ran.json["verdict"] == "identical", _shown(ran)
        return {"vary": list(case.vary), "verdict": "identical", "predicted": predicted}
    assert ran.json["verdict"] == "different", f"{ran.json['verdict']}: the case proves nothing\n{ran.err}"
    assert ran.code == 4, ran
    assert predicted != "identical", ran.json["prediction"]
    found = ran.json["divergence"]
    assert {name: found.get(name) for name in case.expect} == case.expect, _shown(ran)
    told = {name: found.get(name) for name in ("step", "kind", "cause", "setting", "where", "operation", "confirmed")}
    return {"vary": list(case.vary), "verdict": "different", "predicted": predicted, **told}


def _shown(ran: Ran) -> str:
    """The whole divergence, and what was said on the way."""
    return json.dumps(ran.json.get("divergence"), indent=1, ensure_ascii=False) + "\n" + ran.err


def test_there_are_enough() -> None:
    assert sum(case.controlled for case in CASES) >= ENOUGH


def test_each_says_what_it_must() -> None:
    for case in CASES:
        assert len(case.plain) == 2 or case.plain_why_not, case.name
        assert not (case.control and case.uncontrolled), case.name
        assert bool(case.vary) != case.uncontrolled, f"{case.name}: what is varied?"
        assert bool(case.expect) != case.control, f"{case.name}: what is expected?"


def test_each_is_documented() -> None:
    text = (ROOT / "docs" / "determinism.md").read_text()
    assert [case.name for case in CASES if f"tests/determinism/{case.name}" not in text] == []
