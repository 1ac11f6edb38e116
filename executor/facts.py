"""What was observed, as frozen values: host, GPUs, engine, container, outputs, and the findings of checking them.

Pure: no I/O. The rooms that observe (`environment`, `engine`) and the room that keeps (`evidence`) meet in these words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from executor.spec.scalars import DigestField

Severity = Literal["refuse", "warn", "info"]
Role = Literal["weights", "metrics", "file", "ignored"]


class Fact(BaseModel):
    """A frozen observation; fields of a later version are ignored when an old program reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")


class Finding(Fact):
    """One line of a check."""

    field: str
    """What was checked, such as `gpu.type`; the name that `--allow` takes."""
    expected: str
    observed: str
    severity: Severity
    advice: str = ""
    allowed: bool = False
    """True when the user named this field in `--allow`."""


def refused(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that stop a run."""
    return [finding for finding in findings if finding.severity == "refuse" and not finding.allowed]


class GpuFacts(Fact):
    """One GPU, or one MIG instance, as NVML sees it."""

    index: int
    uuid: str
    name: str
    """Product name; of a MIG instance, with its profile."""
    memory: int
    """Bytes."""
    memory_used: int = 0
    """Bytes in use when it was looked at."""
    compute_capability: str = ""
    """Such as `9.0`."""
    multiprocessors: int | None = None
    mig: bool = False
    """Whether MIG mode is on for the physical GPU."""
    ecc: bool | None = None
    processes: int = 0
    """Compute processes of others on it."""


class HostFacts(Fact):
    """The machine that the executor runs on."""

    hostname: str
    kernel: str
    os: str
    """Pretty name of the distribution."""
    architecture: str
    """As `uname -m` gives it."""
    cpu_model: str
    cpu_stepping: str = ""
    """Family, model, stepping and microcode of the CPU, joined by `/`."""
    cpu_caches: tuple[str, ...] = ()
    """Caches of the first CPU, such as `L2 1024K`: oneDNN blocks its loops by them."""
    isa: tuple[str, ...]
    """Of `avx2`, `avx512`: those the CPU has (`default` always holds)."""
    cpus: tuple[int, ...]
    """CPU numbers that this process may use."""
    memory: int
    """Bytes."""
    disk_free: int
    """Bytes free where caches and outputs lie."""
    gpus: tuple[GpuFacts, ...] = ()
    gpu_driver: str | None = None
    """NVIDIA driver version; none when there is no driver."""
    cuda_driver: str | None = None
    """Newest CUDA version that the driver supports, such as `13.0`."""
    time: datetime
    """Host clock, UTC."""


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What registries call the architectures that `uname -m` names otherwise."""


def is_local(address: str) -> bool:
    """Whether the engine at this address runs its containers on this machine."""
    return address.startswith(("unix:", "tcp://127.", "tcp://localhost", "http+unix:"))


class EngineFacts(Fact):
    """The container engine."""

    name: str
    """`docker` or `podman`."""
    version: str
    api_version: str
    address: str
    """`unix://…`, `ssh://…`, `tcp://…`."""
    architecture: str
    kernel: str
    cpus: int
    memory: int
    """Bytes."""
    storage_driver: str
    cgroup_version: str
    security: tuple[str, ...]
    """Security options, such as `name=seccomp,profile=default`."""
    gpu_requests: tuple[str, ...]
    """Ways this engine gives a container GPUs: of `nvidia`, `cdi`; empty when it cannot."""
    cdi_devices: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether its containers run on this machine, and see this machine's folders."""
        return is_local(self.address)

    @property
    def platform(self) -> str:
        """Its architecture as registries spell it: `amd64`, `arm64`."""
        return ARCHITECTURES.get(self.architecture, self.architecture)


class ImageFacts(Fact):
    """An image as the engine has it."""

    digest: DigestField
    """Manifest digest that it was asked for by."""
    id: str
    """The engine's own id of it."""
    size: int
    """Bytes."""
    architecture: str
    environment: dict[str, str]
    """Variables that the image sets, `NVIDIA_REQUIRE_CUDA` and `CUDA_VERSION` among them."""
    entrypoint: tuple[str, ...] = ()
    source: str = ""
    """Where it came from: `engine`, a registry, or a store."""


class ContainerFacts(Fact):
    """What the container saw of itself, from inside, before the user's command."""

    checked: bool
    """False when the image has no Python, so that nothing could be looked at from inside."""
    reason: str = ""
    """Why not, when not checked."""
    python: str = ""
    """Version of the Python that the checks ran on."""
    glibc: str = ""
    cpus: tuple[int, ...] = ()
    """CPU numbers visible inside."""
    torch: str | None = None
    """Version of torch, none when the image lacks it."""
    torch_build: str = ""
    """`torch.__config__.show()`."""
    torch_cuda: str | None = None
    cudnn: str | None = None
    threads: int | None = None
    """Intra-op threads that torch really uses."""
    isa: str | None = None
    """CPU capability that torch really dispatches to, such as `AVX2`."""
    gpus: tuple[GpuFacts, ...] = ()
    distributions: dict[str, str] = {}
    """Python distributions and their versions."""
    settings: dict[str, Any] = {}
    """Determinism settings in force, by name."""
    environment: dict[str, str] = {}
    """Environment variables that change numbers."""
    probe: dict[str, str] = {}
    """The numeric probe: operation to 16 hex digits of what it gave."""
    nccl: str | None = None
    cublas: str | None = None


class Fingerprint(Fact):
    """What was observed of host, engine, image and container, before the user's command ran."""

    host: HostFacts
    engine: EngineFacts
    image: ImageFacts | None = None
    """None until the engine has the image."""
    container: ContainerFacts | None = None
    """None until it was looked at from inside."""


class Outcome(Fact):
    """How one execution of a container ended."""

    exit_code: int | None
    """Of the user's program; none when it never started or its end was not seen."""
    oom_killed: bool = False
    disk_full: bool = False
    """Whether it wrote as much as it may, though it may have ended well."""
    timed_out: bool = False
    interrupted: bool = False
    """Stopped by us on Ctrl-C or SIGTERM, or lost with the engine."""
    reason: str = ""
    """One sentence when it did not end by itself."""
    started: datetime
    finished: datetime
    log_tail: str = ""
    """The last lines that the program printed."""
    log_dropped: int = 0
    """Bytes of log beyond the limit that were not kept."""

    @property
    def runtime_s(self) -> float:
        """Wall time in seconds; 0 when the engine noted the end of a short program before its beginning."""
        return max(0.0, (self.finished - self.started).total_seconds())


class OutputFile(Fact):
    """One collected file."""

    path: str
    """Relative to `/outputs`, `/` between names."""
    digest: DigestField
    size: int
    """Bytes."""
    role: Role
    """`weights`, `metrics` and `file` are compared bit for bit; `ignored` is kept and never compared."""
    executable: bool = False
