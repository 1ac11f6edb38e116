from __future__ import annotations

from typing import Any

import pytest

from executor.environment.reference import ROWS, compare
from executor.facts import ContainerFacts, Finding, Fingerprint
from executor.spec.model import Spec
from tests.unit.environment.samples import container, engine, fingerprint, gpu, gpu_host, gpu_spec, host, image, spec

REFERENCE = fingerprint()
GPU_REFERENCE = fingerprint(host=gpu_host(), container=container(gpus=(gpu(0), gpu(1)), torch_cuda="13.0"))


def found(now: Fingerprint, reference: Fingerprint = REFERENCE, asked: Spec | None = None) -> dict[str, Finding]:
    return {one.field: one for one in compare(asked or spec(), reference, now)}


def test_the_same_environment_is_one_line_that_counts() -> None:
    (only,) = compare(spec(), REFERENCE, fingerprint())
    assert (only.field, only.severity, only.observed) == ("reference", "info", f"{len(ROWS)} equal")


@pytest.mark.parametrize(
    ("part", "changes", "field"),
    [
        ("host", {"architecture": "aarch64"}, "architecture"),
        ("image", {"digest": "sha256:" + "cd" * 32}, "image_digest"),
        ("container", {"python": "3.12.1"}, "python"),
        ("container", {"glibc": "2.39"}, "glibc"),
        ("container", {"cpus": (0, 1, 2)}, "cpus_visible"),
        ("container", {"threads": 1}, "threads"),
        ("container", {"isa": "AVX512"}, "isa"),
        ("container", {"torch": "2.12.0"}, "torch"),
        ("container", {"torch_build": "other"}, "torch_build"),
        ("container", {"torch_cuda": "12.6"}, "torch_cuda"),
        ("container", {"cudnn": "9.1"}, "cudnn"),
        ("container", {"settings": {"deterministic": False}}, "settings"),
        ("container", {"environment": {"OMP_NUM_THREADS": "1"}}, "environment"),
    ],
)
def test_what_can_change_bits_refuses(part: str, changes: dict[str, Any], field: str) -> None:
    made = {"host": host, "image": image, "container": container}[part](**changes)
    findings = found(fingerprint(**{part: made}))
    assert findings[field].severity == "refuse"
    assert findings[field].advice
    assert set(findings) == {field, "reference"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "NVIDIA L4"}, "gpu_name"),
        ({"compute_capability": "8.9"}, "gpu_capability"),
        ({"multiprocessors": 114}, "gpu_multiprocessors"),
        ({"mig": True}, "gpu_mig"),
        ({"memory": 96 * 2**30}, "gpu_memory"),
    ],
)
def test_another_gpu_refuses(changes: dict[str, Any], field: str) -> None:
    seen = container(gpus=(gpu(0), gpu(1, **changes)), torch_cuda="13.0")
    findings = found(fingerprint(host=gpu_host(), container=seen), GPU_REFERENCE, gpu_spec(2))
    assert (findings[field].severity, set(findings)) == ("refuse", {field, "reference"})


def test_the_order_and_serial_numbers_of_gpus_do_not_matter() -> None:
    seen = container(gpus=(gpu(1, uuid="GPU-x"), gpu(0, uuid="GPU-y", memory_used=5)), torch_cuda="13.0")
    assert set(found(fingerprint(host=gpu_host(), container=seen), GPU_REFERENCE, gpu_spec(2))) == {"reference"}


def test_variables_with_serial_numbers_do_not_matter() -> None:
    seen = container(environment={"NVIDIA_VISIBLE_DEVICES": "GPU-x", "OMP_NUM_THREADS": "2"})
    before = container(environment={"NVIDIA_VISIBLE_DEVICES": "GPU-y", "OMP_NUM_THREADS": "2"})
    assert set(found(fingerprint(container=seen), fingerprint(container=before))) == {"reference"}


def test_the_driver_refuses_a_gpu_run_and_is_only_noted_of_a_cpu_run() -> None:
    now = fingerprint(host=gpu_host().model_copy(update={"gpu_driver": "575.1"}), container=GPU_REFERENCE.container)
    assert found(now, GPU_REFERENCE, gpu_spec(2))["gpu_driver"].severity == "refuse"
    assert found(now, GPU_REFERENCE, spec())["gpu_driver"].severity == "info"


@pytest.mark.parametrize(
    ("asked", "severity"), [(spec(), "refuse"), (spec(tier="portable"), "warn"), (gpu_spec(), "warn")]
)
def test_another_cpu_refuses_native_cpu_runs_only(asked: Spec, severity: str) -> None:
    findings = found(fingerprint(host=host(cpu_model="Intel Xeon", isa=("avx2",))), asked=asked)
    assert {findings["cpu_model"].severity, findings["cpu_isa"].severity} == {severity}


def test_context_is_recorded_only() -> None:
    now = fingerprint(host=host(hostname="n2", kernel="6.12", os="Ubuntu"), engine=engine(version="29", name="podman"))
    findings = found(now)
    assert set(findings) == {"hostname", "kernel", "os", "engine_name", "engine_version", "reference"}
    assert {one.severity for one in findings.values()} == {"info"}


def test_distributions_name_only_those_that_differ() -> None:
    now = container(distributions={"numpy": "2.3.0", "torch": "2.13.0", "tqdm": "4.0"})
    line = found(fingerprint(container=now))["distributions"]
    assert (line.expected, line.observed) == ("numpy=2.4.6, tqdm=none", "numpy=2.3.0, tqdm=4.0")


def test_parts_not_observed_yet_are_left_out() -> None:
    findings = found(fingerprint(container=None, image=None))
    assert set(findings) == {"reference"}
    assert int(findings["reference"].observed.split()[0]) < len(ROWS)


def test_a_container_that_only_one_could_look_into_is_one_warning() -> None:
    blind = fingerprint(container=ContainerFacts(checked=False, reason="no Python"))
    for findings in (found(blind), found(REFERENCE, blind)):
        assert (set(findings), findings["container"].severity) == ({"container", "reference"}, "warn")
    assert set(found(blind, blind)) == {"reference"}


def test_names_are_unique_and_every_row_has_a_reason() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.why for row in ROWS)
