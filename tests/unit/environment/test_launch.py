from __future__ import annotations

import re
from typing import Any

import pytest

from executor.environment import launch
from executor.environment.checks import Answer
from executor.environment.launch import LAUNCH_CHECKS, Launch, choose_gpus
from executor.facts import EngineFacts, HostFacts, ImageFacts
from executor.spec.model import Spec
from tests.unit.environment import samples
from tests.unit.environment.samples import H100, engine, gpu, gpu_host, gpu_spec, host, image, spec

MIG = f"{H100} MIG 1g.10gb"
REMOTE = engine(address="ssh://me@node2")
CUDA_12 = image(environment={"CUDA_VERSION": "12.6.3"})
CUDA_13 = image(environment={"CUDA_VERSION": "13.0.3"})
OTHER_IMAGE = image(digest="sha256:" + "cd" * 32)


ENGINE, IMAGE = engine(), image()


def check(
    field: str,
    spec: Spec,
    host: HostFacts,
    engine: EngineFacts = ENGINE,
    image: ImageFacts | None = IMAGE,
    disk_needed: int = 0,
) -> Answer:
    at = Launch(spec, host, engine, image, samples.store(), disk_needed, choose_gpus(spec, host))
    return LAUNCH_CHECKS[field](at)


def test_the_docstring_announces_the_checks_in_their_order() -> None:
    announced = re.findall(r"^ ?(\d+)\. `([a-z._]+)`", launch.__doc__ or "", re.MULTILINE)
    assert [name for _, name in announced] == list(LAUNCH_CHECKS)
    assert [int(number) for number, _ in announced] == list(range(1, len(LAUNCH_CHECKS) + 1))


