"""A spec and a place become the exact engine request. Pure: no I/O, no clock, no environment variables.

- `Plan.request` is the body of the engine API's `POST /containers/create`, whole: what tests compare is what is sent.
- What keeps the run hermetic is constant here; a spec cannot loosen it (only `network: true` opens the network).
- Container variables and files depend on the spec and the GPUs alone, never on the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from executor.engine.how import WATCHED, How
from executor.facts import GpuFacts
from executor.spec.canonical import canonical_bytes
from executor.spec.model import Gpu, Spec, param_variables

CONTROL = "/run/executor"
"""Where the container finds its spec, its parameters and the inside room."""
USER = "1000:1000"
"""User and group of every run: never root."""
LABEL = "io.repro-executor"
"""Prefix of the labels by which containers are found again."""
REPORT = f"{CONTROL}/report"
"""Where the inside room leaves what it says."""
TOOL_TIMEOUT = 900
"""Seconds after which a tool of the inside room is stopped: a file that it reads may be endless."""
OPEN_FILES = 16_384
"""Files that a process may have open: more than an engine without privileges may give would not start."""
LOG_LIMIT = 64 * 2**20
"""Bytes of log that are kept of one run."""

_NUMPY_AVX512 = "X86_V4,AVX512_ICL,AVX512_SPR,AVX512F,AVX512CD,AVX512_SKX,AVX512_CLX,AVX512_CNL"
_INSTRUCTIONS = {
    "default": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": f"{_NUMPY_AVX512},X86_V3,AVX2,FMA3",
    },
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": _NUMPY_AVX512,
    },
    "avx512": {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "OPENBLAS_CORETYPE": "SkylakeX",
    },
}
"""What each numeric library calls an instruction set; numpy's names are of its versions before and since 2.4."""
_PORTABLE = {"MKL_CBWR": "COMPATIBLE", "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3"}


@dataclass(frozen=True)
class Placement:
    """Where one attempt runs."""

    attempt: str
    """Attempt id."""
    image: str
    """What the engine is asked for: its own id of the verified image."""
    work: Path
    """Folder of the attempt: `code`, `outputs`, `report`, and `control` with the inside room lie in it."""
    data: Mapping[str, Path]
    """Verified data tree of each name."""
    cpus: tuple[int, ...]
    """CPU numbers to run on, as many as the spec's threads."""
    gpus: tuple[GpuFacts, ...] = ()
    """The GPUs that were chosen; none on another machine, whose GPUs cannot be seen from here."""
    gpu_request: str = "nvidia"
    """How the engine hands over GPUs: `nvidia` or `cdi`."""
    secrets: Path | None = None
    """Folder in memory of the values of the spec's secrets; none when it has no secrets."""
    pythonpath: str = ""
    """`PYTHONPATH` that the image sets, kept behind ours."""
    disk: int | None = None
    """Bytes of the largest file that it may write, where no file system limits the run."""
    limits: bool = True
    """Whether limits of processes are asked for: Podman adds some of its own to them, which it may be refused."""
    remote: bool = False
    """Whether the engine is on another machine, to which folders must be carried."""


