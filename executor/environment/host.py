"""The machine that the executor runs on, read from `/proc`, `/etc/os-release` and the kernel."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from executor.environment.gpu import GpuReading
from executor.facts import HostFacts

ISA_FLAGS = {
    "avx2": frozenset({"avx2", "fma"}),
    "avx512": frozenset({"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}),
}
"""CPU flags that each instruction set of a spec needs: those that PyTorch asks for before it dispatches to it."""


def read(now: datetime, disk: Path, gpus: GpuReading, *, root: Path = Path("/")) -> HostFacts:
    """Look at this machine: `now` is its clock (UTC), `disk` the folder whose free space counts.

    `root` holds `proc` and `etc`. Raises `OSError` where `/proc` cannot be read: this is Linux only.
    """
    uname = os.uname()
    cpu = dict(_pairs(root / "proc/cpuinfo"))
    return HostFacts(
        hostname=uname.nodename,
        kernel=uname.release,
        os=_os_name(root),
        architecture=uname.machine,
        cpu_model=_cpu_model(cpu) or uname.machine,
        cpu_stepping="/".join(cpu.get(key, "?") for key in ("cpu family", "model", "stepping", "microcode")),
        cpu_caches=_caches(root / "sys/devices/system/cpu/cpu0/cache"),
        isa=_isa(cpu.get("flags", "")),
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        memory=_memory(root / "proc/meminfo"),
        disk_free=shutil.disk_usage(_existing(disk)).free,
        gpus=gpus.gpus,
        gpu_driver=gpus.driver,
        cuda_driver=gpus.cuda,
        time=now,
    )


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """`key : value` lines, the last first, so that a dict keeps the first CPU's."""
    for line in reversed(path.read_text("utf-8", "replace").splitlines()):
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()


def _cpu_model(cpu: dict[str, str]) -> str:
    """Model name of x86, or implementer and part as Arm gives them."""
    part = " ".join(cpu[key] for key in ("CPU implementer", "CPU part", "CPU variant") if key in cpu)
    return " ".join(cpu.get("model name", part).split())


def _caches(folder: Path) -> tuple[str, ...]:
    """Level and size of each cache, as the kernel names them; none where it names none."""
    found = []
    for index in sorted(folder.glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            found.append(f"L{level} {kind} {size}")
    return tuple(found)


def _isa(flags: str) -> tuple[str, ...]:
    found = frozenset(flags.split())
    return tuple(name for name, needed in ISA_FLAGS.items() if needed <= found)


def _memory(path: Path) -> int:
    total, unit = dict(_pairs(path))["MemTotal"].split()
    if unit != "kB":
        raise OSError(f"{path}: MemTotal is in {unit}, expected kB")
    return int(total) * 1024


def _os_name(root: Path) -> str:
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        if path.is_file():
            release = dict(word.partition("=")[::2] for word in shlex.split(path.read_text("utf-8"), comments=True))
            return release.get("PRETTY_NAME", "Linux")
    return "Linux"


def _existing(path: Path) -> Path:
    """The nearest folder that exists: caches are made later, on the same disk."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