@pytest.mark.parametrize(
    ("field", "args", "severity", "observed"),
    [
        ("host", (spec(), host()), "info", "unix:///var/run/docker.sock"),
        ("host", (spec(), host(), REMOTE), "warn", "ssh://me@node2"),
        ("host", (spec(), host(), engine(address="ssh://me@node2", name="podman")), "refuse", "ssh://me@node2"),
        ("host", (spec(), host(), engine(address="tcp://127.0.0.1:2375")), "info", "tcp://127.0.0.1:2375"),
        ("image.digest", (spec(), host()), "info", samples.DIGEST),
        ("image.digest", (spec(), host(), engine(), OTHER_IMAGE), "refuse", str(OTHER_IMAGE.digest)),
        ("image.digest", (spec(), host(), engine(), None), "info", "not in the engine yet; compared after the pull"),
        ("image.architecture", (spec(), host()), "info", "amd64"),
        ("image.architecture", (spec(), host(), engine(), image(architecture="arm64")), "refuse", "arm64"),
        ("image.architecture", (spec(), host(), engine(architecture="aarch64")), "refuse", "amd64"),
        ("cpu.isa", (spec(), host()), "info", "default, avx2, avx512"),
        ("cpu.isa", (spec(), host(isa=())), "refuse", "default"),
        ("cpu.isa", (spec(cpu={"isa": "default"}), host(isa=())), "info", "default"),
        ("cpu.isa", (spec(cpu={"isa": "avx512"}), host(isa=("avx2",))), "refuse", "default, avx2"),
        ("cpu.isa", (spec(), host(isa=()), REMOTE), "info", "not checked"),
        ("cpu.threads", (spec(cpu={"threads": 4}), host()), "info", "4 CPUs"),
        ("cpu.threads", (spec(cpu={"threads": 4}), host(cpus=(0, 1))), "refuse", "2 CPUs"),
        ("cpu.threads", (spec(cpu={"threads": 4}), host(), engine(cpus=2)), "refuse", "2 CPUs"),
        ("cpu.threads", (spec(cpu={"threads": 4}), host(cpus=(0,)), REMOTE), "info", "4 CPUs"),
        ("memory", (spec(), host()), "info", "16.0 GiB"),
        ("memory", (spec(resources={"memory": "17GiB"}), host()), "refuse", "16.0 GiB"),
        ("gpu.type", (gpu_spec(), gpu_host()), "info", H100),
        ("gpu.type", (gpu_spec(), host()), "refuse", "no GPU"),
        ("gpu.type", (gpu_spec(kind="NVIDIA L4"), gpu_host()), "refuse", H100),
        ("gpu.type", (gpu_spec(), host(), REMOTE), "info", "not checked"),
        ("gpu.count", (gpu_spec(2), gpu_host(gpu(0), gpu(1))), "info", "2 idle"),
        ("gpu.count", (gpu_spec(2), gpu_host()), "refuse", "1"),
        ("gpu.count", (gpu_spec(2), gpu_host(gpu(0), gpu(1, name="NVIDIA L4"))), "refuse", "1"),
        ("gpu.count", (gpu_spec(2), gpu_host(gpu(0), gpu(1, processes=1))), "warn", "1 idle"),
        ("gpu.count", (gpu_spec(1), gpu_host(gpu(0, processes=1), gpu(1))), "info", "1 idle"),
        ("gpu.mig", (gpu_spec(), gpu_host()), "info", "MIG mode off"),
        ("gpu.mig", (gpu_spec(), gpu_host(gpu(mig=True))), "refuse", "MIG mode on"),
        ("gpu.mig", (gpu_spec(), gpu_host(gpu(name=MIG, mig=True))), "refuse", "MIG mode on"),
        ("gpu.mig", (gpu_spec(kind=MIG), gpu_host(gpu(name=MIG, mig=True))), "info", "an instance"),
        ("gpu.mig", (gpu_spec(), gpu_host(gpu(0, name=MIG, mig=True), gpu(1))), "info", "MIG mode off"),
        ("gpu.memory", (gpu_spec(), gpu_host()), "info", "1% used"),
        ("gpu.memory", (gpu_spec(), gpu_host(gpu(memory_used=20 * 2**30))), "refuse", "25% used"),
        ("gpu.memory", (gpu_spec(), gpu_host(gpu(0, memory_used=20 * 2**30), gpu(1))), "info", "1% used"),
        ("gpu.driver", (gpu_spec(), gpu_host(), engine(), CUDA_12), "info", "a driver for CUDA 13.0"),
        ("gpu.driver", (gpu_spec(), gpu_host().model_copy(update={"cuda_driver": "12.8"}), engine(), CUDA_13), "refuse",
         "a driver for CUDA 12.8"),
        ("gpu.driver", (gpu_spec(), host()), "refuse", "no NVIDIA driver"),
        ("gpu.driver", (gpu_spec(), gpu_host(), engine(), None), "info", "the image is not in the engine yet"),
        ("gpu.requests", (gpu_spec(), gpu_host(), engine(gpu_requests=())), "refuse", "docker 28.1.1 cannot"),
    ],
)  # fmt: skip
def test_checks(field: str, args: Any, severity: str, observed: str) -> None:
    answer = check(field, *args)
    assert (answer.severity, answer.observed) == (severity, observed)
    assert bool(answer.advice) == (severity != "info")


def test_disk_keeps_a_margin() -> None:
    full = host(disk_free=5 * 2**30)
    assert check("disk", spec(), full, disk_needed=4 * 2**30).severity == "info"
    assert check("disk", spec(), full, disk_needed=4 * 2**30 + 1).severity == "refuse"


def test_the_idlest_gpus_of_the_type_are_chosen() -> None:
    busy, warm, cool = gpu(0, processes=1), gpu(1, memory_used=2**30), gpu(2)
    machine = gpu_host(busy, warm, cool, gpu(3, name="NVIDIA L4"))
    assert choose_gpus(gpu_spec(2), machine) == (cool, warm)
    assert choose_gpus(spec(), machine) == ()


def test_another_type_is_chosen_only_when_allowed() -> None:
    other = gpu_host(gpu(name="NVIDIA L4"))
    assert choose_gpus(gpu_spec(), other) == ()
    assert choose_gpus(gpu_spec(), other, frozenset({"gpu.type"})) == other.gpus


def test_a_cpu_run_never_reaches_a_gpu_check() -> None:
    with pytest.raises(ValueError, match="no GPU checks"):
        check("gpu.type", spec(), gpu_host())
