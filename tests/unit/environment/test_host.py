from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from executor.environment import host
from executor.environment.gpu import GpuReading
from executor.facts import HostFacts
from tests.unit.environment import samples

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
AVX512 = "avx512f avx512bw avx512dq avx512vl"


def machine(
    root: Path, cpuinfo: str, os_release: str | None = 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12"\n'
) -> HostFacts:
    (root / "proc").mkdir()
    (root / "etc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    (root / "proc/meminfo").write_text("MemTotal:        2048 kB\nMemFree:  1 kB\n")
    if os_release is not None:
        (root / "etc/os-release").write_text(os_release)
    return host.read(NOW, root, GpuReading(), root=root)


def test_reads_the_first_cpu_memory_and_distribution(tmp_path: Path) -> None:
    facts = machine(
        tmp_path, "model name\t: AMD  EPYC 9654\nflags\t\t: sse avx2 fma\n\nmodel name\t: other\nflags\t\t: sse\n"
    )
    assert (facts.cpu_model, facts.isa, facts.memory) == ("AMD EPYC 9654", ("avx2",), 2048 * 1024)
    assert facts.os == "Debian GNU/Linux 12"
    assert facts.time == NOW


@pytest.mark.parametrize(
    ("flags", "isa"),
    [
        ("sse", ()),
        ("avx2", ()),
        ("avx2 fma", ("avx2",)),
        ("avx2 fma avx512f", ("avx2",)),
        (f"avx2 fma {AVX512}", ("avx2", "avx512")),
        (f"avx2 {AVX512}", ()),
    ],
)
def test_an_instruction_set_needs_all_its_flags(tmp_path: Path, flags: str, isa: tuple[str, ...]) -> None:
    assert machine(tmp_path, f"model name : x\nflags : {flags}\n").isa == isa


def test_an_arm_cpu_is_named_by_its_part(tmp_path: Path) -> None:
    facts = machine(tmp_path, "CPU implementer : 0x41\nCPU variant : 0x3\nCPU part : 0xd0c\n", os_release=None)
    assert (facts.cpu_model, facts.isa, facts.os) == ("0x41 0xd0c 0x3", (), "Linux")


def test_the_nearest_existing_folder_says_how_much_is_free(tmp_path: Path) -> None:
    assert host.read(NOW, tmp_path / "not" / "yet", GpuReading()).disk_free > 0


def test_reads_this_machine() -> None:
    reading = GpuReading(gpus=(samples.gpu(),), driver="580.65.06", cuda="13.0")
    facts = host.read(NOW, Path("/"), reading)
    assert facts.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert facts.memory > 2**28
    assert (facts.gpus, facts.gpu_driver, facts.cuda_driver) == (reading.gpus, "580.65.06", "13.0")


def test_memory_in_another_unit_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 5 MB\n")
    with pytest.raises(OSError, match="expected kB"):
        host._memory(tmp_path / "meminfo")
