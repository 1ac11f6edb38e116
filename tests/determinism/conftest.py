"""Fixtures of integration tests, and a machine that all folders of the catalogue share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import engine, torch_image
from tests.integration.site import Machine, docker

__all__ = ["engine", "torch_image"]


@dataclass(frozen=True)
class Cpu:
    """What the engine's machine has."""

    count: int
    vendor: str
    flags: frozenset[str]


@pytest.fixture(scope="session")
def cpu(torch_image: str) -> Cpu:
    """The CPUs that a container sees, which need not be this machine's."""
    lines = docker("run", "--rm", "--network=none", torch_image, "cat", "/proc/cpuinfo").splitlines()
    fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    found: Mapping[str, str] = dict(fields)
    count = sum(name == "processor" for name, _ in fields)
    return Cpu(count, found.get("vendor_id", ""), frozenset(found.get("flags", "").split()))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One home and one store for the whole catalogue."""
    folder: Path = tmp_path_factory.mktemp("determinism")
    return Machine(folder, f"file:{folder}/store")
