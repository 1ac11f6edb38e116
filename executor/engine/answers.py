"""The engine's answers become facts and errors in our words. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executor.engine.interface import variables_of
from executor.errors import ImageNotFound, RegistryUnreachable
from executor.facts import EngineFacts, ImageFacts
from executor.spec.canonical import Digest


def engine_facts(address: str, info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """What `/info` and `/version` say."""
    podman = any("podman" in part.get("Name", "").lower() for part in version.get("Components") or ())
    cdi = tuple(d["ID"] for d in info.get("DiscoveredDevices") or () if d.get("Source") == "cdi")
    nvidia = "nvidia" in (info.get("Runtimes") or {}) and not podman
    return EngineFacts(
        name="podman" if podman else "docker",
        version=version["Version"],
        api_version=version["ApiVersion"],
        address=address,
        architecture=info["Architecture"],
        kernel=info["KernelVersion"],
        cpus=info["NCPU"],
        memory=info["MemTotal"],
        storage_driver=info["Driver"],
        cgroup_version=str(info.get("CgroupVersion", "")),
        security=tuple(info.get("SecurityOptions") or ()),
        gpu_requests=("nvidia",) * nvidia + ("cdi",) * bool(cdi),
        cdi_devices=cdi,
    )


def image_facts(found: Mapping[str, Any], digest: Digest) -> ImageFacts:
    """What inspecting an image says."""
    config = found.get("Config") or {}
    return ImageFacts(
        digest=digest,
        id=found["Id"],
        size=found["Size"],
        architecture=found["Architecture"],
        environment=variables_of(config.get("Env")),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        source="engine",
    )


def registry_error(reference: str, words: str) -> ImageNotFound | RegistryUnreachable:
    """Why a registry did not give an image: it is not there, or nothing answered."""
    low = words.lower()
    if any(sign in low for sign in ("not found", "manifest unknown", "does not exist", "denied")):
        return ImageNotFound(f"{reference}: {words}", advice="check the name and the digest, and that you may read it")
    return RegistryUnreachable(f"{reference}: {words}", advice="check the network and the registry's name")