@dataclass(frozen=True)
class Plan:
    """Everything that will be asked of the engine."""

    request: Mapping[str, Any]
    """Body of the engine's create request; runs the user's command through the inside room."""
    files: Mapping[str, bytes]
    """Control files by name, mounted read-only at `/run/executor/<name>`."""
    timeout: int | None
    """Seconds until the run is stopped."""
    carried: Mapping[str, Path] = field(default_factory=dict)
    """Folders here by their place in the container, for an engine that does not see them: it has volumes instead."""

    @property
    def attempt(self) -> str:
        """Attempt id."""
        return str(self.request["Labels"][f"{LABEL}.attempt"])

    @property
    def carrier(self) -> dict[str, Any]:
        """The same request with all of it writable: of a container that is filled, and never started."""
        host = self.request["HostConfig"]
        mounts = [mount | {"ReadOnly": False} for mount in host["Mounts"]]
        return {**self.request, "HostConfig": {**host, "ReadonlyRootfs": False, "Mounts": mounts}}

    def bare(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        """The same request without the inside room, for images that have no Python."""
        return {**self.request, "Entrypoint": list(arguments), "Cmd": []}


def make_plan(spec: Spec, placement: Placement, how: How = WATCHED, *, allow: frozenset[str] = frozenset()) -> Plan:
    """Turn `spec` at `placement` into the exact request; `allow` names fields the inside room may find different."""
    set_up = variables(spec, placement.pythonpath, how)
    request = {
        "Image": placement.image,
        "Hostname": "executor",
        "User": USER,
        "WorkingDir": spec.workdir if spec.code else "/outputs",
        "Entrypoint": ["python3", f"{CONTROL}/inside", "--"],
        "Cmd": list(spec.arguments),
        "Env": [f"{name}={value}" for name, value in sorted(set_up.items())],
        "Labels": {f"{LABEL}.attempt": placement.attempt, f"{LABEL}.spec": spec.hash.hex},
        "Tty": False,
        "OpenStdin": False,
        "NetworkDisabled": False,  # `none` below isolates; disabled, there would be no name for the loopback either
        "StopSignal": "SIGTERM",
        "HostConfig": _host_config(spec, placement),
    }
    files = {
        "spec.json": spec.canonical(),
        "params.json": canonical_bytes(spec.params),
        "plan.json": canonical_bytes(_expectation(spec, placement, how, allow)),
    }
    folders = {target: folder for target, (_, folder, _) in _folders(spec, placement).items()}
    return Plan(request, files, spec.resources.timeout, carried=folders if placement.remote else {})


def tool_plan(spec: Spec, placement: Placement, tool: str, request: Mapping[str, Any], how: How = WATCHED) -> Plan:
    """The plan by which a tool of the inside room runs in the run's own image, with `/data` as it is placed."""
    plan = make_plan(spec, placement, replace(how, trace="off"))
    told = json.loads(plan.files["plan.json"]) | {tool: dict(request)}
    return replace(
        plan,
        request={**plan.request, "Entrypoint": ["python3", f"{CONTROL}/inside", tool], "Cmd": [],
                 "HostConfig": {**plan.request["HostConfig"], "NetworkMode": "none"}},
        files={**plan.files, "plan.json": canonical_bytes(told)},
        timeout=TOOL_TIMEOUT,
    )  # fmt: skip


def variables(spec: Spec, pythonpath: str = "", how: How = WATCHED) -> dict[str, str]:
    """Environment variables of the run; a spec's own `env` cannot replace those that start processes alike."""
    numeric = _numeric(spec) | _gpu_variables(spec)
    found = {**numeric, **spec.env, **_fixed(spec, pythonpath), **param_variables(spec.params)}
    if how.relaxed:
        found["EXECUTOR_RELAXED"] = ",".join(how.relaxed)
    found |= {name: value for name, value in how.variables.items() if value is not None}
    return {name: value for name, value in found.items() if how.variables.get(name, value) is not None}


def _fixed(spec: Spec, pythonpath: str) -> dict[str, str]:
    return {
        "HOME": "/tmp",  # noqa: S108 the container's own tmpfs
        "HOSTNAME": "executor",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        # 64 bits folded into 32 as `inside/seed.py` does it for numpy
        "PYTHONHASHSEED": str((spec.seed ^ spec.seed >> 32) & 0xFFFFFFFF),
        "PYTHONPATH": f"{CONTROL}/inside/boot" + (f":{pythonpath}" if pythonpath else ""),
        "EXECUTOR_SEED": str(spec.seed),
        "EXECUTOR_SPEC_HASH": spec.hash.hex,
        "EXECUTOR_STEPS": f"{REPORT}/steps.jsonl",
    }


def _numeric(spec: Spec) -> dict[str, str]:
    threads = str(spec.cpu.threads)
    found = {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NUMEXPR_NUM_THREADS": threads,
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "OMP_WAIT_POLICY": "passive",  # no MKL_NUM_THREADS: torch would follow it over a program's own OMP_NUM_THREADS
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "SOURCE_DATE_EPOCH": "315532800",  # 1980-01-01, the first day that a zip archive can hold
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "0" if spec.network else "1",
        "HF_DATASETS_OFFLINE": "0" if spec.network else "1",
        "ATEN_CPU_CAPABILITY": spec.cpu.isa,
        **_INSTRUCTIONS[spec.cpu.isa],
    }
    if spec.determinism != "off":
        found["TORCHINDUCTOR_DETERMINISTIC"] = "1"
    return found | (_PORTABLE if spec.tier == "portable" else {})


def _gpu_variables(spec: Spec) -> dict[str, str]:
    if spec.gpu is None:
        # some images ask for every GPU, and a default GPU runtime would obey
        return {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}
    found = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if spec.determinism == "off":
        return found
    return found | {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
        "NVTE_ALLOW_NONDETERMINISTIC_ALGO": "0",
        "FLASH_ATTENTION_DETERMINISTIC": "1",
        "MAMBA_DETERMINISTIC": "1",
        "CAUSAL_CONV1D_DETERMINISTIC": "1",
        "TF_DETERMINISTIC_OPS": "1",
        "XLA_FLAGS": "--xla_gpu_exclude_nondeterministic_ops=true",
        **({"NCCL_ALGO": "Ring", "NCCL_PROTO": "Simple", "NCCL_NVLS_ENABLE": "0"} if spec.gpu.count > 1 else {}),
    }


def _host_config(spec: Spec, placement: Placement) -> dict[str, Any]:
    resources = spec.resources
    return {
        "NetworkMode": "bridge" if spec.network else "none",
        "ReadonlyRootfs": True,
        "ExtraHosts": ["executor:127.0.0.1"],  # ranks of one run find each other by the name of their host
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "Init": True,
        "AutoRemove": False,
        "PidsLimit": resources.pids,
        "Memory": resources.memory,
        "MemorySwap": resources.memory,
        "ShmSize": resources.shm,
        "CpusetCpus": ",".join(str(cpu) for cpu in placement.cpus),
        # charged to the run's memory limit, so no larger bound is needed; `exec` because compilers build there
        "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={resources.memory}"},  # noqa: S108
        "LogConfig": _log_config(placement),
        "RestartPolicy": {"Name": "no"},
        "CgroupnsMode": "private",
        "OomScoreAdj": 500,  # a machine without memory kills the run, nothing of its own
        "Ulimits": [{"Name": name, "Soft": value, "Hard": value} for name, value in _ulimits(placement).items()],
        "Mounts": _mounts(spec, placement),
        "DeviceRequests": _device_requests(spec.gpu, placement) if spec.gpu else [],
    }


