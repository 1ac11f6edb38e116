from pathlib import Path

import pytest

from executor.engine.inputs import prepare_data
from executor.engine.private import require_data
from executor.errors import UsageError
from executor.spec.canonical import Digest
from executor.spec.model import Data
from executor.spec.tree import HashCache


@pytest.mark.parametrize(
    "place", ["/", "/etc", "/etc/ssl/certs", "/proc/self", "/dev/shm", "/sys", "/run/docker.sock", "/var/run", "/boot",
              "/root/.ssh", "/home/ada/.aws/credentials", "/home/ada/data/../.kube", "/var/lib/docker/overlay2"],
)  # fmt: skip
def test_what_belongs_to_the_machine_is_no_data(place: str) -> None:
    with pytest.raises(UsageError, match=r"data\.d: .* belongs to this machine"):
        require_data("d", Path(place))


@pytest.mark.parametrize("place", ["/root/project/data", "/srv/data", "/etcetera", "/run/media/ada/disk", "/data/ssh"])
def test_other_folders_are(place: str) -> None:
    require_data("d", Path(place))


def test_a_link_does_not_hide_it_and_nothing_of_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    wanted = Data(hash=Digest.of(b""), source=str(tmp_path / "data"))
    with pytest.raises(UsageError, match="/etc belongs to this machine"):
        prepare_data("d", wanted, tmp_path / "cache", {}, hashes=HashCache(tmp_path / "hashes", 0))
