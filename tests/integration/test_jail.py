"""The container is a jail: a real run looks for every way out, and what it may fill or flood is bounded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from executor.engine.plan import LABEL, OPEN_FILES
from tests.integration.conftest import MakeMachine, S3Server
from tests.integration.site import EXECUTOR, PATIENCE, TORCH, Machine, docker, locked, project, wait_until
from tests.ran import Ran

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PROBE = Path(__file__).with_name("jail_probe.py").read_text()
DRAFT = f"""
version: 1
name: jail
image: {TORCH}
code: {{repo: .}}
command: [python3, run.py]
seed: 1
gpu: none
determinism: off
"""
CANARY = "canary-5f1b9e0c7d"
"""A value of the executor's own environment that no run may see."""
METADATA = [["169.254.169.254", 80], ["fd00:ec2::254", 80], ["100.100.100.200", 80]]
SEALED_WRITES = (
    "/new", "/usr/new", "/etc/passwd", "/run/executor/new", "/run/executor/inside/new", "/run/executor/spec.json",
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/new", "/sys/fs/cgroup/new", "/dev/new",
)  # fmt: skip
OPEN_WRITES = ("/tmp/new", "/outputs/new", "/code/new", "/dev/shm/new", "/run/executor/report/new")
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats")
DEVICES = {
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
    "tty", "urandom", "zero",
}  # fmt: skip
SYSTEM = {
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root",
    "run", "sbin", "srv", "sys", "tmp", "usr", "var", ".dockerenv",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What the probe saw, and what the engine said of its container meanwhile."""

    inside: dict[str, Any]
    inspected: str
    view: dict[str, Any]
    ran: Ran

    @property
    def host(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.inspected)[0]["HostConfig"]
        return found


def torch_images(images: Mapping[str, str]) -> str:
    return DRAFT.replace(f"image: {TORCH}\n", f"image: {images[TORCH]}\n")


@contextmanager
def held(machine: Machine, spec: Path, *more: str, env: Mapping[str, str]) -> Iterator[tuple[str, list[Ran]]]:
    """The container of a run that waits for `/outputs/go`, and how the run ended, once it may go on."""
    ended: list[Ran] = []
    with subprocess.Popen(
        [EXECUTOR, "submit", "--json", str(spec), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**machine.environment, **env}, cwd=machine.folder, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        ready = wait_until(
            lambda: [*machine.home.glob("attempts/*/work/outputs/ready")] or process.poll() is not None, "the program"
        )
        assert ready is not True, process.communicate()
        (container,) = docker("ps", "-q", f"--filter=label={LABEL}.attempt={ready[0].parents[2].name}").split()
        yield container, ended
        (ready[0].parent / "go").touch()
        out, err = process.communicate(timeout=PATIENCE)
        ended.append(Ran(process.returncode, out, err))


def lock(machine: Machine, images: Mapping[str, str], program: str, more: str = "") -> Path:
    """A locked spec whose program is `run.py`."""
    draft = project(machine.folder / "project", torch_images(images) + more, run_py=program)
    spec = draft.with_name("spec.lock.yaml")
    made = machine.run("lock", draft, "--output", spec)
    assert made.code == 0, made
    return spec


@pytest.fixture(scope="module")
def seen(images: Mapping[str, str], s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("jail")
    machine = Machine(folder, s3_server.fresh_url(), s3_server.env)
    gateway = docker("network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}").strip()
    s3 = urlsplit(s3_server.endpoint)
    ports = [s3.port, *listening()]
    hosts = ["127.0.0.1", gateway or "172.17.0.1", *own_addresses()]
    targets = [[host, port] for host in hosts for port in ports] + METADATA
    params = {"targets": targets, "writes": [*SEALED_WRITES, *OPEN_WRITES], "reads": [*MASKED, "/sys/firmware"]}
    more = f"params: {json.dumps(params)}\nresources: {{memory: 1GiB, pids: 64}}\n"
    spec = lock(machine, images, PROBE, more)
    with held(machine, spec, env={"HF_TOKEN": CANARY, "SOME_TOKEN": CANARY}) as (container, ended):
        inspected = docker("inspect", container)
    (ran,) = ended
    record = machine.record(ran.json)
    file = next(one for one in record.outputs if one.path == "seen.json")
    return Seen(json.loads(machine.store.read_blob(file.digest, 1 << 24)), inspected, ran.json, ran)


def listening() -> list[int]:
    """Ports of this machine that something listens on: the filer's, the engine's, whatever there is."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sorted({int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"})[:20]


def own_addresses() -> list[str]:
    found = {row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)}
    return sorted(str(one) for one in found if not str(one).startswith("127."))


