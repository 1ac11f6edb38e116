"""What every test shares: no disk of a run stays mounted when the tests have ended; examples are not timed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from executor.steps.disk import release

# How long one example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def disks_are_released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A result that a test had kept on purpose keeps its disk."""
    yield
    below = f"{tmp_path_factory.getbasetemp()}/"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if (folder := line.split()[1]).startswith(below):
            release(Path(folder))
