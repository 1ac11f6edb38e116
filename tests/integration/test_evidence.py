"""What a rerun says of itself on the real engine: proof, prediction, trace, where it parted and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executor.evidence.trace import from_parquet
from tests.integration.conftest import MakeMachine
from tests.integration.site import TORCH, Machine, containers, project
from tests.ran import Ran

pytestmark = pytest.mark.engine

SPEC = f"""
version: 1
name: evidence
image: {TORCH}
code: {{repo: .}}
command: [python3, train.py]
seed: 1
gpu: none
cpu: {{threads: 1}}
resources: {{memory: 2GiB, timeout: 2m}}
"""
TRAIN = """
import os, sys
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.AdamW(model.parameters())
for step in range(12):
    x, y = torch.randn(8, 16), torch.randint(4, (8,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    {plant}
    optimizer.step()
torch.save(model.state_dict(), "/outputs/model.pt")
{end}
"""
BIT = "if step == 7: model[0].weight.grad.view(torch.int32)[2, 3] ^= int.from_bytes(os.urandom(2), 'big') << 6"


@pytest.fixture
def machine(make_machine: MakeMachine, torch_image: str) -> Machine:
    return make_machine("file")


def submitted(machine: Machine, *, plant: str = "", end: str = "", more: str = "", code: int = 0) -> Any:
    train = TRAIN.replace("{plant}", plant or "pass").replace("{end}", end)
    draft = project(machine.folder / "project", SPEC + more, train_py=train)
    done = machine.run("submit", "--lock", "--json", "-q", draft)
    assert done.code == code, done
    return done.json


def parted(machine: Machine, spec_hash: str, *words: str) -> Ran:
    """A rerun that differs: planted entropy agrees by chance once in 256 times."""
    for _ in range(3):
        again = machine.run("rerun", "-q", "--json", *words, spec_hash)
        if again.code == 4:
            return again
    raise AssertionError(again)


def test_a_flipped_bit_is_found_at_its_step_and_line(machine: Machine) -> None:
    first = submitted(machine, plant=BIT)
    again = parted(machine, first["spec_hash"], "--diagnose")
    found = again.json["divergence"]
    assert (found["step"], found["kind"], found["cause"]) == (7, "gradient", "entropy"), found
    assert (found["where"], found["tensor"], found["confirmed"]) == ("train.py:12", "0.weight", True)
    assert again.json["prediction"]["value"] == "unknown"
    (weights,) = again.json["comparison"]["files"]
    assert weights["tensors"]["different_count"] >= 1
    assert weights["tensors"]["reference"] != weights["tensors"]["observed"]
    shown = machine.run("show", "--json", "--attempt", again.json["attempt"], first["spec_hash"]).json
    assert shown["divergence"] == found
    said = machine.run("rerun", "-q", first["spec_hash"]).out
    assert "predicted different" in said
    scored = machine.run("predictions", "--json").json
    assert (scored["total"], scored["false_identical"]) == (len(scored["predictions"]), 0)


def test_a_program_that_repeats_is_foreseen_and_traced(machine: Machine) -> None:
    first = submitted(machine)
    again = machine.run("rerun", "-q", "--json", "--trace", "operations", first["spec_hash"])
    assert (again.code, again.json["verdict"], again.json["prediction"]["value"]) == (0, "identical", "identical")
    assert again.json["proof"] == {"standing": "proven", "reasons": []}
    record = machine.record(again.json)
    assert record.trace
    assert record.operations
    assert record.steps == 12
    trace = from_parquet(machine.store.read_blob(record.trace.digest, 1 << 20), "trace")
    assert [row.step for row in trace.processes["0"].rows] == [-1, *range(12)]
    assert trace.processes["0"].names == ("0.weight", "0.bias", "2.weight", "2.bias")
    matrix = machine.run("matrix", "--json", first["spec_hash"]).json
    assert (matrix["reproduced"], matrix["of"]) == (1, 1)


def test_what_is_varied_is_named_and_never_the_reference(machine: Machine) -> None:
    first = submitted(machine)
    again = machine.run("rerun", "-q", "--json", "--diagnose", "--vary", "torch=off", first["spec_hash"])
    assert (again.code, again.json["varied"]) == (4, {"torch": "off"})
    found = again.json["divergence"]
    assert (found["kind"], found["cause"], found["setting"]) == ("init", "entropy", "torch"), found
    assert found["confirmed"]
    assert machine.store.reference(machine.record(first).spec_hash) == first["attempt"]
    bad = machine.run("rerun", "--vary", "PATH=/tmp", first["spec_hash"])
    assert (bad.code, "cannot be varied" in bad.err) == (2, True)


def test_twins_that_part_stop_a_run_before_it_is_paid_for(machine: Machine) -> None:
    train = TRAIN.replace("{plant}", BIT.replace("== 7", "== 1")).replace("{end}", "")
    draft = project(machine.folder / "project", SPEC, train_py=train)
    refused = machine.run("submit", "--lock", "--json", "-q", "--twin", "3", draft)
    assert (refused.code, refused.json["error"], refused.json["divergence"]["step"]) == (4, "NotRepeatable", 1)
    assert machine.run("ls", "--json").json == []


def test_a_program_that_takes_the_contract_back_is_found_out(machine: Machine) -> None:
    found = submitted(machine, plant="torch.use_deterministic_algorithms(False)")
    assert found["proof"]["standing"] == "violated"
    assert "train.py:12" in found["proof"]["reasons"][0]


def test_a_program_that_leaves_no_report_is_unproven(machine: Machine) -> None:
    first = submitted(
        machine, end="import signal; print('done', flush=True); import ctypes; ctypes.CDLL(None)._exit(0)"
    )
    assert first["proof"]["standing"] == "unproven"
    again = machine.run("rerun", "-q", "--json", first["spec_hash"])
    assert (again.code, again.json["prediction"]["rule"]) == (0, "unproven")


def test_strict_names_the_operation_and_the_line(machine: Machine) -> None:
    put = "torch.zeros(4).put_(torch.tensor([1, 1]), torch.ones(2))"
    failed = submitted(machine, plant=put, code=1)
    (line,) = [one for one in failed["findings"] if one["field"] == "determinism.operation"]
    assert line["observed"] == "put_ at train.py:12"
    warned = submitted(_another(machine), plant=put, more="determinism: warn\n")
    assert [one["observed"] for one in warned["findings"] if one["field"] == "determinism.operation"] == [
        "put_ at train.py:12"
    ]


def _another(machine: Machine) -> Machine:
    folder = machine.folder / "another"
    folder.mkdir()
    return Machine(folder, f"file:{folder}/store")


def test_weights_within_the_stated_bound_are_close(machine: Machine) -> None:
    nudge = "model[0].weight.data.view(torch.int32)[0, 0] += int.from_bytes(os.urandom(2), 'big') if step == 11 else 0"
    first = submitted(machine, end=nudge + "; torch.save(model.state_dict(), '/outputs/model.pt')",
                      more="outputs: {ulp: 65536}\n")  # fmt: skip
    again = parted(machine, first["spec_hash"])
    assert again.json["verdict"] == "close"
    (file,) = again.json["comparison"]["files"]
    assert 0 < file["tensors"]["max_ulp"] < 65536
    assert containers(first["spec_hash"]) == [], "what compared the tensors is gone too"


def test_equal_values_in_other_bytes_are_serialization(machine: Machine) -> None:
    save = "torch.save({'state': model.state_dict()}, '/outputs/model.pt', _use_new_zipfile_serialization=False)"
    first = submitted(machine, end=save)
    again = parted(machine, first["spec_hash"], "--diagnose")
    found = again.json["divergence"]
    assert (found["step"], found["kind"], found["cause"]) == (None, "serialization", "serialization"), found


def test_a_program_without_torch_adds_steps_of_its_own(machine: Machine) -> None:
    train = """
        import json, os, random, time
        with open(os.environ["EXECUTOR_STEPS"], "w") as steps:
            for step in range(9):
                value = random.random() + (time.time_ns() if step == 5 else 0)
                steps.write(json.dumps({"step": step, "value": value}) + "\\n")
        open("/outputs/value.txt", "w").write(str(value))
        open("/outputs/other.txt", "w").write(str(time.time_ns()))
    """
    draft = project(machine.folder / "project", SPEC, train_py=train)
    first = machine.run("submit", "--lock", "--json", "-q", draft)
    assert first.code == 0, first
    found = parted(machine, first.json["spec_hash"]).json["divergence"]
    assert (found["step"], found["process"]) == (5, "program"), json.dumps(found, indent=1)