def test_it_has_no_privileges_and_can_gain_none(seen: Seen) -> None:
    status = seen.inside["status"]
    assert {status[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()} == {"1000"}
    for way in ("mknod", "setuid", "chroot", "raw socket"):
        assert seen.inside[way] == "EPERM"
    assert seen.inside["priority"] in ("EPERM", "EACCES")
    assert seen.inside["set-id programs"], "the image has some, which give nothing"
    assert set(seen.inside["su"].split()[1:]) == {"1000"}


def test_it_can_write_to_its_own_folders_alone(seen: Seen) -> None:
    writes = seen.inside["writes"]
    assert {path: writes[path] for path in OPEN_WRITES} == dict.fromkeys(OPEN_WRITES, "done")
    assert {writes[path] for path in SEALED_WRITES} <= {"EROFS", "EACCES", "EPERM", "ENOENT"}


def test_what_the_kernel_shows_is_masked(seen: Seen) -> None:
    assert {seen.inside["reads"][path] for path in MASKED} <= {"0 bytes", "ENOENT", "EACCES"}
    assert seen.inside["mounts"]["/sys/firmware"]["options"][0] == "ro"
    assert "ro" in seen.inside["mounts"]["/sys"]["options"]
    assert set(seen.inside["dev"]) <= DEVICES


def test_nothing_can_be_reached_from_it_and_it_fails_at_once(seen: Seen) -> None:
    assert seen.inside["interfaces"] == ["lo"]
    assert seen.inside["routes"] == []
    assert len(seen.inside["connections"]) > 5
    open_ = {place: said for place, (said, took) in seen.inside["connections"].items()
             if said not in ("ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED") or took > 1}  # fmt: skip
    assert open_ == {}
    refused = [place for place, (said, _) in seen.inside["connections"].items() if said == "ECONNREFUSED"]
    assert all(place.startswith("127.") for place in refused), "its own loopback, where nothing listens"
    assert seen.inside["sockets"] == []


def test_nothing_of_the_executor_s_environment_is_in_it(seen: Seen, s3_server: S3Server) -> None:
    """Neither the container, nor what the engine keeps of it, nor what was stored or said holds a credential."""
    everything = json.dumps(seen.inside) + seen.inspected + json.dumps(seen.view) + seen.ran.out + seen.ran.err
    for secret in (CANARY, s3_server.secret_key, "AWS_"):
        assert secret not in everything
    assert seen.inside["environ"].keys() == {"/proc/1/environ", "/proc/self/environ"}
    assert seen.inside["hostname"] == "executor"


def test_nothing_of_other_runs_is_in_it(seen: Seen) -> None:
    assert len(seen.inside["processes"]) <= 3
    assert set(seen.inside["root"]) <= {*SYSTEM, "code", "data", "outputs"}
    ours = {place for place in seen.inside["mounts"] if place.startswith(("/code", "/outputs", "/data", "/run"))}
    assert ours == {"/code", "/outputs", "/run/executor", "/run/executor/report"}


def test_its_folders_lie_in_a_file_system_without_devices_and_set_id(seen: Seen) -> None:
    found = next(one for one in seen.view["findings"] if one["field"] == "disk.limit")
    if found["observed"] != "as expected":
        pytest.skip(f"no file system can be mounted here: {found['observed']}")
    for place in ("/code", "/outputs", "/run/executor/report"):
        assert {"nosuid", "nodev"} <= set(seen.inside["mounts"][place]["options"])
        assert "/home/" not in seen.inside["mounts"][place]["line"], "the place on the host is not told"
    assert "ro" in seen.inside["mounts"]["/run/executor"]["options"]


def test_it_is_limited_in_what_it_takes(seen: Seen) -> None:
    count, said = seen.inside["forks"]
    assert said == "EAGAIN"
    assert 32 < count < 64
    assert seen.inside["limits"]["CORE"] == [0, 0]
    assert seen.inside["limits"]["NOFILE"] == [OPEN_FILES, OPEN_FILES]
    assert seen.inside["oom"] == "500"
    assert all(line.endswith(":/") for line in seen.inside["cgroup"]), "the host's groups are not told"


def test_the_engine_was_asked_for_what_the_plan_says(seen: Seen) -> None:
    expected = {
        "Privileged": False, "ReadonlyRootfs": True, "CapDrop": ["ALL"], "CapAdd": None, "NetworkMode": "none",
        "SecurityOpt": ["no-new-privileges"], "PidsLimit": 64, "IpcMode": "private", "PidMode": "", "UTSMode": "",
        "UsernsMode": "", "Binds": None, "Devices": None, "VolumesFrom": None, "OomScoreAdj": 500,
        "CgroupnsMode": "private", "Memory": 2**30, "MemorySwap": 2**30,
    }  # fmt: skip
    assert {name: seen.host[name] for name in expected} == expected
    assert {mount["Target"] for mount in seen.host["Mounts"]} == {
        "/code", "/outputs", "/run/executor", "/run/executor/report"
    }  # fmt: skip


FILL = """
echo begun >/outputs/begun
[ $EXECUTOR_SEED = 1 ] || exit 0
number=0
while [ $number -lt 4000 ]; do
    number=$((number + 1))
    cat /bin/sh /bin/sh /bin/sh /bin/sh /bin/sh /bin/sh /bin/sh /bin/sh >/outputs/$number || exit 28
done
"""
"""Writes a mebibyte to each of 4,000 files, and ends with 28 when there is no room."""


@pytest.mark.parametrize("setting", ["", "watch"])
def test_a_run_that_fills_its_disk_has_failed_and_the_next_one_is_well(
    setting: str, make_machine: MakeMachine, small_image: str
) -> None:
    machine = make_machine("file")
    spec, _ = locked(machine, FILL)
    spec.write_text(spec.read_text().replace(f"disk: {2**36}", "disk: 64MiB"))
    before = os.statvfs(machine.folder)
    ran = machine.run("submit", "--json", spec, env={"EXECUTOR_DISK": setting})
    assert ran.code == 1, ran
    assert (ran.json["status"], ran.json["reason"]) == ("failed", "it filled its disk of 64.0 MiB (resources.disk)")
    assert ran.json["exit_code"] == (28 if own(ran) else 143)
    assert machine.record(ran.json).outcome.disk_full
    after = os.statvfs(machine.folder)
    assert (before.f_bavail - after.f_bavail) * after.f_frsize < 2**29
    assert machine.attempts_left() == []
    spec.write_text(spec.read_text().replace("\nseed: 1\n", "\nseed: 2\n"))
    again = machine.run("submit", "--json", spec, env={"EXECUTOR_DISK": setting})
    assert (again.code, again.json["status"]) == (0, "succeeded"), again


def own(ran: Ran) -> bool:
    return any(one["field"] == "disk.limit" and one["observed"] == "as expected" for one in ran.json["findings"])
