"""Another CPU, shown by user-mode emulation: an Intel Haswell that is software, beside the CPU of this machine.

Emulation shows that what libraries dispatch on is pinned; it cannot show that Intel's silicon agrees.
"""

from __future__ import annotations

import shutil

import pytest

from tests.integration.site import Machine, project
from tests.ran import Ran
from tests.thorough import thorough

pytestmark = [pytest.mark.engine, pytest.mark.slow, thorough]

QEMU = shutil.which("qemu-x86_64-static")
TRAIN = """
import torch
from torch import nn

model = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(5):
    x = torch.randn(64, 20)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long()).backward()
    optimizer.step()
torch.save(model.state_dict(), "/outputs/model.pt")
"""
SPEC = """
version: 1
name: {name}
image: {image}
code: {{repo: .}}
data: {{qemu: {{source: {folder}}}}}
command: [{command} /usr/bin/python3, train.py]
seed: 1
gpu: none
cpu: {{threads: 1}}
tier: {tier}
resources: {{timeout: 5m}}
"""
EMULATED = "/data/qemu/qemu-x86_64-static, -cpu, Haswell,"


def run(machine: Machine, image: str, tier: str, command: str) -> str:
    """Submit the program on this CPU, or on the emulated one; gives the spec hash."""
    assert QEMU
    folder = machine.folder / "qemu"
    folder.mkdir(exist_ok=True)
    shutil.copy(QEMU, folder)
    code = machine.folder / tier  # one commit for both CPUs: the drafts stand beside it
    if not code.exists():
        project(code, "", train_py=TRAIN)
    name = f"{tier}-{'haswell' if command else 'here'}"
    text = SPEC.format(name=name, image=image, folder=folder, command=command, tier=tier)
    draft = machine.folder / f"{name}.yaml"
    draft.write_text(text.replace("repo: .", f"repo: {code}"))
    done: Ran = machine.run("submit", "--lock", "--json", "-q", draft)
    assert done.code == 0, done
    return str(done.json["spec_hash"])


@pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64-static (Debian: qemu-user-static)")
def test_the_portable_tier_gives_the_same_bits_on_another_cpu(machine: Machine, torch_image: str) -> None:
    here, there = (run(machine, torch_image, "portable", command) for command in ("", EMULATED))
    found = machine.run("diff", "--json", here, there)
    assert found.code == 0, found


@pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64-static (Debian: qemu-user-static)")
def test_where_the_native_tier_follows_the_cpu_it_does_so_from_the_first_step_on(
    machine: Machine, torch_image: str
) -> None:
    here, there = (run(machine, torch_image, "native", command) for command in ("", EMULATED))
    found = machine.run("diff", "--json", here, there)
    if found.code == 0:
        pytest.skip("this CPU is enough like the emulated one: the native tier gives the same bits on both")
    assert found.code == 4, found
    assert found.json["divergence"]["step"] == 0
    assert {"kind", "cause"} <= found.json["divergence"].keys()
