"""A machine on which everything is well; tests change one thing at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from executor.environment.checks import StoreFacts
from executor.facts import ContainerFacts, EngineFacts, Fingerprint, GpuFacts, HostFacts, ImageFacts
from executor.spec.canonical import Digest
from executor.spec.model import Spec

DIGEST = "sha256:" + "ab" * 32
H100 = "NVIDIA H100 80GB HBM3"


def spec(**changes: Any) -> Spec:
    known: dict[str, Any] = {
        "version": 1, "name": "digits", "image": f"registry.example.org/ml/torch@{DIGEST}", "command": ("true",),
        "seed": 1, "cpu": {"threads": 2},
    }  # fmt: skip
    return Spec.model_validate(known | changes)


def gpu_spec(count: int = 1, kind: str = H100, **changes: Any) -> Spec:
    return spec(gpu={"type": kind, "count": count}, **changes)


def gpu(index: int = 0, **changes: Any) -> GpuFacts:
    known = {
        "index": index, "uuid": f"GPU-{index}", "name": H100, "memory": 80 * 2**30, "memory_used": 2**29,
        "compute_capability": "9.0",
    }  # fmt: skip
    return GpuFacts.model_validate(known | changes)


def host(**changes: Any) -> HostFacts:
    known = {
        "hostname": "node1", "kernel": "6.1.0", "os": "Debian GNU/Linux 12 (bookworm)", "architecture": "x86_64",
        "cpu_model": "AMD EPYC 9654", "isa": ("avx2", "avx512"), "cpus": (0, 1, 2, 3), "memory": 16 * 2**30,
        "disk_free": 100 * 2**30, "time": datetime(2026, 11, 1, tzinfo=UTC),
    }  # fmt: skip
    return HostFacts.model_validate(known | changes)


def gpu_host(*gpus: GpuFacts, **changes: Any) -> HostFacts:
    return host(gpus=gpus or (gpu(),), gpu_driver="580.65.06", cuda_driver="13.0", **changes)


def engine(**changes: Any) -> EngineFacts:
    known = {
        "name": "docker", "version": "28.1.1", "api_version": "1.49", "address": "unix:///var/run/docker.sock",
        "architecture": "x86_64", "kernel": "6.1.0", "cpus": 4, "memory": 16 * 2**30, "storage_driver": "overlay2",
        "cgroup_version": "2", "security": ("name=seccomp,profile=builtin",), "gpu_requests": ("nvidia",),
    }  # fmt: skip
    return EngineFacts.model_validate(known | changes)


def image(**changes: Any) -> ImageFacts:
    known = {
        "digest": Digest.parse(DIGEST), "id": DIGEST, "size": 2**30, "architecture": "amd64", "environment": {},
    }  # fmt: skip
    return ImageFacts.model_validate(known | changes)


def store(**changes: Any) -> StoreFacts:
    return StoreFacts.model_validate({"address": "s3://runs", "skew_s": 0.0} | changes)


def container(**changes: Any) -> ContainerFacts:
    known = {
        "checked": True, "python": "3.11.2", "glibc": "2.36", "cpus": (0, 1), "torch": "2.13.0", "threads": 2,
        "isa": "AVX2", "distributions": {"numpy": "2.4.6", "torch": "2.13.0"},
    }  # fmt: skip
    return ContainerFacts.model_validate(known | changes)


def fingerprint(**changes: Any) -> Fingerprint:
    known = {"host": host(), "engine": engine(), "image": image(), "container": container()}
    return Fingerprint.model_validate(known | changes)
