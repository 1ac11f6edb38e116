from __future__ import annotations

from typing import Any

import pytest

from executor.environment import verify
from executor.environment.launch import LAUNCH_CHECKS
from executor.environment.within import INSIDE_CHECKS
from executor.errors import UsageError
from executor.facts import ContainerFacts, Finding, HostFacts, refused
from executor.spec.model import Spec
from tests.unit.environment import samples
from tests.unit.environment.samples import container, gpu, gpu_host, gpu_spec, host, spec


def before(asked: Spec, machine: HostFacts, *allow: str, **changes: Any) -> list[Finding]:
    known: dict[str, Any] = {"image": samples.image(), "store": samples.store(), "disk_needed": 0}
    return verify.before_launch(asked, machine, samples.engine(), allow=frozenset(allow), **known | changes)


def test_a_good_machine_passes_every_check() -> None:
    findings = before(gpu_spec(), gpu_host())
    assert [one.field for one in findings] == list(LAUNCH_CHECKS)
    assert {one.severity for one in findings} == {"info"}


def test_a_cpu_run_has_no_gpu_findings_on_any_machine() -> None:
    for machine in (host(), gpu_host(), gpu_host(gpu(mig=True, processes=3))):
        findings = before(spec(), machine)
        assert [one.field for one in findings] == [name for name in LAUNCH_CHECKS if not name.startswith("gpu.")]
        assert refused(findings) == []


def test_every_refusal_is_reported_and_not_the_first() -> None:
    findings = before(gpu_spec(), host(isa=(), disk_free=0), store=samples.store(writable=False))
    assert [one.field for one in refused(findings)] == [
        "cpu.isa", "gpu.type", "gpu.count", "gpu.driver", "disk", "store",
    ]  # fmt: skip


def test_allow_lets_one_field_pass_and_keeps_it_in_sight() -> None:
    other = gpu_host(gpu(name="NVIDIA L4"))
    assert [one.field for one in refused(before(gpu_spec(), other))] == ["gpu.type", "gpu.count"]
    findings = before(gpu_spec(), other, "gpu.type")
    assert refused(findings) == []
    assert [one.field for one in findings if one.allowed] == ["gpu.type"]


def test_allow_of_an_unknown_field_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        before(spec(), host(), "cpu_modle")
    for name in ("cpu_model", "gpu.type", "inside", "container", "gpu.uuid"):
        assert name in caught.value.advice


def test_inside_a_good_container_passes_every_check() -> None:
    findings = verify.in_container(
        gpu_spec(), container(gpus=(gpu(),), torch_cuda="13.0"), gpu_host(), allow=frozenset()
    )
    assert [one.field for one in findings] == list(INSIDE_CHECKS)
    assert {one.severity for one in findings} == {"info"}


def test_inside_a_cpu_run_asks_nothing_of_gpus() -> None:
    findings = verify.in_container(spec(), container(), host(), frozenset())
    assert [one.field for one in findings] == ["inside", "cpu.visible", "cpu.threads", "cpu.isa", "torch.version"]


def test_a_container_without_python_is_one_warning() -> None:
    facts = ContainerFacts(checked=False, reason="the image has no Python")
    (only,) = verify.in_container(gpu_spec(), facts, gpu_host(), frozenset())
    assert (only.field, only.severity) == ("inside", "warn")


def test_the_reference_check_takes_allow() -> None:
    now = samples.fingerprint(host=host(cpu_model="Intel Xeon"))
    findings = verify.against_reference(spec(), samples.fingerprint(), now, frozenset())
    assert [one.field for one in refused(findings)] == ["cpu_model"]
    assert refused(verify.against_reference(spec(), samples.fingerprint(), now, frozenset({"cpu_model"}))) == []
