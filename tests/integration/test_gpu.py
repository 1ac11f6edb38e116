"""The same on CUDA: proof, trace and diagnosis of runs on a GPU. Skips where there is none, and says so."""

from __future__ import annotations

import os
from typing import Any

import pytest

import executor.environment.gpu as gpus
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine, project

FOUND = gpus.look().gpus
IMAGE = os.environ.get("EXECUTOR_TEST_GPU_IMAGE", "localhost/torch-cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.engine,
    pytest.mark.skipif(not FOUND, reason="no NVIDIA GPU on this machine"),
]
TRAIN = """
import torch
from torch import nn

device = torch.device("cuda")
model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)).to(device)
model(torch.randn(2, 3, 16, 16, device=device))
optimizer = torch.optim.AdamW(model.parameters())
bins = torch.randint(50, (200_000,), device=device)
for step in range(12):
    x, y = torch.randn(32, 3, 16, 16, device=device), torch.randint(10, (32,), device=device)
    optimizer.zero_grad()
    total = torch.zeros(50, device=device).index_add(0, bins, torch.randn(200_000, device=device))
    (nn.functional.cross_entropy(model(x), y) + 1e-4 * (total * model[4].weight[0, :50]).sum()).backward()
    optimizer.step()
torch.save({name: value.cpu() for name, value in model.state_dict().items()}, "/outputs/model.pt")
"""


def spec(more: str = "") -> str:
    return f"""
version: 1
name: on-a-gpu
image: {IMAGE}
code: {{repo: .}}
command: [python3, train.py]
seed: 1
gpu: {{type: "{FOUND[0].name}", count: 1}}
cpu: {{threads: 2}}
resources: {{memory: 8GiB, timeout: 5m}}
{more}"""


@pytest.fixture
def machine(make_machine: MakeMachine) -> Machine:
    return make_machine("file")


def submitted(machine: Machine, more: str = "") -> Any:
    done = machine.run(
        "submit", "--lock", "--json", "-q", project(machine.folder / "project", spec(more), train_py=TRAIN)
    )
    assert done.code == 0, done
    return done.json


def test_a_run_on_a_gpu_repeats_and_proves_it(machine: Machine) -> None:
    first = submitted(machine)
    again = machine.run("rerun", "--json", "-q", first["spec_hash"])
    assert (again.code, again.json["verdict"], again.json["proof"]["standing"]) == (0, "identical", "proven"), again
    record = machine.record(again.json)
    container = record.fingerprint.container
    assert container
    assert container.gpus[0].multiprocessors
    assert any(name.startswith("cuda.") for name in container.probe)
    assert record.steps == 12


def test_atomics_are_located_and_named(machine: Machine) -> None:
    first = submitted(machine)
    for _ in range(3):
        again = machine.run("rerun", "--json", "-q", "--diagnose", "--vary", "deterministic=off", first["spec_hash"])
        if again.code == 4:
            break
    found = again.json["divergence"]
    assert (found["kind"], found["cause"]) == ("gradient", "nondeterministic-operation"), found
    assert found["where"].startswith("train.py:")
