from __future__ import annotations

from typing import Any

import pytest

from executor.engine.answers import engine_facts, image_facts, registry_error
from executor.errors import ExecutorError, ImageNotFound, RegistryUnreachable
from executor.spec.canonical import Digest

INFO = {"Architecture": "x86_64", "KernelVersion": "6.1", "NCPU": 2, "MemTotal": 1, "Driver": "overlay2"}
VERSION = {"Version": "28.2.2", "ApiVersion": "1.50"}
CDI = [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}, {"Source": "other", "ID": "x"}]


@pytest.mark.parametrize(
    ("info", "version", "name", "requests"),
    [
        ({}, {}, "docker", ()),
        ({"Runtimes": {"nvidia": {}}, "DiscoveredDevices": CDI}, {}, "docker", ("nvidia", "cdi")),
        ({"DiscoveredDevices": CDI}, {}, "docker", ("cdi",)),
        ({"Runtimes": {"nvidia": {}}}, {"Components": [{"Name": "Podman Engine"}]}, "podman", ()),
    ],
)
def test_how_an_engine_gives_gpus(info: dict[str, Any], version: dict[str, Any], name: str, requests: Any) -> None:
    facts = engine_facts("unix:///socket", INFO | info, VERSION | version)
    assert (facts.name, facts.gpu_requests) == (name, requests)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("ssh://me@node2", False),
        ("tcp://node2:2376", False),
    ],
)
def test_an_engine_of_another_machine_is_known_by_its_address(address: str, local: bool) -> None:
    assert engine_facts(address, INFO, VERSION).local is local


def test_an_image_without_settings_has_none() -> None:
    found = {"Id": "sha256:1", "Size": 2, "Architecture": "amd64", "Config": None}
    facts = image_facts(found, Digest("a" * 64))
    assert (facts.id, facts.environment, facts.entrypoint) == ("sha256:1", {}, ())


@pytest.mark.parametrize(
    ("words", "kind"),
    [("manifest unknown", ImageNotFound), ("access Denied", ImageNotFound), ("i/o timeout", RegistryUnreachable)],
)
def test_a_registry_that_has_it_not_is_told_from_one_that_is_away(words: str, kind: type[ExecutorError]) -> None:
    assert type(registry_error("host/name", words)) is kind