def _log_config(placement: Placement) -> dict[str, Any]:
    """The engine's own bounded log, for when we lose it; none of a run that may print a secret: it cannot hide it."""
    if placement.secrets:
        return {"Type": "none", "Config": {}}
    return {"Type": "json-file", "Config": {"max-size": str(LOG_LIMIT), "max-file": "2"}}


def _ulimits(placement: Placement) -> dict[str, int]:
    """No core dumps, and as many open files on every machine."""
    if not placement.limits:
        return {}
    return {"core": 0, "nofile": OPEN_FILES, **({"fsize": placement.disk} if placement.disk else {})}


def _folders(spec: Spec, placement: Placement) -> dict[str, tuple[str, Path, bool]]:
    """By place in the container: name, folder here, and whether the run may write to it."""
    work = placement.work
    return {
        CONTROL: ("control", work / "control", False),
        REPORT: ("report", work / "report", True),
        "/outputs": ("outputs", work / "outputs", True),
        **({"/code": ("code", work / "code", True)} if spec.code else {}),
        **({"/run/secrets": ("secrets", placement.secrets, False)} if placement.secrets else {}),
        **{f"/data/{name}": (f"data-{name}", path, False) for name, path in sorted(placement.data.items())},
    }


def _mounts(spec: Spec, placement: Placement) -> list[dict[str, Any]]:
    def source(name: str, folder: Path) -> dict[str, Any]:
        if not placement.remote:
            return {"Type": "bind", "Source": str(folder)}
        options = {"NoCopy": True, "Labels": {f"{LABEL}.attempt": placement.attempt}}
        return {"Type": "volume", "Source": f"executor-{placement.attempt}-{name}", "VolumeOptions": options}

    return [
        {**source(name, folder), "Target": target, "ReadOnly": not writable}
        for target, (name, folder, writable) in _folders(spec, placement).items()
    ]


def _device_requests(gpu: Gpu, placement: Placement) -> list[dict[str, Any]]:
    uuids = [gpu.uuid for gpu in placement.gpus]
    if placement.gpu_request == "cdi":
        names = map(str, range(gpu.count)) if placement.remote else uuids
        return [{"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={name}" for name in names]}]
    which = {"Count": gpu.count} if placement.remote else {"DeviceIDs": uuids}
    return [{"Driver": "nvidia", **which, "Capabilities": [["gpu", "compute", "utility"]]}]


def _expected_gpus(gpu: Gpu, placement: Placement) -> list[dict[str, str]]:
    """Name and serial number of each GPU; the latter is empty where nobody could look before."""
    if placement.remote:
        return [{"name": gpu.type, "uuid": ""}] * gpu.count
    return [{"name": gpu.name, "uuid": gpu.uuid} for gpu in placement.gpus]


def _expectation(spec: Spec, placement: Placement, how: How, allow: frozenset[str]) -> dict[str, Any]:
    """What the inside room is to find before it starts the user's program."""
    return {
        "expect": {
            "threads": how.threads or spec.cpu.threads,
            "cpus": len(placement.cpus),
            "torch": None,
            "isa": spec.cpu.isa,
            "gpus": _expected_gpus(spec.gpu, placement) if spec.gpu else [],
        },
        "seed": spec.seed,
        "determinism": how.determinism or spec.determinism,
        "tier": spec.tier,
        "workdir": spec.workdir if spec.code else "/outputs",
        "allow": sorted(allow),
        "trace": how.plan(),
    }
