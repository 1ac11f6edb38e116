from pathlib import Path

import pytest

from executor import log
from executor.environment.gpu import GpuReading
from tests.unit.sites import World, same_host


@pytest.fixture(autouse=True)
def events_for_people() -> None:
    """What one test set up for its events is no other's business."""
    log.configure()


@pytest.fixture(autouse=True)
def plain_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks of runs are plain folders, whoever runs the tests; those that test disks mount them."""
    monkeypatch.setattr("executor.steps.disk._mount", lambda *_: "a unit test mounts nothing")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("executor.environment.host.read", same_host)
    monkeypatch.setattr("executor.environment.gpu.look", GpuReading)
    return World(tmp_path)
